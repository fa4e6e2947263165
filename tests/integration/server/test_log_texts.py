"""Whatever a job writes arrives as it was written: over the websocket, events, REST and on the command line."""

from __future__ import annotations

import asyncio
import json
import subprocess
from collections.abc import AsyncIterator, Callable
from operator import add
from pathlib import Path
from typing import Any

import aiosqlite
import msgpack
import msgspec
import pytest
from websockets.asyncio.client import connect
from websockets.typing import Subprotocol

import asman
from asman_server.config import HubConfig
from asman_server.main import HubServer
from asman_server.queues import registry
from asman_server.sessions import worker as worker_session
from asman_server.sessions.worker import WorkerSession
from asman_shared import limits
from asman_shared.messages import NO_END, STDERR, STDOUT
from asman_worker.attempts.log import AttemptLog
from devtools.asman_processes import HubProcess, asman_command, clean_environment
from devtools.patience import PATIENCE
from tests.support.api import Api, opened_api
from tests.support.plain_worker import plain_worker

WRITTEN = [
    b"\x1b[31mred\x1b[0m and \x00 and \x07\n",
    b"10 %\r",
    b"20 %\r",
    b"done\r\n",
    "ünïcödé 😀 \u2028\n".encode(),
    b"bad \xff\xfe bytes\n",
    b"half a surrogate \xed\xa0\x80\n",
    b"x" * (limits.LOG_LINE_BYTES + 5) + b"\n",
    b"\n",
    b"a last line without an end",
]
TEXTS = [
    "\x1b[31mred\x1b[0m and \x00 and \x07",
    "10 %\r",
    "20 %\r",
    "done",
    "ünïcödé 😀 \u2028",
    "bad \ufffd\ufffd bytes",
    "half a surrogate \ufffd\ufffd\ufffd",
    "x" * limits.LOG_LINE_BYTES,
    "xxxxx",
    "",
    "a last line without an end",
]
AS_TEXT = b"".join(WRITTEN).decode("utf-8", "replace")


@pytest.fixture
async def hub(hub_process: Callable[..., HubProcess]) -> HubProcess:
    return await asyncio.to_thread(hub_process)


@pytest.fixture
async def api(hub: HubProcess) -> AsyncIterator[Api]:
    async with opened_api(hub.url) as opened:
        yield opened


def lines_of(data: list[bytes]) -> list[list[Any]]:
    """What a worker makes of a job's output, cut at every third byte by the pipe."""
    log = AttemptLog(0, lambda: None)
    log.resume(0)
    whole = b"".join(data)
    for at in range(0, len(whole), 3):
        log.feed(STDOUT, whole[at : at + 3], 5)
    log.finish()
    made: list[list[Any]] = []
    while taken := log.take():
        made += [msgspec.to_builtins(line) for line in taken]
    return made


async def events(api: Api, job: str) -> list[tuple[str, Any]]:
    """All events of a finished job."""
    found: list[tuple[str, Any]] = []
    async with api.session.get(f"{api.url}/q/t/jobs/{job}/events") as response:
        kind = ""
        async for raw in response.content:
            name, _, value = raw.decode().rstrip("\n").partition(": ")
            if name == "event":
                kind = value
            elif name == "data":
                found.append((kind, json.loads(value)))
    return found


async def test_any_text_arrives_everywhere_as_it_was_written(api: Api, hub: HubProcess) -> None:
    job = await api.submit("t")
    async with plain_worker(hub.url, "t") as worker, asman.connect(hub.queue("t")) as queue:
        about = await worker.assigned()
        followed = await queue.get(job)
        seen: list[str] = []
        following = asyncio.create_task(_follow(followed, seen))
        await worker.send({"type": "log_batch", "lines": lines_of(WRITTEN), **about})
        await worker.finish(about, lines=len(TEXTS))
        assert await following == "Success"
        assert seen == TEXTS, "the last line comes before the end"
    assert [line["text"] for line in (await api.get(f"/q/t/jobs/{job}/log")).json["lines"]] == TEXTS
    assert (await api.get(f"/q/t/jobs/{job}/log", headers={"Accept": "text/plain"})).body == AS_TEXT.encode()
    told = await events(api, job)
    assert [data["text"] for kind, data in told if kind == "log"] == TEXTS
    assert told[-1][0] == "final"
    command = [*asman_command(), "job", "logs", hub.queue("t"), job]
    run = subprocess.run(command, capture_output=True, timeout=PATIENCE, env=clean_environment(), check=True)
    assert run.stdout == AS_TEXT.encode()
    ends = [line.get("end", "\n") for line in (await api.get(f"/q/t/jobs/{job}/log")).json["lines"]]
    assert "".join(map(add, TEXTS, ends)) == AS_TEXT


