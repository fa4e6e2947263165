"""A real hub with small limits: what strangers are told at every door, and that others notice nothing of them."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import msgpack
import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed
from websockets.typing import Subprotocol

import asman
from asman_shared.errors import CloseCode
from devtools.asman_processes import HubProcess
from devtools.patience import PATIENCE
from tests.integration.server.keys.doors import hear, say
from tests.support.plain_worker import plain_worker

STRANGER = {"X-Forwarded-For": "203.0.113.7"}
OTHER = {"X-Forwarded-For": "203.0.113.8"}
SLOW = "1/h:3"
Message = dict[str, Any]


def definition(number: int) -> Message:
    return {"image": "alpine", "command": f"echo {number}"}


@pytest.fixture
def limited(hub_process: Callable[..., HubProcess]) -> Callable[..., HubProcess]:
    def started(*arguments: str) -> HubProcess:
        return hub_process("--log-level", "debug", *arguments)

    return started


@pytest.fixture
async def http() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=PATIENCE)) as session:
        yield session


@asynccontextmanager
async def client(hub: HubProcess, queue: str, headers: dict[str, str]) -> AsyncIterator[ClientConnection]:
    address = f"{hub.url.replace('http', 'ws')}/q/{queue}/client"
    native = [Subprotocol("asman.v1.msgpack")]
    async with connect(address, subprotocols=native, compression=None, additional_headers=headers) as opened:
        yield opened


async def answered(socket: ClientConnection, count: int) -> list[Message]:
    """The answers to as many requests, in the order of their refs."""
    found: dict[int, Message] = {}
    async with asyncio.timeout(PATIENCE):
        while len(found) < count:
            for message in msgpack.unpackb(await socket.recv(decode=False)):
                if "ref" in message:
                    found[message["ref"]] = message
    return [found[ref] for ref in sorted(found)]


def submits(numbers: range) -> Iterator[Message]:
    for number in numbers:
        yield {"type": "submit", "ref": number, "definition": definition(number), "follow": False}


async def test_a_stranger_is_told_limits_ahead_and_refused_beyond_them_on_a_websocket(
    limited: Callable[..., HubProcess],
) -> None:
    hub = await asyncio.to_thread(limited, "--limit-submits", SLOW)
    async with client(hub, "q", STRANGER) as socket:
        await say(socket, {"type": "hello"})
        welcome = await hear(socket, "welcome")
        assert welcome["rates"][0] == {
            "what": "submits",
            "of": "address",
            "most": 3,
            "rate": pytest.approx(1 / 3600),
            "left": 3,
        }
        await say(socket, *submits(range(1, 6)))
        answers = await answered(socket, 5)
    assert [answer["type"] for answer in answers] == ["accepted"] * 3 + ["error"] * 2
    assert answers[3]["code"] == "overloaded"
    assert answers[3]["retry"] is True
    assert 3_500_000 < answers[3]["retry_after"] <= 3_600_000
    assert "takes 1 submit an hour from one address; try again in" in answers[3]["message"]


async def test_http_answers_tell_what_is_left_and_when_to_come_again(
    limited: Callable[..., HubProcess], http: aiohttp.ClientSession
) -> None:
    hub = await asyncio.to_thread(limited, "--limit-submits", SLOW)

    async def submit(number: int, headers: dict[str, str]) -> tuple[int, Mapping[str, str], Message]:
        body = {"definition": definition(number)}
        async with http.post(f"{hub.url}/q/q/jobs", json=body, headers=headers) as answer:
            return answer.status, answer.headers, await answer.json()

    said = [await submit(number, STRANGER) for number in range(4)]
    assert [status for status, _, _ in said] == [201, 201, 201, 429]
    assert said[0][1]["RateLimit-Policy"] == '"submits-address";q=3;w=10800'
    assert said[0][1]["RateLimit"].startswith('"submits-address";r=2;t=')
    status, headers, body = said[3]
    assert int(headers["Retry-After"]) == -(-body["retry_after"] // 1000) > 3500
    assert body["code"] == "overloaded"
    assert (await submit(9, OTHER))[0] == 201
    status, headers, _ = await submit(10, {})
    assert status == 201
    assert "RateLimit" not in headers, "programs on the hub's own machine have no limits"


async def test_the_library_waits_for_a_limit_by_itself_and_says_why(
    limited: Callable[..., HubProcess], caplog: pytest.LogCaptureFixture
) -> None:
    hub = await asyncio.to_thread(limited, "--limit-submits", "20/s:5", "--unlimited", "none")
    with caplog.at_level(logging.WARNING, "asman.pacing"):
        async with asman.connect(f"{hub.url}/q/q", timeout=PATIENCE) as queue:
            jobs = [job async for job in queue.submit_many([definition(number) for number in range(30)])]
    assert len({job.id for job in jobs}) == 30
    assert caplog.messages[0].startswith("this hub takes 20 submits a second from one address; waiting ")


async def test_new_queues_are_limited_and_queues_that_exist_are_not(
    limited: Callable[..., HubProcess], http: aiohttp.ClientSession
) -> None:
    hub = await asyncio.to_thread(limited, "--limit-queues", "1/h:2")

    async def submit(queue: str, number: int = 0) -> int:
        body = {"definition": definition(number)}
        async with http.post(f"{hub.url}/q/{queue}/jobs", json=body, headers=STRANGER) as answer:
            return answer.status

    assert [await submit(f"new-{number}") for number in range(4)] == [201, 201, 429, 429]
    assert [await submit("new-0", number) for number in range(1, 4)] == [201] * 3


async def test_waiting_jobs_are_limited_until_a_worker_takes_some(
    limited: Callable[..., HubProcess], http: aiohttp.ClientSession
) -> None:
    hub = await asyncio.to_thread(limited, "--limit-queued", "address=2")

    async def submit(number: int) -> int:
        body = {"definition": definition(number)}
        async with http.post(f"{hub.url}/q/q{number}/jobs", json=body, headers=STRANGER) as answer:
            return answer.status

    assert [await submit(number) for number in range(3)] == [201, 201, 429]
    async with plain_worker(hub.url, "q0") as worker:
        await worker.assigned()
        assert await submit(3) == 201


async def test_connections_beyond_the_limit_are_closed_with_a_reason(limited: Callable[..., HubProcess]) -> None:
    hub = await asyncio.to_thread(limited, "--limit-connections", "address=2")
    async with client(hub, "a", STRANGER), client(hub, "b", STRANGER):
        async with client(hub, "c", STRANGER) as third:
            with pytest.raises(ConnectionClosed) as closed:
                async with asyncio.timeout(PATIENCE):
                    await third.recv()
        assert closed.value.rcvd is not None
        assert closed.value.rcvd.code == CloseCode.OVERLOADED
        assert "2 connections at the same time from one address" in closed.value.rcvd.reason
        async with client(hub, "c", OTHER) as other:
            await say(other, {"type": "hello"})
            await hear(other, "welcome")


@pytest.mark.parametrize(
    ("path", "member"), [("/q/a/jobs", "error"), ("/q/a/v1/tasks", "msg"), ("/q/a/ga4gh/tes/v1/service-info", "msg")]
)
async def test_a_request_that_is_one_too_many_is_refused_in_the_form_of_its_door(
    limited: Callable[..., HubProcess], http: aiohttp.ClientSession, path: str, member: str
) -> None:
    hub = await asyncio.to_thread(limited, "--limit-connections", "address=1")
    async with client(hub, "a", STRANGER) as socket:
        await say(socket, {"type": "hello"})
        await hear(socket, "welcome")
        async with http.get(f"{hub.url}{path}", headers=STRANGER) as refused:
            told = await refused.json()
            assert (refused.status, refused.headers["Access-Control-Allow-Origin"]) == (429, "*")
            assert int(refused.headers["Retry-After"]) >= 1
        assert "1 connection at the same time from one address" in told[member]
        async with http.get(f"{hub.url}{path}", headers=OTHER) as answered_:
            assert answered_.status == 200


async def test_bytes_of_blobs_are_limited_before_they_are_sent(
    limited: Callable[..., HubProcess], http: aiohttp.ClientSession
) -> None:
    hub = await asyncio.to_thread(limited, "--limit-bytes", "1KiB/h:10KiB")

    async def put(name: str, headers: dict[str, str]) -> int:
        async with http.put(f"{hub.url}/f/{name}", data=b"x" * 8192, headers=headers) as answer:
            return answer.status

    assert [await put("one.bin", STRANGER), await put("two.bin", STRANGER)] == [201, 429]
    assert await put("three.bin", OTHER) == 201
    async with client(hub, "q", STRANGER) as socket:
        await say(socket, {"type": "hello"}, {"type": "put_blobs", "ref": 1, "blobs": [["a" * 64, 5000]]})
        (answer,) = await answered(socket, 1)
    assert answer["type"] == "error"
    assert "of blobs and logs an hour from one address" in answer["message"]


async def test_what_is_kept_of_a_task_as_it_was_sent_counts_as_bytes(
    limited: Callable[..., HubProcess], http: aiohttp.ClientSession
) -> None:
    hub = await asyncio.to_thread(limited, "--limit-bytes", "1KiB/h:10KiB")

    async def create(number: int, headers: dict[str, str]) -> int:
        task = {
            "executors": [{"image": "alpine", "command": ["echo", f"{number}"]}],
            "tags": {f"tag-{tag}": "x" * 200 for tag in range(100)},
        }
        async with http.post(f"{hub.url}/q/tes-tags/ga4gh/tes/v1/tasks", json=task, headers=headers) as answer:
            return answer.status

    assert [await create(1, STRANGER), await create(2, STRANGER)] == [200, 429]
    assert await create(3, OTHER) == 200


async def test_a_worker_that_floods_its_log_is_read_slowly_and_keeps_its_job(
    limited: Callable[..., HubProcess],
) -> None:
    hub = await asyncio.to_thread(limited, "--limit-bytes", "200KiB/s:4KiB", "--unlimited", "none")
    async with plain_worker(hub.url, "q") as worker, asman.connect(f"{hub.url}/q/q", timeout=PATIENCE) as queue:
        job = await queue.submit(definition(0))
        about = await worker.assigned()
        for number in range(40):
            await worker.log(about, worker.log_next + number, "x" * 5000)
        await worker.finish(about, lines=40)
        assert (await job.wait(timeout=PATIENCE)).ok


async def test_a_flood_of_a_stranger_leaves_a_team_its_queue_and_the_hub_its_bounds(
    limited: Callable[..., HubProcess], http: aiohttp.ClientSession
) -> None:
    hub = await asyncio.to_thread(
        limited, *("--limit-submits", "20/s:20", "--limit-queues", "1/h:3", "--limit-connections", "address=20")
    )
    flooding = True

    async def many_submits() -> None:
        async with client(hub, "flood", STRANGER) as socket:
            await say(socket, {"type": "hello"})
            number = 0
            while flooding:
                await say(socket, *submits(range(number, number + 50)))
                number += 50
                await asyncio.sleep(0)

    async def many_queues(worker: int) -> None:
        number = 0
        while flooding:
            number += 1
            body = {"definition": definition(number)}
            async with http.post(f"{hub.url}/q/new-{worker}-{number}/jobs", json=body, headers=STRANGER) as answer:
                await answer.read()

    async def many_sockets() -> None:
        while flooding:
            async with client(hub, "flood", STRANGER) as socket:
                await socket.wait_closed()

    async with plain_worker(hub.url, "team") as worker, asman.connect(f"{hub.url}/q/team", timeout=PATIENCE) as queue:
        flood = [asyncio.create_task(each) for each in (many_submits(), *map(many_queues, range(4)), many_sockets())]
        try:
            for number in range(200):
                job = await queue.submit({"image": "alpine", "command": f"echo team {number}"})
                await worker.finish(await worker.assigned())
                assert (await job.wait(timeout=PATIENCE)).ok
        finally:
            flooding = False
            for task in flood:
                task.cancel()
            await asyncio.gather(*flood, return_exceptions=True)
    async with http.get(f"{hub.url}/metrics") as answer:
        figures = dict(line.rsplit(" ", 1) for line in (await answer.text()).splitlines() if line[0] != "#")
    assert float(figures['asman_limited_total{of="address",what="submits"}']) > 0
    assert float(figures["asman_limited_parties"]) < 50
