"""Polls that are answered at once: the same bytes as the routes answer, and only what is certain."""

from __future__ import annotations

import asyncio
import json
import re
from pathlib import Path
from typing import Any

import pytest

from asman_server.delivery.prompts import Prompts
from asman_server.main import HubServer
from asman_server.tes.polls import Polls
from asman_shared.keys.derived import KeyKind, derived_keys
from devtools.patience import PATIENCE
from tests.support.plain_worker import plain_worker
from tests.support.served_hub import served

QUEUE = "polled-3b0f6c1d9e7a4258"
ABSENT = "f" * 64
LAST = b"GET /healthz HTTP/1.1\r\nHost: hub\r\nConnection: close\r\n\r\n"
PREFIXES = ("ga4gh/tes/v1", "v1")
_DATE = re.compile(rb"(?m)^date: .*\r\n")


class Counted(Polls):
    """Counts the requests that were answered at once."""

    answered = 0

    def answer(self, path: str, query: bytes) -> tuple[bytes, bytes] | None:
        found = super().answer(path, query)
        self.answered += found is not None
        return found


class Served:
    """A hub in this process whose polls are answered at once or by the routes."""

    def __init__(self, server: HubServer) -> None:
        self.hub = server.hub
        self.url = f"http://127.0.0.1:{server._port}"
        self.prompts = Counted(server.hub)
        self._port = server._port
        self._protocol: Any = server._server.config.http_protocol_class

    async def said(self, request: bytes) -> bytes:
        """All that a connection brings for a request and another one after it, without the date."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self._port)
        async with asyncio.timeout(PATIENCE):
            writer.write(request + LAST)
            answer = await reader.read()
        writer.close()
        return _DATE.sub(b"", answer)

    async def both(self, request: bytes) -> tuple[bytes, bytes, bool]:
        """The answers of both ways, and whether the first was given at once."""
        self.prompts.answered = 0
        self._protocol.prompts = self.prompts
        first = await self.said(request)
        self._protocol.prompts = Prompts()
        return first, await self.said(request), self.prompts.answered > 0

    async def ask(self, method: str, path: str, body: Any = None) -> Any:
        """The JSON of an answer with status 200."""
        data = b"" if body is None else json.dumps(body).encode()
        head = f"{method} /q/{QUEUE}/{path} HTTP/1.1\r\nHost: hub\r\nContent-Length: {len(data)}\r\n\r\n"
        answer = await self.said(head.encode() + data)
        assert answer.startswith(b"HTTP/1.1 200 "), answer
        return json.loads(answer.split(b"\r\n\r\n", 1)[1].split(b"HTTP/1.1", 1)[0])

    async def create(self, name: str) -> str:
        """The id of a new task."""
        task = {"name": name, "executors": [{"image": "alpine", "command": ["true"]}]}
        return str((await self.ask("POST", "v1/tasks", task))["id"])


def get(path: str, *headers: str, method: str = "GET", version: str = "1.1") -> bytes:
    lines = [f"{method} {path} HTTP/{version}", "Host: hub", *headers]
    return "\r\n".join([*lines, "", ""]).encode()


async def test_a_poll_that_is_answered_at_once_is_answered_as_by_its_route(tmp_path: Path) -> None:
    async with served(tmp_path) as server:
        hub = Served(server)
        tasks: dict[str, str] = {"COMPLETE": await hub.create("complete")}
        async with plain_worker(hub.url, QUEUE) as worker:
            await worker.finish(await worker.assigned())
            tasks["EXECUTOR_ERROR"] = await hub.create("failed")
            await worker.finish(await worker.assigned(), exit_code=3)
            tasks["RUNNING"] = await hub.create("running")
            about = await worker.assigned()
            await worker.phase(about, "running")
            tasks["CANCELED"] = await hub.create("cancelled")
            await hub.ask("POST", f"v1/tasks/{tasks['CANCELED']}:cancel")
            tasks["INITIALIZING"] = await hub.create("waiting")
            async with asyncio.timeout(PATIENCE):
                while (await hub.ask("GET", f"v1/tasks/{tasks['RUNNING']}"))["state"] != "RUNNING":
                    pass
            keys = derived_keys(QUEUE)
            readers = (QUEUE, keys[KeyKind.READ], keys[KeyKind.SUBMIT_READ])
            for state, task in tasks.items():
                for prefix in PREFIXES:
                    for key in readers:
                        for query in ("", "?view=MINIMAL"):
                            path = f"/q/{key}/{prefix}/tasks/{task}{query}"
                            first, second, at_once = await hub.both(get(path))
                            assert at_once, path
                            assert first == second
                            assert f'{{"id":"{task}","state":"{state}"}}'.encode() in first
            task = tasks["RUNNING"]
            path = f"/q/{QUEUE}/v1/tasks/{task}"
            escaped = f"/q/{QUEUE}/v1/tasks/%{ord(task[0]):02x}{task[1:]}"
            for request in (
                get(path, "Connection: close"),
                get(path, "Connection: keep-alive", "Accept: */*", "User-Agent: x"),
                get(path, "Authorization: Basic Tm9uZTpOb25l"),
                get(path, "Origin: https://other.example", "Sec-Fetch-Site: cross-site"),
                get(path, "X-Forwarded-For: 192.0.2.7", "X-Forwarded-Proto: https", "X-Forwarded-Prefix: /a"),
                get(path, "Accept: text/html", "Range: bytes=0-3", 'If-None-Match: "x"'),
                get(path, version="1.0"),
                get(path, "Connection: keep-alive", version="1.0"),
                get(f"http://hub{path}"),
                get(f"{path}?"),
                get(f"{path}#end"),
                get(escaped),
                get(path) * 40,
            ):
                first, second, at_once = await hub.both(request)
                assert at_once, request
                assert first == second


@pytest.mark.parametrize("gate", [{}, {"local_queue": QUEUE, "local_port": 0}])
async def test_all_other_requests_take_the_way_of_the_routes(tmp_path: Path, gate: dict[str, Any]) -> None:
    async with served(tmp_path, **gate) as server:
        hub = Served(server)
        task = await hub.create("waiting")
        keys = derived_keys(QUEUE)
        strange = [QUEUE.upper(), "~", f"~{'a' * 52}", f"~{'A' * 52}", "%00", "a%2Fb", "local", ".", "x" * 300]
        for prefix in PREFIXES:
            path = f"/q/{QUEUE}/{prefix}/tasks/{task}"
            for request in (
                *(get(f"/q/{key}/{prefix}/tasks/{task}") for key in strange),
                *(get(f"/q/{keys[kind]}/{prefix}/tasks/{task}") for kind in (KeyKind.SUBMIT, KeyKind.WORK)),
                *(get(f"{path}?view={view}") for view in ("BASIC", "FULL", "minimal", "NONE", "")),
                get(f"{path}?view=MINIMAL&view=FULL"),
                get(f"/q/{QUEUE}/{prefix}/tasks/{ABSENT}"),
                get(f"/q/unknown-{QUEUE}/{prefix}/tasks/{task}"),
                *(get(f"/q/{QUEUE}/{prefix}/tasks/{odd}") for odd in (task.upper(), task[1:], f"{task}%0A", "")),
                get(f"{path}/"),
                get(f"{path}/more"),
                *(get(path, method=method) for method in ("HEAD", "OPTIONS", "POST", "PUT", "DELETE", "PATCH")),
                get(path, "Content-Length: 2") + b"{}",
                get(path, "Transfer-Encoding: chunked") + b"0\r\n\r\n",
                get(path, "Expect: 100-continue"),
                get(f"/q/{QUEUE}/{prefix}/tasks"),
                get(f"/q/{QUEUE}/{prefix}/service-info"),
                get(f"/q/{QUEUE}/{prefix}/nothing"),
            ):
                first, second, at_once = await hub.both(request)
                assert not at_once or b"Content-Length" in request or b"Transfer" in request or b"Expect" in request
                assert first == second, request


async def test_while_the_database_fails_or_a_change_is_not_stored_no_poll_is_answered_at_once(tmp_path: Path) -> None:
    async with served(tmp_path) as server:
        hub = Served(server)
        task = await hub.create("waiting")
        path = f"/q/{QUEUE}/v1/tasks/{task}"
        assert hub.prompts.answer(path, b"") is not None
        shell = hub.hub.registry.queues[QUEUE]
        hub.hub.committer.changed(shell, shell.core.jobs[task], first=False)
        assert hub.prompts.answer(path, b"") is None
        await hub.hub.committer.written()
        assert hub.prompts.answer(path, b"") is not None
        hub.hub.committer.failing = "no space is left"
        assert hub.prompts.answer(path, b"") is None
        hub.hub.committer.failing = None


async def test_a_queue_that_is_polled_stays_in_memory_and_one_that_is_not_leaves_it(tmp_path: Path) -> None:
    async with served(tmp_path) as server:
        hub = Served(server)
        task = await hub.create("waiting")
        registry = hub.hub.registry
        registry.sweep()
        for _ in range(3):
            assert hub.prompts.answer(f"/q/{QUEUE}/v1/tasks/{task}", b"") is not None
            await hub.hub.committer.written()
            registry.sweep()
            assert QUEUE in registry.queues
        assert (await hub.ask("GET", f"v1/tasks/{task}?view=BASIC"))["state"] == "INITIALIZING"
        registry.sweep()
        assert QUEUE in registry.queues
        registry.sweep()
        assert QUEUE not in registry.queues