async def test_a_worker_that_knows_no_ends_and_a_client_that_knows_none_read_lines_as_before(
    api: Api, hub: HubProcess
) -> None:
    job = await api.submit("t")
    async with plain_worker(hub.url, "t") as worker:
        about = await worker.assigned()
        lines = [[0, 1, 0, "one"], [1, 1, 0, "50%\r", "running"], [2, 1, 0, "cut", "running", NO_END]]
        await worker.send({"type": "log_batch", "lines": lines, **about})
        await worker.finish(about, lines=3)
    page = (await api.get(f"/q/t/jobs/{job}/log")).json
    assert [(line["text"], line.get("end")) for line in page["lines"]] == [("one", None), ("50%\r", None), ("cut", "")]
    command = [*asman_command(), "job", "logs", hub.queue("t"), job]
    run = await asyncio.to_thread(
        subprocess.run, command, capture_output=True, timeout=PATIENCE, env=clean_environment(), check=True
    )
    assert run.stdout == b"one\n50%\rcut"
    address = hub.queue("t").replace("http", "ws", 1) + "/client"
    async with asyncio.timeout(PATIENCE), connect(address, subprotocols=[Subprotocol("asman.v1.json")]) as socket:
        await socket.send(json.dumps([{"type": "hello"}, {"type": "read_log", "ref": 1, "job": job}]))
        while True:
            answers = [each for each in json.loads(await socket.recv()) if each["type"] == "log_page"]
            if answers:
                break
    assert [line[:5] for line in answers[0]["lines"]] == [
        [0, 1, 0, "one", "running"],
        [1, 1, 0, "50%\r", "running"],
        [2, 1, 0, "cut", "running"],
    ]


async def _follow(job: asman.Job, seen: list[str]) -> str:
    async for line in job.logs():
        assert job.verdict is None or len(seen) < len(TEXTS)
        seen.append(line.text)
    return (await job.wait()).reason.value


async def test_half_a_character_in_json_is_refused_and_harms_nobody(api: Api, hub: HubProcess) -> None:
    """No UTF-8 text has it, so that it could be neither stored nor told; a worker of ours never sends it."""
    job = await api.submit("t")
    address = hub.queue("t").replace("http", "ws", 1) + "/worker"
    async with asyncio.timeout(PATIENCE), connect(address, subprotocols=[Subprotocol("asman.v1.json")]) as socket:
        await socket.send(
            json.dumps({"type": "register", "incarnation": "json-worker-00001", "name": "j", "cpus": 0.5})
        )
        batch = {"type": "log_batch", "job": job, "attempt": 1, "lines": [[0, 1, 0, "half \ud800"]]}
        await socket.send(json.dumps(batch))
        told: list[dict[str, Any]] = []
        while not any(each["type"] == "error" for each in told):
            told += json.loads(await socket.recv())
        (error,) = [each for each in told if each["type"] == "error"]
        assert "half a character" in error["message"]
        assert error["field"].endswith("lines[0][3]"), error
    async with plain_worker(hub.url, "t") as worker:
        about = await worker.assigned()
        await worker.log(about, worker.log_next, "whole \x00 😀")
        await worker.finish(about, lines=worker.log_next + 1)
    page = (await api.get(f"/q/t/jobs/{job}/log")).json
    assert [line["text"] for line in page["lines"]] == ["whole \x00 😀"]


