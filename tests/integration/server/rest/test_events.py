"""A job as server-sent events: history first, numbered, resumed without a line twice or silently left out."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from asman_server.config import HubConfig
from asman_server.main import HubServer
from asman_server.rest import events as rest_events
from devtools.asman_processes import HubProcess
from devtools.patience import PATIENCE
from tests.support.api import Api, opened_api
from tests.support.plain_worker import plain_worker


@dataclass
class Event:
    """One event as it came."""

    id: str
    kind: str
    data: Any


class Events:
    """Reads one stream, as the standard says."""

    def __init__(self, response: aiohttp.ClientResponse) -> None:
        self._response = response
        self.comments = 0

    async def __aiter__(self) -> AsyncIterator[Event]:
        fields: dict[str, str] = {}
        async for raw in self._response.content:
            line = raw.decode().rstrip("\n")
            if line.startswith(":"):
                self.comments += 1
            elif line:
                name, _, value = line.partition(": ")
                fields[name] = value
            elif "data" in fields:
                yield Event(fields["id"], fields["event"], json.loads(fields["data"]))
                fields = {}

    async def until(self, kind: str, count: int = 1) -> list[Event]:
        """The events up to the given number of one kind; the stream is not read to its end."""
        found: list[Event] = []
        async with asyncio.timeout(PATIENCE):
            async for event in self:
                found.append(event)
                count -= event.kind == kind
                if not count:
                    return found
        raise AssertionError(f"the stream ended after {[event.kind for event in found]}")

    async def rest(self) -> list[Event]:
        """All events to the end of the stream."""
        async with asyncio.timeout(PATIENCE):
            return [event async for event in self]


@asynccontextmanager
async def listening(api: Api, path: str, last: str = "") -> AsyncIterator[Events]:
    """A stream; leaving the block cuts the connection."""
    async with aiohttp.ClientSession() as session:
        headers = {"Last-Event-ID": last} if last else {}
        async with session.get(api.url + path, headers=headers) as response:
            assert response.status == 200
            assert response.content_type == "text/event-stream"
            assert response.headers["Access-Control-Allow-Origin"] == "*"
            yield Events(response)


@pytest.fixture
async def hub(hub_process: Callable[..., HubProcess]) -> HubProcess:
    return await asyncio.to_thread(hub_process)


@pytest.fixture
async def api(hub: HubProcess) -> AsyncIterator[Api]:
    async with opened_api(hub.url) as opened:
        yield opened


def texts(events: list[Event]) -> list[str]:
    return [event.data["text"] for event in events if event.kind == "log"]


async def test_a_job_from_queued_to_final(api: Api, hub: HubProcess) -> None:
    job = await api.submit("s")
    async with listening(api, f"/q/s/jobs/{job}/events") as stream:
        assert [event.data["state"] for event in await stream.until("state")] == ["Queued"]
        async with plain_worker(hub.url, "s") as worker:
            about = await worker.assigned()
            await worker.log(about, 0, "zero", "one", "two")
            seen = await stream.until("log", 3)
            await worker.log(about, 3, "three", stream=1)
            await worker.finish(about, 3, lines=4, outputs={"o": {"ref": {"value": "x"}, "size": 1, "sha256": "y"}})
            seen += await stream.rest()
    assert texts(seen) == ["zero", "one", "two", "three"]
    assert [event.data["seq"] for event in seen if event.kind == "log"] == [0, 1, 2, 3]
    assert [event.kind for event in seen].index("final") == len(seen) - 1
    final = seen[-1].data
    assert (final["verdict"]["reason"], final["verdict"]["exit_code"]) == ("Failed", 3)
    assert list(final["result"]["outputs"]) == ["o"]
    assert [event.data["state"] for event in seen if event.kind == "state"] in ([], ["Running"])
    assert len({event.id for event in seen}) == len(seen)


async def test_the_history_of_a_finished_job_comes_first_and_then_nothing_more(api: Api, hub: HubProcess) -> None:
    job = await api.submit("s")
    async with plain_worker(hub.url, "s") as worker:
        about = await worker.assigned()
        await worker.log(about, 0, "zero", "one")
        await worker.finish(about, lines=2)
    async with listening(api, f"/q/s/jobs/{job}/events") as stream:
        seen = await stream.rest()
    assert [event.kind for event in seen] == ["log", "log", "final"]
    assert (await api.get(f"/q/s/jobs/{job}/events", headers={"Last-Event-ID": seen[-1].id})).status == 204
    async with listening(api, f"/q/s/jobs/{job}/events", seen[0].id) as stream:
        assert [event.kind for event in await stream.rest()] == ["log", "final"]
    async with listening(api, f"/q/s/jobs/{job}/events?last_event_id={seen[1].id}") as stream:
        assert [event.kind for event in await stream.rest()] == ["final"]


@pytest.mark.parametrize("restarted", [False, True])
async def test_a_cut_connection_goes_on_where_it_was(api: Api, hub: HubProcess, restarted: bool) -> None:
    job = await api.submit("s")
    path = f"/q/s/jobs/{job}/events"
    async with plain_worker(hub.url, "s") as worker:
        about = await worker.assigned()
        await worker.phase(about)
        await worker.log(about, 0, *map(str, range(10)))
        async with listening(api, path) as stream:
            seen = await stream.until("log", 4)
        await worker.log(about, 10, *map(str, range(10, 1000)))
        await worker.log(about, 1000, *map(str, range(1000, 1500)))
        async with listening(api, path, seen[-1].id) as stream:
            seen += await stream.until("log", 700)
        if restarted:
            await asyncio.to_thread(hub.restart)
        else:
            await worker.finish(about, lines=1500)
    if restarted:
        async with plain_worker(hub.url, "s", holding=[{**about, "phase": "running", "done": True}]) as worker:
            wanted = worker.registered["keep"][0].get("log_next", 0)
            await worker.log(about, wanted, *map(str, range(wanted, 1000)))
            await worker.log(about, max(wanted, 1000), *map(str, range(max(wanted, 1000), 1500)))
            await worker.finish(about, lines=1500)
    async with listening(api, path, seen[-1].id) as stream:
        seen += await stream.rest()
    assert texts(seen) == [str(n) for n in range(1500)]
    assert [event.kind for event in seen].count("final") == 1
    assert seen[-1].kind == "final"


async def test_lines_that_are_not_kept_are_a_gap(api: Api, hub: HubProcess) -> None:
    job = await api.submit("s")
    async with plain_worker(hub.url, "s") as worker:
        about = await worker.assigned()
        await worker.log(about, 0, "zero")
        await worker.log(about, 5, "five")
        await worker.finish(about, lines=9)
    async with listening(api, f"/q/s/jobs/{job}/events") as stream:
        seen = await stream.rest()
    assert [event.kind for event in seen] == ["log", "gap", "log", "gap", "final"]
    assert [event.data for event in seen if event.kind == "gap"] == [{"since": 1, "until": 5}, {"since": 6, "until": 9}]
    async with listening(api, f"/q/s/jobs/{job}/events", seen[1].id) as stream:
        assert [event.kind for event in await stream.rest()] == ["log", "gap", "final"]


async def test_lines_that_a_killed_hub_took_along_are_a_gap_for_whoever_was_there(api: Api, hub: HubProcess) -> None:
    """Its worker has let go of them too: what comes next has a later number."""
    job = await api.submit("s")
    path = f"/q/s/jobs/{job}/events"
    async with plain_worker(hub.url, "s") as worker:
        about = await worker.assigned()
        await worker.phase(about)
        await worker.log(about, 0, "zero", "one")
        async with listening(api, path) as stream:
            seen = await stream.until("log", 2)
        await asyncio.to_thread(hub.restart)
    async with plain_worker(hub.url, "s", holding=[{**about, "phase": "running", "done": True}]) as worker:
        assert worker.registered["keep"][0].get("log_next", 0) <= 2
        async with listening(api, path, seen[-1].id) as stream:
            await worker.log(about, 20, "twenty")
            seen += await stream.until("log")
        async with listening(api, path, seen[-1].id) as stream:
            await worker.finish(about, lines=22)
            seen += await stream.rest()
    told = [(event.kind, event.data.get("seq", event.data)) for event in seen if event.kind in ("log", "gap")]
    assert told == [
        ("log", 0),
        ("log", 1),
        ("gap", {"since": 2, "until": 20}),
        ("log", 20),
        ("gap", {"since": 21, "until": 22}),
    ]
    assert [event.kind for event in seen].count("final") == 1


async def test_another_run_than_the_reader_knew_begins_with_a_reset(api: Api, hub: HubProcess) -> None:
    job = await api.submit("s")
    async with plain_worker(hub.url, "s") as worker:
        for text in ("first", "second"):
            about = await worker.assigned()
            await worker.log(about, worker.log_next, text)
            await worker.finish(about, lines=worker.log_next + 1)
            async with listening(api, f"/q/s/jobs/{job}/events") as stream:
                seen = await stream.rest()
            if text == "first":
                known = seen[-1].id
                await api.submit("s", reuse="never")
    assert texts(seen) == ["second"]
    async with listening(api, f"/q/s/jobs/{job}/events", known) as stream:
        again = await stream.rest()
    assert [event.kind for event in again] == ["reset", "log", "final"]
    assert texts(again) == ["second"]
    page = (await api.get(f"/q/s/jobs/{job}/log")).json
    assert [line["text"] for line in page["lines"]] == ["second"]
    assert "gaps" not in page


async def test_a_job_that_is_deleted_while_somebody_listens_ends_the_stream(api: Api) -> None:
    job = await api.submit("s")
    async with listening(api, f"/q/s/jobs/{job}/events") as stream:
        await stream.until("state")
        assert (await api.call("DELETE", f"/q/s/jobs/{job}")).status == 200
        seen = await stream.rest()
    assert [(event.kind, event.data["verdict"]["reason"]) for event in seen] == [("final", "Deleted")]


async def test_a_hub_that_stops_ends_the_stream_without_a_final(api: Api, hub: HubProcess) -> None:
    job = await api.submit("s")
    async with listening(api, f"/q/s/jobs/{job}/events") as stream:
        first = await stream.until("state")
        ending = asyncio.create_task(asyncio.to_thread(hub.terminate))
        assert await stream.rest() == []
        assert await ending == 0
    await asyncio.to_thread(hub.start)
    await api.post(f"/q/s/jobs/{job}/cancel")
    async with listening(api, f"/q/s/jobs/{job}/events", first[-1].id) as stream:
        seen = await stream.rest()
    assert [(event.kind, event.data["verdict"]["reason"]) for event in seen] == [("final", "Cancelled")]


async def test_a_comment_is_sent_when_there_is_nothing_to_say(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rest_events, "HEARTBEAT", 0.02)
    server = HubServer(HubConfig(port=0, data_dir=tmp_path))
    await server.start()
    try:
        async with opened_api(server.address) as api:
            job = await api.submit("s")
            async with listening(api, f"/q/s/jobs/{job}/events") as stream:
                reading = asyncio.create_task(stream.rest())
                async with asyncio.timeout(PATIENCE):
                    while stream.comments < 3:
                        await asyncio.sleep(0.01)
                await api.post(f"/q/s/jobs/{job}/cancel")
                assert [event.kind for event in await reading] == ["state", "final"]
    finally:
        await server.stop()
