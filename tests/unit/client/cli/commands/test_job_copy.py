"""Copies of jobs on other queues and hubs."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

from tests.unit.client.cli.running import Run, Typed
from tests.unit.client.fake_hub import FakeHub


async def test_a_copy_takes_its_files_and_what_it_is_built_of_to_another_hub(
    hub: FakeHub, run: Run, typed: Typed, tmp_path: Path
) -> None:
    from tests.unit.client.fake_hub import blob_store

    (tmp_path / "big.bin").write_bytes(b"x" * 10_000)
    (tmp_path / "context").write_bytes(b"an archive" * 1000)
    keys = {hashlib.sha256(data).hexdigest() for data in (b"x" * 10_000, b"an archive" * 1000)}
    context = (await run("blob", "put", hub.url, str(tmp_path / "context"))).out.strip()
    typed(json.dumps({"build": {"context": f"key:{context}"}}))
    await run("job", "add", hub.url, "-", "-f", str(tmp_path / "big.bin"))
    (job,) = hub.jobs
    other = FakeHub()
    await other.listen()
    async with blob_store(other):
        ended = await run("job", "copy", hub.url, job, "--to", other.url)
        assert (ended.code, ended.out.strip()) == (0, job)
        assert other.jobs[job].definition == hub.jobs[job].definition
        assert set(other.blobs) == keys
        fetched = len(hub.downloads)
        assert (await run("job", "copy", hub.url, job, "--to", other.url)).code == 0
        assert len(hub.downloads) == fetched == 2, "what is there is not carried again"
    await other.stop()