async def test_the_command_line_keeps_the_streams_apart_and_in_order(api: Api, hub: HubProcess, tmp_path: Path) -> None:
    job = await api.submit("t")
    async with plain_worker(hub.url, "t") as worker:
        about = await worker.assigned()
        lines = [[n, 1, (STDOUT, STDERR)[n % 3 == 0], f"line {n}"] for n in range(30)]
        await worker.send({"type": "log_batch", "lines": lines, **about})
        await worker.finish(about, lines=30)

    def logs(*options: str, merged: bool = False) -> tuple[str, str]:
        run = subprocess.run(
            [*asman_command(), "job", "logs", hub.queue("t"), job, *options],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT if merged else subprocess.PIPE,
            timeout=PATIENCE,
            env=clean_environment(),
            check=False,
        )
        return run.stdout.decode(), "" if merged else run.stderr.decode()

    both, _ = await asyncio.to_thread(logs, merged=True)
    assert both.splitlines() == [f"line {n}" for n in range(30)]
    assert (await asyncio.to_thread(logs, "--tail", "2"))[0] == "line 28\nline 29\n"
    _, err = await asyncio.to_thread(logs, "--stream", "stderr", "--head", "1", "--follow")
    assert err.startswith("error: follow can be combined only with")
    out, err = await asyncio.to_thread(logs, "--stream", "stderr", "--tail", "1", "--follow")
    assert (out, err) == ("", "line 27\n")
    out, _ = await asyncio.to_thread(logs, "--grep", "LINE 1.", "--ignore-case", "--max-bytes", "16")
    assert out.splitlines() == ["line 10", "line 11"]
    assert "the pattern can't be used" in (await asyncio.to_thread(logs, "--grep", "("))[1]


async def test_while_the_database_is_away_a_flood_is_held_back_and_its_worker_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("asman_server.queues.queue_logs.QUEUE_BYTES", 100_000)
    monkeypatch.setattr(registry, "HUB_BYTES", 100_000)
    monkeypatch.setattr(worker_session, "SAY_SECONDS", 0.05)
    server = HubServer(HubConfig(port=0, data_dir=tmp_path))
    await server.start()
    try:
        async with opened_api(server.address) as api, plain_worker(server.address, "t") as worker:
            job = await api.submit("t")
            about = await worker.assigned()
            await worker.log(about, 0, "zero")
            shell = server.hub.registry.queues["t"]
            (link,) = shell.links.values()
            assert isinstance(link, WorkerSession)
            async with aiosqlite.connect(tmp_path / "hub.sqlite", isolation_level=None) as other:
                await other.execute("PRAGMA busy_timeout=20000")
                await other.execute("BEGIN IMMEDIATE")
                frames = [
                    msgpack.packb([{"type": "log_batch", "lines": [[n, 1, 0, "x" * 10_000]], **about}])
                    for n in range(1, 401)
                ]
                sending = asyncio.create_task(_send(worker, frames))
                async with asyncio.timeout(PATIENCE):
                    while not link._held_back:
                        await asyncio.sleep(0.01)
                assert shell.logs.log_backlog.bytes <= 100_000 + 10_032
                link.heard -= 10**6
                link._watch()
                assert link._closing is None, "a worker that is not read from is not silent"
                await worker.next("ping")
                link.send_buffer._writer._protocol.keepalive_timeout()  # type: ignore[attr-defined]
                assert link.send_buffer._writer.open, "its answer to a ping may wait to be read"
                assert len(shell.logs.open_logs[job].recent) < 20
                await other.execute("ROLLBACK")
            async with asyncio.timeout(PATIENCE):
                await sending
            await worker.finish(about, lines=401)
            assert not shell.logs.log_backlog.bytes
            text = (await api.get(f"/q/t/jobs/{job}/log?tail=1000", headers={"Accept": "text/plain"})).text
            assert text == "zero\n" + ("x" * 10_000 + "\n") * 400
    finally:
        await server.stop()


async def _send(worker: Any, frames: list[bytes]) -> None:
    for frame in frames:
        await worker.send_frame(frame)
