"""Outputs of finished jobs, as bytes, text, JSON and files."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import pytest
from aiohttp import web

import asman
from asman_shared import messages as m
from asman_shared.definition import DataRef
from asman_shared.errors import BadDefinition, Forbidden, NotFound, Unauthentic

from .fake_hub import FakeHub
from .test_blobs import BIG, _no_waiting, finished

__all__ = ["_no_waiting"]


async def test_outputs_as_bytes_text_json_and_files(hub: FakeHub, tmp_path: Path) -> None:
    async with asman.connect(hub.url) as queue:
        job = await finished(hub, queue, **{"big.bin": BIG, "a/b.json": b'{"x": 1}', "tool": b"#!/bin/sh\n"})
        assert hub.jobs[job.id].result is not None
        hub.output(job.id, "tool", b"#!/bin/sh\n", mode=0o4755)
        result = await job.result()
        assert await result.outputs["big.bin"].read_bytes() == BIG
        assert await result.outputs["a/b.json"].json() == {"x": 1}
        assert await result.outputs["a/b.json"].read_text() == '{"x": 1}'
        saved = await result.save_outputs(tmp_path / "out")
        assert [path.relative_to(tmp_path / "out").as_posix() for path in saved] == ["a/b.json", "big.bin", "tool"]
        assert (tmp_path / "out" / "big.bin").read_bytes() == BIG
        mode = (tmp_path / "out" / "tool").stat().st_mode & 0o7777
        assert mode & 0o100
        assert mode & 0o7000 == 0
        one = await result.outputs["a/b.json"].save(tmp_path)
        assert one == tmp_path / "b.json"
        with pytest.raises(NotFound, match=r"no output 'nope'; it has: a/b\.json, big\.bin, tool"):
            result.outputs["nope"]
    assert not list(tmp_path.rglob("*.part"))


async def test_wrong_bytes_are_never_left_behind(hub: FakeHub, tmp_path: Path) -> None:
    async with asman.connect(hub.url) as queue:
        job = await finished(hub, queue, a=BIG)
        hub.blobs[hashlib.sha256(BIG).hexdigest()] = b"other"
        result = await job.result()
        with pytest.raises(Unauthentic):
            await result.save_outputs(tmp_path)
        with pytest.raises(Unauthentic, match="the output 'a' can't be read"):
            await result.outputs["a"].read_bytes()
    assert list(tmp_path.iterdir()) == []


async def test_a_blob_that_is_gone_is_said_to_be(hub: FakeHub, tmp_path: Path) -> None:
    async with asman.connect(hub.url) as queue:
        job = await finished(hub, queue, a=BIG)
        result = await job.result()
        hub.blobs.clear()
        with pytest.raises(NotFound, match=r"the output 'a' can't be read: .*no longer stored"):
            await result.outputs["a"].read_bytes()
        with pytest.raises(NotFound, match="no longer stored"):
            await result.save_outputs(tmp_path / "out")


@pytest.mark.parametrize(
    "name", ["../evil", "../../etc/passwd", "x" * 300, "/etc/evil", "a/../../evil", "a//b", "", "x/.", "e\x00"]
)
async def test_a_hostile_output_name_writes_nothing(hub: FakeHub, tmp_path: Path, name: str) -> None:
    folder = tmp_path / "in" / "out"
    async with asman.connect(hub.url) as queue:
        job = await finished(hub, queue, **{name: b"evil", "fine": b"x"})
        result = await job.result()
        with pytest.raises(BadDefinition):
            await result.save_outputs(folder)
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


async def test_a_link_in_the_folder_does_not_lead_out_of_it(hub: FakeHub, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "out" / "sub").symlink_to(tmp_path / "elsewhere")
    async with asman.connect(hub.url) as queue:
        job = await finished(hub, queue, **{"sub/x": b"evil"})
        with pytest.raises(asman.ProtocolError, match="outside"):
            await (await job.result()).save_outputs(tmp_path / "out")
    assert list((tmp_path / "elsewhere").iterdir()) == []


async def test_outputs_that_travel_in_the_result_are_verified_too(hub: FakeHub, tmp_path: Path) -> None:
    def file(ref: DataRef, data: bytes) -> m.OutputFile:
        return m.OutputFile(ref, len(data), hashlib.sha256(data).hexdigest())

    async with asman.connect(hub.url) as queue:
        job = await queue.submit(command="x")
        hub.jobs[job.id].result = m.Result(
            {
                "text": file(DataRef("hé", "utf8"), "hé".encode()),
                "bin": file(DataRef("/wA=", "base64"), b"\xff\x00"),
                "json": file(DataRef({"a": 1}, "json"), b'{"a":1}'),
                "lie": file(DataRef("other", "utf8"), b"this"),
                "broken": file(DataRef("%%%", "base64"), b""),
            }
        )
        hub.finish(job.id, 0)
        outputs = (await job.result()).outputs
        assert await outputs["text"].read_text() == "hé"
        assert await outputs["bin"].read_bytes() == b"\xff\x00"
        assert await outputs["json"].json() == {"a": 1}
        assert (await outputs["text"].save(tmp_path / "deep" / "t")).read_text() == "hé"
        with pytest.raises(Unauthentic):
            await outputs["lie"].read_bytes()
        with pytest.raises(asman.ProtocolError):
            await outputs["broken"].read_bytes()


async def test_many_outputs_are_asked_for_together(hub: FakeHub, tmp_path: Path) -> None:
    async with asman.connect(hub.url) as queue:
        job = await finished(hub, queue, **{f"d{n % 7}/{n}": b"%d" % n for n in range(1200)})
        saved = await (await job.result()).save_outputs(tmp_path)
    assert [int(path.read_bytes()) for path in saved] == [int(path.name) for path in saved]
    assert len(saved) == 1200
    assert [len(asked.keys) for asked in hub.all_of(m.GetBlobs)] == [1000, 200]


async def test_outputs_with_the_same_bytes_come_once(hub: FakeHub, tmp_path: Path) -> None:
    moved: list[int] = []
    async with asman.connect(hub.url) as queue:
        job = await finished(hub, queue, a=BIG, b=BIG, c=b"other")
        hub.output(job.id, "b", BIG, mode=0o755)
        await (await job.result()).save_outputs(tmp_path, moved.append)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes() == BIG
    assert [os.access(tmp_path / name, os.X_OK) for name in ("a", "b", "c")] == [False, True, False]
    assert len(hub.downloads) == 2
    assert sum(moved) == 2 * len(BIG) + 5


async def test_an_output_is_not_fetched_from_where_only_its_reader_can_reach(hub: FakeHub, tmp_path: Path) -> None:
    """A worker names any address that it likes; only the hub and the public internet are asked."""
    asked: list[str] = []

    async def answer(request: web.Request) -> web.Response:
        asked.append(request.path)
        return web.Response(body=b"private")

    app = web.Application()
    app.router.add_get("/{path:.*}", answer)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    port = runner.addresses[0][1]
    digest = hashlib.sha256(b"private").hexdigest()
    async with asman.connect(hub.url) as queue:
        job = await queue.submit(command="x")
        files = {
            "number": m.OutputFile(DataRef(f"http://127.0.0.1:{port}/a", "url"), 7, digest),
            "name": m.OutputFile(DataRef(f"http://localhost:{port}/b", "url"), 7, digest),
            "metadata": m.OutputFile(DataRef("http://169.254.169.254/latest", "url"), 7, digest),
        }
        hub.jobs[job.id].result = m.Result(files)
        hub.finish(job.id, 0)
        outputs = (await job.result()).outputs
        for name in ("number", "name", "metadata"):
            with pytest.raises(Forbidden, match="a worker has named it"):
                await outputs[name].read_bytes()
            with pytest.raises(Forbidden, match=f"the output '{name}' can't be read"):
                await outputs[name].save(tmp_path / name)
    await runner.cleanup()
    assert asked == []
    assert list(tmp_path.iterdir()) == []
