"""Blobs from the command line."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

from asman_shared.definition import DataRef
from tests.unit.client.cli.running import Run
from tests.unit.client.fake_hub import FakeHub


async def test_blobs_go_in_and_come_out(hub: FakeHub, run: Run, tmp_path: Path) -> None:
    (tmp_path / "a.bin").write_bytes(b"y" * 5000)
    key = hashlib.sha256(b"y" * 5000).hexdigest()
    ended = await run("blob", "put", hub.url, str(tmp_path / "a.bin"))
    assert (ended.code, ended.out) == (0, f"{key}\n")
    value = json.loads((await run("blob", "put", hub.url, str(tmp_path / "a.bin"), "--json")).out)
    assert value == {"sha256": key, "size": 5000, "ref": {"type": "key", "value": key}}
    assert (await run("blob", "get", hub.url, key, "-o", str(tmp_path / "b.bin"))).code == 0
    assert (tmp_path / "b.bin").read_bytes() == b"y" * 5000
    missing = await run("blob", "get", hub.url, "0" * 64, "-o", str(tmp_path / "c.bin"))
    assert (missing.code, "no longer stored" in missing.err) == (125, True)
    assert (await run("blob", "get", hub.url, "what")).code == 125
    assert (await run("blob", "put", hub.url, str(tmp_path / "none"))).code == 125
    assert DataRef(key, "key") is not None
