"""Outputs of finished jobs, as bytes, text, JSON and files."""

from __future__ import annotations

import asyncio
import hashlib
import os
from pathlib import Path

import pytest
from aiohttp import web

import asman
from asman_shared import messages as m
from asman_shared.definition import DataRef
from asman_shared.errors import BadDefinition, Forbidden, NotFound, Unauthentic
from asman_shared.states import Reason

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


async def test_a_result_is_readable_where_it_is_printed(hub: FakeHub) -> None:
    async with asman.connect(hub.url) as queue:
        for exit_code, told in ((0, "Success, exit code 0, 1 output"), (3, "Failed, exit code 3, 1 output")):
            job = await queue.submit(command=f"x{exit_code}")
            hub.output(job.id, "a", b"a")
            hub.finish(job.id, exit_code)
            assert repr(await job.result(check=False)) == f"JobResult({job.id[:12]}, {told})"
        job = await queue.submit(command="y")
        hub.finish(job.id, None, Reason.CANCELLED)
        assert repr(await job.result(check=False)) == f"JobResult({job.id[:12]}, Cancelled, 0 outputs)"


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
                "lines": file(DataRef("/w\r\nA=\n", "base64"), b"\xff\x00"),
                "json": file(DataRef({"a": 1}, "json"), b'{"a":1}'),
                "lie": file(DataRef("other", "utf8"), b"this"),
                "broken": file(DataRef("%%%", "base64"), b""),
            }
        )
        hub.finish(job.id, 0)
        outputs = (await job.result()).outputs
        assert await outputs["text"].read_text() == "hé"
        assert await outputs["bin"].read_bytes() == await outputs["lines"].read_bytes() == b"\xff\x00"
        assert await outputs["json"].json() == {"a": 1}
        assert (await outputs["text"].save(tmp_path / "deep" / "t")).read_text() == "hé"
        with pytest.raises(Unauthentic):
            await outputs["lie"].read_bytes()
        with pytest.raises(asman.ProtocolError):
            await outputs["broken"].read_bytes()


async def test_an_output_that_is_gone_does_not_keep_the_others_from_being_saved(hub: FakeHub, tmp_path: Path) -> None:
    async with asman.connect(hub.url) as queue:
        job = await finished(hub, queue, a=BIG, b=BIG + b"2", c=b"small")
        hub.blobs.pop(hashlib.sha256(BIG).hexdigest())
        with pytest.raises(NotFound, match="the output 'a' can't be read"):
            await (await job.result()).save_outputs(tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {"b", "c"}


async def test_a_file_that_would_be_the_folder_of_another_is_named_before_anything_is_written(
    hub: FakeHub, tmp_path: Path
) -> None:
    async with asman.connect(hub.url) as queue:
        job = await finished(hub, queue, **{"a": b"file", "a/b/c": b"below", "fine": b"x"})
        result = await job.result()
        with pytest.raises(asman.ProtocolError, match=r"the outputs 'a' and 'a/b/c' can't be saved together"):
            await result.save_outputs(tmp_path / "out")
        assert await result.outputs["a/b/c"].read_bytes() == b"below"
    assert not list(tmp_path.iterdir())


async def test_an_output_is_an_input_by_its_name_and_its_bytes_are_not_fetched(hub: FakeHub) -> None:
    key = hashlib.sha256(BIG).hexdigest()
    async with asman.connect(hub.url) as queue:
        job = await finished(hub, queue, a=BIG)
        stored = hub.jobs[job.id].result
        assert stored is not None
        stored.outputs |= {
            "own": m.OutputFile(DataRef(f"/f/{key}", "url"), 0, key),
            "other": m.OutputFile(DataRef("https://files.example/a", "url"), 0, ""),
            "text": m.OutputFile(DataRef("hé", "utf8"), 3, hashlib.sha256("hé".encode()).hexdigest()),
            "json": m.OutputFile(DataRef({"a": 1}, "json"), 7, hashlib.sha256(b'{"a":1}').hexdigest()),
            "lie": m.OutputFile(DataRef("other", "utf8"), 5, hashlib.sha256(b"this").hexdigest()),
        }
        outputs = (await job.result()).outputs
        names = ["a", "own", "other", "text", "json"]
        await queue.submit(command="y", inputs={name: outputs[name] for name in names})
        assert hub.all_of(m.Submit)[-1].definition.inputs == {
            "a": DataRef(key, "key"),
            "own": DataRef(f"/f/{key}", "url"),
            "other": DataRef("https://files.example/a", "url"),
            "text": DataRef("hé", "utf8"),
            "json": DataRef('{"a":1}', "utf8"),
        }
        with pytest.raises(Unauthentic, match="lie"):
            await queue.submit(command="y", inputs={"n": outputs["lie"]})
    assert hub.all_of(m.GetBlobs) == []
    assert hub.uploads == []


async def test_a_job_and_a_result_are_no_inputs_and_the_error_names_the_outputs(hub: FakeHub) -> None:
    async with asman.connect(hub.url) as queue:
        job = await finished(hub, queue, a=b"a")
        result = await job.result()
        values: list[object] = [job, result, result.outputs]
        for value in values:
            with pytest.raises(BadDefinition, match=r'can\'t be an input.*result\.outputs\["name"\]') as caught:
                await queue.submit(command="y", inputs={"n": value})
            assert caught.value.field == "definition.inputs.n"
    assert len(hub.all_of(m.Submit)) == 1


async def test_a_size_of_zero_means_unknown_for_a_file_that_was_only_named(hub: FakeHub) -> None:
    key = hashlib.sha256(BIG).hexdigest()
    async with asman.connect(hub.url) as queue:
        job = await finished(hub, queue, a=BIG)
        stored = hub.jobs[job.id].result
        assert stored is not None
        stored.outputs = {
            "key": m.OutputFile(DataRef(key, "key"), 0, key),
            "own": m.OutputFile(DataRef(f"/f/{key}", "url"), 0, ""),
            "empty": m.OutputFile(DataRef("", "utf8"), 0, hashlib.sha256(b"").hexdigest()),
        }
        outputs = (await job.result()).outputs
        assert {name: output.size_known for name, output in outputs.items()} == {
            "empty": True, "key": False, "own": False,
        }  # fmt: skip
        assert await outputs["key"].read_bytes() == BIG
        assert "of unknown size" in repr(outputs["own"])


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


async def test_outputs_are_a_mapping_with_a_default_for_a_name_that_is_missing(hub: FakeHub, tmp_path: Path) -> None:
    async with asman.connect(hub.url) as queue:
        job = await finished(hub, queue, **{"a.json": b'{"x": 1}'})
        result = await job.result()
        other = object()
        assert result.outputs.get("zz", other) is other
        assert result.outputs.get("zz") is None
        assert await result.outputs["a.json"].read_json() == {"x": 1}
        for kind in (KeyError, NotFound):
            with pytest.raises(kind) as caught:
                result.outputs["zz"]
            assert str(caught.value) == "the job has no output 'zz'; it has: a.json"
        saved = await result.outputs["a.json"].save(f"{tmp_path}/new/folder/")
        assert saved == tmp_path / "new" / "folder" / "a.json"
        assert saved.is_file()
        for save in (result.outputs["a.json"].save, result.save_outputs):
            with pytest.raises(asman.BadRequest, match="is empty"):
                await save("")

    def work() -> None:
        with asman.sync.connect(hub.url) as queue:
            outputs = queue.get(job.id).result().outputs
            assert outputs.get("zz", 3) == 3
            assert outputs["a.json"].read_json() == {"x": 1}

    await asyncio.to_thread(work)
