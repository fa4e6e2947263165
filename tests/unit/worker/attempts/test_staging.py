"""Bytes to and from the hub's store, and files that stay in their folder."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import os
import socket
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from asman_shared.address import parse_address
from asman_shared.definition import DataRef, Definition, Shape
from asman_shared.errors import BadDefinition, ExecutionError
from asman_shared.messages import GetBlobs, Message, PutBlobs
from asman_shared.states import Phase
from asman_shared.transfer import Blob, RetryPolicy
from asman_shared.transfer.http import AT_ONCE
from asman_shared.transfer.locator import R
from asman_worker.attempts.outputs import Collector
from asman_worker.attempts.staging import Stager
from asman_worker.execution.folders import JobFolder
from asman_worker.execution.interface import AttemptSpec
from asman_worker.files.blobs import READING, Blobs
from devtools.fake_hub import FakeHub, job
from devtools.patience import PATIENCE


class Locator:
    """Asks the hub without a socket."""

    def __init__(self, hub: FakeHub) -> None:
        self.hub = hub

    async def registered(self) -> None:
        pass

    async def request(self, message: PutBlobs | GetBlobs, reply: type[R]) -> R:
        answer = self.hub.reply(message)
        assert isinstance(answer, reply)
        return answer


class ThrottledProgress:
    """Hears what is reported."""

    def __init__(self) -> None:
        self.phases: list[tuple[Phase, str]] = []

    def phase(self, phase: Phase, done: int = 0, total: int = 0, unit: str = "") -> None:
        self.phases.append((phase, unit))


@pytest.fixture
async def blobs(hub: FakeHub) -> Any:
    made = Blobs(
        Locator(hub),
        parse_address(hub.url),
        allowed=["127.0.0.1"],
        reading=RetryPolicy(tries=3, most=0.001),
        sending=RetryPolicy(tries=None, most=0.001),
    )
    yield made
    await made.close()


def spec(tmp_path: Path, **fields: Any) -> AttemptSpec:
    folder = JobFolder.of(tmp_path / "jobs", job("a"), 1)
    return AttemptSpec(job("a"), 1, Definition(**fields), Shape(), folder, tmp_path / "cache")


def files(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


async def test_bytes_are_verified_by_their_name(hub: FakeHub, blobs: Blobs, tmp_path: Path) -> None:
    sha = hub.store(b"right")
    hub.blobs[sha] = b"wrong"
    made = spec(tmp_path, inputs={"x": DataRef(sha, "key")})
    with pytest.raises(ExecutionError, match="the input 'x' can't be read: the received bytes"):
        await Stager(blobs, most=100).stage(made)
    assert list(made.folder.root.glob("arriving*")) == []


async def test_an_input_over_the_limit_is_refused_and_leaves_nothing(
    hub: FakeHub, blobs: Blobs, tmp_path: Path
) -> None:
    sha = hub.store(b"x" * 101)
    made = spec(tmp_path, inputs={"x": DataRef(f"{hub.base}/blobs/{sha}", "url")})
    with pytest.raises(ExecutionError, match="the maximum is 100 B"):
        await Stager(blobs, most=100).stage(made)
    assert list(made.folder.root.glob("arriving*")) == []


async def test_an_input_at_the_hub_is_waited_for_also_while_its_name_is_unknown(
    hub: FakeHub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []

    async def look_up(self: asyncio.BaseEventLoop, host: str, port: int, **more: Any) -> Any:
        asked.append(host)
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(asyncio.BaseEventLoop, "getaddrinfo", look_up)
    made = Blobs(Locator(hub), parse_address("http://hub.example/q/x"), reading=RetryPolicy(tries=6, most=0.001))
    try:
        for url in ("http://hub.example/f/x", "/f/x"):
            asked.clear()
            with pytest.raises(ExecutionError, match=r"there is no host named 'hub\.example'"):
                await Stager(made, most=100).stage(spec(tmp_path / str(len(url)), inputs={"x": DataRef(url, "url")}))
            assert len(asked) == 6
    finally:
        await made.close()


async def test_an_input_at_an_unknown_host_fails_in_seconds_and_one_that_can_not_be_looked_up_is_waited_for(
    hub: FakeHub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []
    usual = asyncio.BaseEventLoop.getaddrinfo

    async def look_up(self: asyncio.BaseEventLoop, host: str, port: int, **more: Any) -> Any:
        asked.append(host)
        if host == "unknown.example" or asked.count(host) > 10:
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        if host == "later.example":
            raise socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution")
        return await usual(self, host, port, **more)

    monkeypatch.setattr(asyncio.BaseEventLoop, "getaddrinfo", look_up)
    patient = replace(READING, most=0.01)
    made = Blobs(Locator(hub), parse_address(hub.url), reading=patient)
    try:
        for host, tries in (("unknown.example", 3), ("later.example", 13)):
            attempt = spec(tmp_path / host, inputs={"x": DataRef(f"http://{host}/x", "url")})
            async with asyncio.timeout(PATIENCE):
                with pytest.raises(ExecutionError) as caught:
                    await Stager(made, most=100).stage(attempt)
            assert caught.value.message == f"the input 'x' can't be read: there is no host named '{host}'"
            assert (caught.value.fault, asked.count(host)) == ("job", tries)
    finally:
        await made.close()


@pytest.mark.parametrize(
    ("ref", "sentence"),
    [
        (lambda hub: DataRef(job("none"), "key"), "is not stored on the hub"),
        (lambda hub: DataRef(f"{hub.base}/blobs/{job('none')}", "url"), "the input 'x' can't be read: .* 404"),
        (lambda hub: DataRef("AAA", "base64"), "the input 'x' is not base64"),
        (lambda hub: DataRef("http://169.254.169.254/latest/meta-data", "url"), "not fetched"),
        (lambda hub: DataRef("http://[fe80::1]/x", "url"), "not fetched"),
    ],
)
async def test_what_can_not_be_had_is_named(
    hub: FakeHub, blobs: Blobs, tmp_path: Path, ref: Callable[[FakeHub], DataRef], sentence: str
) -> None:
    with pytest.raises(ExecutionError, match=sentence) as error:
        await Stager(blobs, most=100).stage(spec(tmp_path, inputs={"x": ref(hub)}))
    assert error.value.fault == "job"


async def test_a_redirect_to_the_metadata_service_is_not_followed(blobs: Blobs, tmp_path: Path) -> None:
    async def away(request: web.Request) -> web.Response:
        raise web.HTTPFound("http://169.254.169.254/latest")

    app = web.Application()
    app.router.add_get("/", away)
    runner = web.AppRunner(app)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        url = f"http://127.0.0.1:{runner.addresses[0][1]}/"
        with pytest.raises(ExecutionError, match="not fetched"):
            await blobs.fetch(url, tmp_path / "x", most=100)
    finally:
        await runner.cleanup()


async def test_programs_can_be_executed_and_other_files_not_whatever_way_they_come(
    hub: FakeHub, blobs: Blobs, tmp_path: Path
) -> None:
    script, program, data = b"#!/bin/sh\n", b"\x7fELF\x02", b"a,b\n"
    inputs = {
        "inline/script": DataRef(script.decode()),
        "inline/program": DataRef(base64.b64encode(program).decode(), "base64"),
        "inline/data": DataRef(data.decode()),
        "blob/script": DataRef(hub.store(script), "key"),
        "blob/program": DataRef(hub.store(program), "key"),
        "blob/data": DataRef(hub.store(data), "key"),
        "blob/empty": DataRef(hub.store(b""), "key"),
        "url/script": DataRef(f"{hub.base}/blobs/{hub.store(script)}", "url"),
    }
    made = spec(tmp_path, inputs=inputs)
    await Stager(blobs, most=10**6).stage(made)
    modes = {name: (made.folder.inputs / name).stat().st_mode & 0o777 for name in inputs}
    assert modes == {name: 0o755 if name.endswith(("script", "program")) else 0o644 for name in inputs}


async def test_only_what_is_missing_is_sent_and_a_failed_send_asks_again(
    hub: FakeHub, blobs: Blobs, tmp_path: Path
) -> None:
    hub.store(b"there")
    hub.refuse_puts = 2
    contents = [b"there", b"new", b"", b"new", b"x" * 3_000_000]
    made = []
    for number, content in enumerate(contents):
        path = tmp_path / str(number)
        path.write_bytes(content)
        made.append(Blob(hashlib.sha256(content).hexdigest(), len(content), partial(os.open, path, os.O_RDONLY)))
    done: list[int] = []
    there: list[int] = []
    sent = await blobs.send(made, done.append, there.append)
    assert {hashlib.sha256(content).hexdigest() for content in contents} == set(hub.blobs)
    assert hub.puts == 5
    assert sum(done) == sent == len(b"new") + 3_000_000
    assert there == [len(b"there")]


async def test_a_store_that_is_away_is_waited_for_with_the_result(hub: FakeHub, blobs: Blobs, tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(b"result")
    hub.refuse_puts = 50
    collected = await Collector(blobs, most=100).collect(tmp_path, ThrottledProgress())
    assert (collected.kind, collected.message) == ("", "")
    assert hub.blobs[collected.result.outputs["x"].sha256] == b"result"
    assert hub.puts == 51


async def test_an_expired_link_is_replaced_and_a_broken_download_goes_on(
    hub: FakeHub, blobs: Blobs, tmp_path: Path
) -> None:
    data = os.urandom(300_000)
    sha = hub.store(data)
    hub.get_statuses = [403, 503]
    hub.cut_gets = 1
    made = spec(tmp_path, inputs={"x": DataRef(sha, "key")})
    await Stager(blobs, most=10**6).stage(made)
    assert files(made.folder.root) == {"inputs/x": data}


@pytest.mark.parametrize(
    ("statuses", "cut", "kind", "sentence", "fault"),
    [
        ([403] * 9, 0, "key", "HTTP status 403", "job"),
        ([403], 0, "url", r"HTTP status 403 \(said the store\)", "job"),
        ([500] * 9, 0, "key", "HTTP status 500", "hub"),
        ([], 9, "key", "the download broke off", "hub"),
        ([], 9, "url", "the download broke off", "job"),
    ],
)
async def test_a_download_that_fails_for_good_names_its_input(
    hub: FakeHub,
    blobs: Blobs,
    tmp_path: Path,
    statuses: list[int],
    cut: int,
    kind: str,
    sentence: str,
    fault: str,
) -> None:
    sha = hub.store(b"x" * 100_000)
    hub.get_statuses, hub.cut_gets = statuses, cut
    ref = DataRef(sha, "key") if kind == "key" else DataRef(f"{hub.base}/blobs/{sha}", "url")
    made = spec(tmp_path, inputs={"data/x.bin": ref})
    with pytest.raises(ExecutionError, match=f"the input 'data/x.bin' can't be read: .*{sentence}") as error:
        await Stager(blobs, most=10**6).stage(made)
    assert error.value.fault == fault
    assert list(made.folder.root.glob("arriving*")) == []


async def test_a_full_disk_of_the_worker_is_its_own_fault_and_said(
    hub: FakeHub, blobs: Blobs, small_disk: Path
) -> None:
    sha = hub.store(os.urandom(3_000_000))
    made = spec(small_disk, inputs={"x": DataRef(sha, "key")})
    with pytest.raises(ExecutionError, match=r"the input 'x' can't be read: .*No space left on device") as error:
        await Stager(blobs, most=10**9).stage(made)
    assert error.value.fault == "worker"
    assert list(made.folder.root.glob("arriving*")) == []


async def test_servers_that_jobs_name_do_not_hold_up_the_hubs_store(hub: FakeHub, blobs: Blobs, tmp_path: Path) -> None:
    connected = asyncio.Semaphore(0)

    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connected.release()
        await reader.read()
        writer.close()

    server = await asyncio.start_server(silent, "127.0.0.1", 0)
    url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/"
    waiting = [asyncio.create_task(blobs.fetch(url, tmp_path / f"{n}", most=100)) for n in range(2 * AT_ONCE)]
    for _ in range(AT_ONCE):
        await connected.acquire()
    made = spec(tmp_path, inputs={"x": DataRef(hub.store(b"here"), "key")})
    await Stager(blobs, most=100).stage(made)
    assert files(made.folder.inputs) == {"x": b"here"}
    for task in waiting:
        task.cancel()
    await asyncio.wait(waiting)
    await blobs.close()
    server.close()


async def test_many_small_inputs_are_asked_for_together(hub: FakeHub, blobs: Blobs, tmp_path: Path) -> None:
    keys = [hub.store(b"%d" % number) for number in range(1500)]
    asked: list[int] = []
    reply = hub.reply

    def count(message: Message) -> Message | None:
        if isinstance(message, GetBlobs):
            asked.append(len(message.keys))
        return reply(message)

    hub.reply = count  # type: ignore[method-assign]
    told = ThrottledProgress()
    made = spec(tmp_path, inputs={f"d/{number:04}": DataRef(key, "key") for number, key in enumerate(keys)})
    await Stager(blobs, most=100).stage(made, told)
    assert asked == [1000, 500]
    assert len(files(made.folder.inputs)) == 1500
    assert all(phase == (Phase.STAGING, "bytes") for phase in told.phases)


@pytest.mark.parametrize(
    "name",
    ["../x", "a/../../x", "/etc/passwd", "a//b", "a/./b", "", ".", "..", "a\0b", "x" * 300, "a/" * 600 + "b", "a\nb"],
)
async def test_a_name_that_would_escape_is_refused(blobs: Blobs, tmp_path: Path, name: str) -> None:
    with pytest.raises(BadDefinition):
        await Stager(blobs, most=100).stage(spec(tmp_path, inputs={name: DataRef("x")}))
    assert not (tmp_path / "x").exists()


async def test_config_files_with_an_absolute_path_are_mounted_and_never_on_the_host(
    blobs: Blobs, tmp_path: Path
) -> None:
    made = spec(
        tmp_path,
        config_files={
            "/etc/app/x.conf": DataRef("one"),
            "/inputs/y": DataRef("two"),
            "z": DataRef({"k": 1, "a": 2.0}, "json"),
        },
    )
    mounts = await Stager(blobs, most=100).stage(made)
    assert list(mounts) == ["/etc/app/x.conf"]
    assert mounts["/etc/app/x.conf"].read_bytes() == b"one"
    assert made.folder.config in mounts["/etc/app/x.conf"].parents
    assert files(made.folder.inputs) == {"y": b"two", "z": b'{"a":2,"k":1}'}


async def test_what_an_earlier_attempt_left_is_gone(blobs: Blobs, tmp_path: Path) -> None:
    made = spec(tmp_path, inputs={"x": DataRef("new")})
    made.folder.outputs.mkdir(parents=True)
    (made.folder.outputs / "stale").write_text("old")
    (made.folder.outputs / "locked").mkdir(mode=0)
    made.folder.outputs.chmod(0o500)
    await Stager(blobs, most=100).stage(made)
    assert files(made.folder.root) == {"inputs/x": b"new"}
