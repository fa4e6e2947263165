"""Transfers of blobs to the hub and back."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import pytest

import asman
from asman import blobs as blobs_module
from asman_shared import messages as m
from asman_shared.definition import DataRef
from asman_shared.errors import ConnectionFailed
from asman_shared.transfer import RetryPolicy

from .fake_hub import FakeHub, Visitor

BIG = os.urandom(3_000_000)


@pytest.fixture(autouse=True)
def _no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(blobs_module, "RETRY_POLICY", RetryPolicy(tries=4, most=0.001))


async def finished(hub: FakeHub, queue: asman.Queue, **outputs: bytes) -> asman.Job:
    job = await queue.submit(command="x")
    for name, data in outputs.items():
        hub.output(job.id, name, data)
    hub.finish(job.id, 0)
    return job


async def test_large_inputs_are_uploaded_once(hub: FakeHub, tmp_path: Path) -> None:
    (tmp_path / "big").write_bytes(BIG)
    moved = 0

    def progress(count: int) -> None:
        nonlocal moved
        moved += count

    async with asman.connect(hub.url) as queue:
        await queue.submit(command="x", files=[tmp_path / "big"], inputs={"again": BIG}, progress=progress)
        await queue.submit(command="y", inputs={"big": BIG})
    sha256 = hashlib.sha256(BIG).hexdigest()
    assert hub.blobs[sha256] == BIG
    assert hub.uploads == [sha256]
    assert moved == len(BIG)
    first = hub.all_of(m.Submit)[0]
    assert first.definition.inputs == {"again": DataRef(sha256, "key"), "big": DataRef(sha256, "key")}


async def test_many_blobs_are_asked_about_at_once(hub: FakeHub) -> None:
    inputs = {f"{i}": os.urandom(5000) for i in range(50)}
    async with asman.connect(hub.url) as queue:
        await queue.submit(command="x", inputs=inputs)
    before, after = hub.all_of(m.PutBlobs)
    assert len(before.blobs) == len(after.blobs) == 50
    assert set(hub.blobs.values()) == set(inputs.values())


async def test_an_upload_that_breaks_is_tried_again_and_given_up_in_the_end(hub: FakeHub) -> None:
    real, hub.blob_url = hub.blob_url, "http://127.0.0.1:1"
    async with asman.connect(hub.url) as queue:
        with pytest.raises(ConnectionFailed, match="not everything could be uploaded"):
            await queue.submit(command="x", inputs={"a": BIG})
        assert len(hub.all_of(m.PutBlobs)) == 4

        def come_back(visitor: Visitor, message: m.PutBlobs) -> None:
            hub._put_blobs(visitor, message)
            hub.blob_url = real

        hub.on[m.PutBlobs] = come_back
        await queue.submit(command="x", inputs={"a": BIG})
    assert len(hub.uploads) == 1


async def test_a_file_that_changes_meanwhile_is_never_taken_for_what_it_was(hub: FakeHub, tmp_path: Path) -> None:
    file = tmp_path / "growing"
    file.write_bytes(BIG)

    def tickets(visitor: Visitor, message: m.PutBlobs) -> None:
        file.write_bytes(BIG[:1000])
        hub._put_blobs(visitor, message)

    hub.on[m.PutBlobs] = tickets
    async with asman.connect(hub.url) as queue:
        with pytest.raises(asman.AsmanError):
            await queue.submit(command="x", files=[file])
    assert hub.all_of(m.Submit) == []
    assert hub.blobs == {}


async def test_files_whose_names_alone_are_too_much_are_refused_before_anything_is_sent(
    hub: FakeHub, tmp_path: Path
) -> None:
    for number in range(9000):
        (tmp_path / f"{number:04}-with-a-longer-name").write_bytes(b"x" * 1000 + b"%d" % number)
    async with asman.connect(hub.url) as queue:
        with pytest.raises(asman.TooLarge, match=r"its 9000 files alone take about \d+: pack them into one archive"):
            await queue.submit(command="x", inputs={"d": tmp_path})
    assert hub.all_of(m.PutBlobs) == []


async def test_a_full_disk_is_said_with_the_file_and_leaves_nothing(hub: FakeHub, small_disk: Path) -> None:
    async with asman.connect(hub.url) as queue:
        job = await finished(hub, queue, a=BIG)
        with pytest.raises(OSError, match=r"No space left on device: '.*/a'"):
            await (await job.result()).save_outputs(small_disk)
    assert list(small_disk.iterdir()) == []


async def test_the_outputs_to_keep_are_part_of_the_job(hub: FakeHub) -> None:
    async with asman.connect(hub.url) as queue:
        await queue.submit(command="x", outputs=["*.csv"])
    assert hub.all_of(m.Submit)[0].definition.outputs == ["*.csv"]
