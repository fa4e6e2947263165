"""Garbage on the wire: each gets an error or a close code from the table, the hub's memory comes back, and somebody on
another queue notices nothing."""

from __future__ import annotations

import asyncio
import json
import random
import socket
import struct
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import msgpack
import psutil
import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed
from websockets.typing import Subprotocol

from asman_shared import limits
from asman_shared.errors import CLOSE_REASONS, CloseCode
from devtools.asman_processes import HubProcess
from devtools.patience import PATIENCE

MARGIN = 48 * 1024 * 1024
"""Bytes by which a hub may be larger than before: allocators keep some, and its caches are warm."""
MSGPACK, JSON = "asman.v1.msgpack", "asman.v1.json"

Message = dict[str, Any]


def told(closed: ConnectionClosed) -> tuple[int, str]:
    """The code and sentence of a close frame; without one the connection just broke."""
    assert closed.rcvd is not None, "the connection broke without a close code"
    return closed.rcvd.code, closed.rcvd.reason


class Talk:
    """A plain websocket to a hub."""

    def __init__(self, socket: ClientConnection) -> None:
        self.socket = socket
        self.binary = socket.subprotocol == MSGPACK
        self._waiting: list[Message] = []

    async def send(self, *messages: Any) -> None:
        await self.socket.send(msgpack.packb(messages) if self.binary else json.dumps(messages))

    async def next(self, kind: str, **members: Any) -> Message:
        """The next message of a kind; all others before it are dropped."""
        async with asyncio.timeout(PATIENCE):
            while True:
                while self._waiting:
                    message = self._waiting.pop(0)
                    if message["type"] == kind and members.items() <= message.items():
                        return message
                frame = await self.socket.recv()
                self._waiting += msgpack.unpackb(frame) if isinstance(frame, bytes) else json.loads(frame)

    async def closed(self) -> tuple[int, str, list[Message]]:
        """The code and sentence of the close frame, and the errors that came before it."""
        errors = []
        try:
            async with asyncio.timeout(PATIENCE):
                while True:
                    frame = await self.socket.recv()
                    messages = msgpack.unpackb(frame) if isinstance(frame, bytes) else json.loads(frame)
                    errors += [message for message in messages if message["type"] == "error"]
        except ConnectionClosed as closed:
            return *told(closed), errors


@asynccontextmanager
async def dial(hub: HubProcess, queue: str, kind: str = "client", language: str = MSGPACK) -> AsyncIterator[Talk]:
    address = f"{hub.url.replace('http', 'ws')}/q/{queue}/{kind}"
    async with connect(
        address, subprotocols=[Subprotocol(language)], compression=None, max_size=None, close_timeout=2
    ) as opened:
        yield Talk(opened)


@asynccontextmanager
async def greeted(hub: HubProcess, queue: str, language: str = MSGPACK, **hello: Any) -> AsyncIterator[Talk]:
    """A client that has been welcomed."""
    async with dial(hub, queue, language=language) as talk:
        await talk.send({"type": "hello", **hello})
        await talk.next("welcome")
        yield talk


@asynccontextmanager
async def employed(
    hub: HubProcess, queue: str, incarnation: str = "0123456789abcdef", **more: Any
) -> AsyncIterator[Talk]:
    """A worker that is registered."""
    async with dial(hub, queue, "worker") as talk:
        await talk.send({"type": "register", "incarnation": incarnation, "name": "w", "cpus": 1, **more})
        await talk.next("registered")
        yield talk


class Bystander:
    """Somebody on another queue who does ordinary things all the time.

    Attributes:
        answered: Requests that were answered.
    """

    def __init__(self, hub: HubProcess) -> None:
        self._hub = hub
        self.answered = 0

    async def live(self) -> None:
        async with greeted(self._hub, "bystander") as client, employed(self._hub, "bystander") as worker:
            while True:
                self.answered += 1
                command = f"echo {self.answered}"
                await client.send(
                    {"type": "submit", "ref": self.answered, "definition": {"image": "a", "command": command}}
                )
                assign = await worker.next("assign")
                about = {"job": assign["job"], "attempt": assign["attempt"]}
                await worker.send({"type": "finished", "outcome": {"kind": "exited", "exit_code": 0}, **about})
                await worker.next("acknowledged", job=assign["job"])
                await client.next("accepted", ref=self.answered)
                await client.send({"type": "list", "ref": 0, "limit": 1})
                await client.next("jobs")
                await asyncio.sleep(0.02)


@pytest.fixture
async def hub(hub_process: Callable[..., HubProcess]) -> AsyncIterator[HubProcess]:
    """A hub, with a bystander who must not notice anything."""
    started = await asyncio.to_thread(hub_process, "--grace", "1s", "--log-level", "warning")
    bystander = Bystander(started)
    living = asyncio.ensure_future(bystander.live())
    try:
        async with asyncio.timeout(PATIENCE):
            while bystander.answered < 3:
                await asyncio.sleep(0.01)
        yield started
        before = bystander.answered
        async with asyncio.timeout(PATIENCE):
            while bystander.answered < before + 3 and not living.done():
                await asyncio.sleep(0.01)
        assert not living.done(), f"the bystander was disturbed: {living.exception()!r}"
        assert "Traceback" not in started.output(), started.tail()
    finally:
        living.cancel()
        await asyncio.wait([living])


def memory(hub: HubProcess) -> int:
    return int(psutil.Process(hub.pid).memory_info().rss)


async def settles(hub: HubProcess, before: int, margin: int = MARGIN) -> None:
    """Waits until the hub is about as large as it was."""
    async with asyncio.timeout(PATIENCE):
        while memory(hub) > before + margin:
            await asyncio.sleep(0.1)


def established(hub: HubProcess) -> int:
    """How many connections the hub has."""
    return sum(one.status == "ESTABLISHED" for one in psutil.Process(hub.pid).net_connections("tcp"))


async def sockets_are(hub: HubProcess, most: int) -> None:
    """Waits until the hub has at most so many connections."""
    async with asyncio.timeout(PATIENCE):
        while established(hub) > most:
            await asyncio.sleep(0.1)


async def metric(hub: HubProcess, name: str) -> float:
    """One of the numbers that the hub counts."""
    async with aiohttp.ClientSession() as session, session.get(f"{hub.url}/metrics") as answer:
        (line,) = [line for line in (await answer.text()).splitlines() if line.startswith(f"{name} ")]
    return float(line.split()[1])


def in_table(code: int, reason: str) -> bool:
    return code in set(CloseCode) and bool(reason)


# ----------------------------------------------------------------------------------------------------------- frames


@pytest.mark.parametrize("kind", ["client", "worker"])
async def test_random_bytes_get_a_close_code_from_the_table(hub: HubProcess, kind: str) -> None:
    dice = random.Random(7)
    for _ in range(60):
        noise = dice.randbytes(dice.choice([1, 2, 16, 300, 70_000]))
        async with dial(hub, f"noise-{dice.random()}", kind) as talk:
            await talk.socket.send(noise)
            code, reason, _ = await talk.closed()
            assert code in (CloseCode.PROTOCOL, CloseCode.TOO_BIG), reason
            assert in_table(code, reason)


@pytest.mark.parametrize("language", [MSGPACK, JSON])
async def test_random_bytes_after_the_welcome_get_a_close_code_or_errors(hub: HubProcess, language: str) -> None:
    dice = random.Random(8)
    for _ in range(60):
        noise = dice.randbytes(dice.choice([1, 2, 16, 300]))
        async with greeted(hub, "noise", language) as talk:
            await talk.socket.send(noise if language == MSGPACK else noise.decode("latin-1"))
            await talk.send({"type": "ping", "ref": 1})
            try:
                await talk.next("pong", ref=1)
            except ConnectionClosed as closed:
                refused = told(closed)
                assert in_table(*refused)


async def test_bytes_that_are_no_websocket_frames_get_a_close_code_from_the_table(hub: HubProcess) -> None:
    for frame, code in (
        (b"\xff\xff\xff\xff\xff\xff", CloseCode.BAD_FRAME),
        (b"\x81\x82\x00\x00\x00\x00\xff\xff", CloseCode.BAD_TEXT),
        (b"\x82\x02hi", CloseCode.BAD_FRAME),
    ):
        async with greeted(hub, "frames", JSON) as talk:
            talk.socket.transport.write(frame)
            assert (await talk.closed())[0] == code


async def test_wrong_types_get_an_error_that_names_the_field_and_the_connection_lives(hub: HubProcess) -> None:
    wrong: list[tuple[Any, str | None]] = [
        ({"type": "submit", "ref": 1, "definition": 7}, "definition"),
        ({"type": "submit", "ref": 1, "definition": {"image": ["a"]}}, "definition.image"),
        ({"type": "submit", "ref": 1, "definition": {"image": "a"}, "priority": 1e300}, "priority"),
        ({"type": "submit", "ref": 1, "definition": {"image": "a"}, "namespace": ""}, "namespace"),
        ({"type": "submit", "ref": 1, "definition": {"image": "a"}, "max_attempts": 10**6}, "max_attempts"),
        ({"type": "list", "ref": 1, "before": 2**60}, "before"),
        ({"type": "list", "ref": 1, "limit": 0}, "limit"),
        ({"type": "get", "ref": 1, "job": None}, "job"),
        ({"type": "get_blobs", "ref": 1, "keys": ["x"]}, "keys[0]"),
        ({"type": "put_blobs", "ref": 1, "blobs": [["0" * 64, -1]]}, "blobs[0][1]"),
        ({"type": "x" * 100_000, "ref": 1}, "type"),
        ({"type": None, "ref": 1}, "type"),
        ({"ref": 1}, None),
        (7, None),
        ("submit", None),
        (None, None),
        ([[[]]], None),
    ]
    for language in (MSGPACK, JSON):
        async with greeted(hub, "types", language) as talk:
            for message, field in wrong:
                await talk.send(message)
                error = await talk.next("error")
                assert error["code"] == "bad_request"
                assert error.get("field") == field
                assert error.get("ref") == (1 if isinstance(message, dict) else None)
                assert 0 < len(error["message"]) <= 400, "an error repeats all that was sent"
            await talk.send({"type": "ping", "ref": 2})
            await talk.next("pong", ref=2)


async def test_numbers_that_json_can_write_and_nobody_can_store_are_refused(hub: HubProcess) -> None:
    async with greeted(hub, "numbers", JSON) as client, dial(hub, "numbers", "worker", JSON) as liar:
        await liar.send({"type": "register", "incarnation": "0123456789abcdef", "name": "liar", "cpus": 1})
        await client.send({"type": "submit", "ref": 1, "definition": {"image": "a"}})
        await client.next("accepted", ref=1)
        job = (await liar.next("assign"))["job"]
        output = {"ref": {"value": "x"}, "size": 1, "sha256": "0" * 64}
        for result in (
            {"phases": {"running": 10**30}},
            {"outputs": {"a": {**output, "size": 10**30}}},
            {"outputs": {"a": {**output, "mode": 10**30}}},
            {"outputs": {"a": {**output, "ref": {"type": "json", "value": 10**30}}}},
        ):
            outcome = {"kind": "exited", "exit_code": 0, "result": result}
            await liar.send({"type": "finished", "job": job, "attempt": 1, "outcome": outcome})
            assert (await liar.next("error"))["message"]
        await liar.send({"type": "finished", "job": job, "attempt": 1, "outcome": {"kind": "exited", "exit_code": 0}})
        await liar.next("acknowledged", job=job)
        await client.send({"type": "submit", "ref": 2, "definition": {"image": "a"}})
        assert (await client.next("accepted", ref=2))["answer"] == "cached"


async def test_a_worker_whose_capacity_is_no_number_is_refused(hub: HubProcess) -> None:
    for cpus in (float("nan"), float("inf"), -1.0, 0.0, "many"):
        async with dial(hub, "nan", "worker") as talk:
            await talk.send({"type": "register", "incarnation": "0123456789abcdef", "name": "nan", "cpus": cpus})
            code, reason, _ = await talk.closed()
            assert code == CloseCode.PROTOCOL
            assert reason


@pytest.mark.parametrize("language", [MSGPACK, JSON])
async def test_deep_nesting_is_an_error(hub: HubProcess, language: str) -> None:
    deep = 200_000
    async with greeted(hub, "deep", language) as talk:
        await talk.socket.send(b"\x91" * deep + b"\x90" if language == MSGPACK else "[" * deep + "]" * deep)
        code, reason, errors = await talk.closed()
        assert (code, errors[0]["code"]) == (CloseCode.PROTOCOL, "bad_request")
        assert reason
    async with greeted(hub, "deep", language) as talk:
        value: Any = "x"
        for _ in range(400):
            value = [value]
        submit = {
            "type": "submit",
            "ref": 1,
            "definition": {"image": "a", "inputs": {"x": {"type": "json", "value": value}}},
        }
        await talk.send(submit)
        await talk.send({"type": "ping", "ref": 2})
        await talk.next("pong", ref=2)


async def test_a_reason_in_any_script_fits_into_its_close_frame(hub: HubProcess) -> None:
    async with dial(hub, "umlauts") as talk:
        await talk.send({"type": "hello", "follow": "ü" * 300})
        code, reason, _ = await talk.closed()
        assert code == CloseCode.PROTOCOL
        assert "ü" in reason


# ------------------------------------------------------------------------------------------------------------- size


@pytest.mark.parametrize("language", [MSGPACK, JSON])
async def test_a_frame_over_the_limit_is_told_that_it_is_too_big(hub: HubProcess, language: str) -> None:
    before = memory(hub)
    for size in (limits.FRAME_BYTES + 1, 8 * 1024 * 1024):
        async with greeted(hub, "big", language) as talk:
            await talk.socket.send(b"\xc1" * size if language == MSGPACK else " " * size)
            code, reason, errors = await talk.closed()
            assert code == CloseCode.TOO_BIG
            assert str(limits.FRAME_BYTES) in reason
            assert errors[0]["code"] == "too_large"
    await settles(hub, before)


async def test_a_frame_over_what_is_read_at_all_is_cut_off_unread(hub: HubProcess) -> None:
    before = memory(hub)
    for _ in range(5):
        async with greeted(hub, "huge") as talk:
            header = b"\x82\xff" + struct.pack("!Q", 2**40) + b"\x00\x00\x00\x00"
            talk.socket.transport.write(header + b"x" * 1_000_000)
            assert (await talk.closed())[0] == CloseCode.TOO_BIG
    await settles(hub, before)


@pytest.mark.parametrize("language", [MSGPACK, JSON])
async def test_a_million_bad_messages_in_a_frame_cost_one_error(hub: HubProcess, language: str) -> None:
    before = memory(hub)
    count = 1_000_000
    packed = b"\xdd" + count.to_bytes(4, "big") + b"\x80" * count
    for _ in range(3):
        async with greeted(hub, "many", language) as talk:
            await talk.socket.send(packed if language == MSGPACK else "[" + ",".join(["{}"] * count) + "]")
            code, _, errors = await talk.closed()
            assert code == CloseCode.TOO_BIG
            assert len(errors) == 1
    await settles(hub, before, 2 * MARGIN)


async def test_http_requests_without_end_are_refused(hub: HubProcess) -> None:
    for noise in (b"\x00\xff" * 1000, b"GET / HTTP/1.1\r\n" + b"a: b\r\n" * 2_000_000, b"GET /" + b"x" * 10_000_000):
        reader, writer = await asyncio.open_connection("127.0.0.1", hub.port)
        try:
            writer.write(noise)
            async with asyncio.timeout(PATIENCE):
                answer = await reader.read(100)
            assert b" 4" in answer.split(b"\r\n")[0]
        except ConnectionError:
            pass  # it was cut off while it still wrote
        finally:
            writer.close()


# ------------------------------------------------------------------------------------------------------------ names


async def test_thousands_of_unknown_queue_names_leave_nothing_behind(hub: HubProcess) -> None:
    async def visit(first: int, count: int) -> None:
        for number in range(first, first + count):
            async with greeted(hub, f"unknown-{number}"):
                pass

    async def ask(session: aiohttp.ClientSession, first: int, count: int) -> None:
        for number in range(first, first + count):
            async with session.get(f"{hub.url}/q/asked-{number}/jobs") as answer:
                await answer.read()

    async with aiohttp.ClientSession() as session:
        await asyncio.gather(*(visit(n * 100, 50) for n in range(10)), ask(session, 0, 500))
        before = memory(hub)
        await asyncio.gather(
            *(visit(1_000_000 + n * 1000, 150) for n in range(10)),
            *(ask(session, 1_000_000 + n * 1000, 150) for n in range(10)),
        )
        await settles(hub, before, 8 * 1024 * 1024)
        assert await metric(hub, "asman_queues") == 1, "queues that nobody uses are in memory"


# ---------------------------------------------------------------------------------------------------------- workers


async def test_a_worker_that_lies_about_its_attempts_gains_nothing(hub: HubProcess) -> None:
    async with greeted(hub, "lies") as client, employed(hub, "lies", "honest-0123456789") as honest:
        await client.send({"type": "submit", "ref": 1, "definition": {"image": "a"}})
        assign = await honest.next("assign")
        job, attempt = assign["job"], assign["attempt"]
        lies = [{"job": job, "attempt": n, "phase": "running"} for n in (attempt, attempt + 1, 2**53 - 1)]
        async with dial(hub, "lies", "worker") as liar:
            register = {"type": "register", "incarnation": "liar-0123456789ab", "name": "liar", "cpus": 100_000}
            await liar.send({**register, "memory": 2**53 - 1, "gpus": 10_000, "holding": lies})
            registered = await liar.next("registered")
            assert len(registered["abort"]) == len(lies)
            assert not registered.get("keep")
            for lie in lies:
                about = {"job": job, "attempt": lie["attempt"]}
                await liar.send({"type": "phase", "phase": "running", **about})
                await liar.next("abort", **about)
                await liar.send({"type": "log_batch", "lines": [[0, 1, 0, "I was here"]], **about})
                await liar.send({"type": "finished", "outcome": {"kind": "exited", "exit_code": 0}, **about})
                assert (await liar.next("acknowledged", **about))["accepted"] is False
            await liar.send(*({"type": "released", "job": job, "attempt": lie["attempt"]} for lie in lies))
        about = {"job": job, "attempt": attempt}
        await honest.send({"type": "log_batch", "lines": [[0, 1, 0, "true"]], **about})
        await honest.send({"type": "released", **about})
        again = await honest.next("assign", job=job)
        assert attempt < again["attempt"] < attempt + 10, "a made-up attempt number was believed"
        about = {"job": job, "attempt": again["attempt"]}
        await honest.send({"type": "finished", "outcome": {"kind": "exited", "exit_code": 5}, **about})
        assert (await honest.next("acknowledged", **about)).get("accepted", True)
        await client.send({"type": "get", "ref": 2, "job": job})
        assert (await client.next("job", ref=2))["job"]["verdict"]["exit_code"] == 5
        await client.send({"type": "read_log", "ref": 3, "job": job})
        assert [line[3] for line in (await client.next("log_page", ref=3))["lines"]] == ["true"]


async def test_workers_that_claim_to_hold_what_nobody_gave_them_are_forgotten(hub: HubProcess) -> None:
    async def claim(number: int) -> None:
        holding = [{"job": f"{n:064x}", "attempt": number, "phase": "running"} for n in range(10_000)]
        async with dial(hub, "claims", "worker") as liar:
            register = {"type": "register", "incarnation": f"claimant-{number:010}", "name": "liar", "cpus": 1}
            await liar.send({**register, "holding": holding})
            assert len((await liar.next("registered"))["abort"]) == len(holding)

    for number in range(10):
        await claim(number)
    before = memory(hub)
    for number in range(10, 50):
        await claim(number)
    await settles(hub, before)
    async with greeted(hub, "claims") as client:
        async with asyncio.timeout(PATIENCE):
            while True:
                await client.send({"type": "workers", "ref": 1})
                if not (await client.next("worker_list", ref=1))["workers"]:
                    break
                await asyncio.sleep(0.1)


async def test_a_flood_about_jobs_that_a_worker_does_not_have_costs_only_itself(hub: HubProcess) -> None:
    line = "x" * 1000
    before = memory(hub)
    async with employed(hub, "flood") as worker:
        for number in range(200):
            about = {"job": f"{number:064x}", "attempt": 1}
            await worker.send(
                *({"type": "log_batch", "lines": [[n, 1, 0, line] for n in range(100)], **about} for _ in range(10)),
                *({"type": "phase", "phase": "running", **about} for _ in range(10)),
                {"type": "finished", "outcome": {"kind": "exited", "exit_code": 0}, **about},
            )
            await worker.next("acknowledged", job=about["job"], accepted=False)
    await settles(hub, before)


# ---------------------------------------------------------------------------------------------------- slow and silent


async def test_a_reader_that_never_reads_is_closed_and_its_memory_comes_back(hub: HubProcess) -> None:
    """Twenty thousand changes are pushed at somebody who takes none."""
    before = memory(hub)
    connections = established(hub)
    deaf = socket.socket()
    deaf.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    deaf.connect(("127.0.0.1", hub.port))
    request = (
        "GET /q/busy/client HTTP/1.1\r\nHost: hub\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nSec-WebSocket-Version: 13\r\n"
        f"Sec-WebSocket-Protocol: {JSON}\r\n\r\n"
    )
    deaf.sendall(request.encode())
    assert b"101" in await asyncio.to_thread(deaf.recv, 1024)
    hello = json.dumps([{"type": "hello", "follow": "queue"}]).encode()
    deaf.sendall(bytes((0x81, 0x80 | len(hello))) + b"\0\0\0\0" + hello)
    async with greeted(hub, "busy", agent="busy") as client:
        for number in range(100):
            await client.send(
                *(
                    {
                        "type": "submit",
                        "ref": n,
                        "definition": {"image": "a", "command": f"{number}-{n}-{'x' * 180}"},
                        "follow": False,
                    }
                    for n in range(200)
                )
            )
            for n in range(200):
                await client.next("accepted", ref=n)
        assert await metric(hub, "asman_outbox_overflows_total") == 1
        await client.send({"type": "cancel", "ref": 1, "job": "0" * 64})
        await client.next("error", ref=1)
    await sockets_are(hub, connections)
    await settles(hub, before, 2 * MARGIN)
    deaf.close()


async def test_a_reader_that_wakes_up_is_told_that_it_was_too_slow(hub: HubProcess) -> None:
    async with greeted(hub, "slow", JSON, follow="queue") as slow, greeted(hub, "slow") as client:
        slow.socket.transport.pause_reading()
        ref = 0
        while True:
            ref += 1
            await client.send(
                *(
                    {"type": "submit", "ref": n, "definition": {"image": "a", "command": f"{ref}-{n}-{'x' * 180}"}}
                    for n in range(500)
                )
            )
            for n in range(500):
                await client.next("accepted", ref=n)
            if await metric(hub, "asman_outbox_overflows_total"):
                break
            assert ref < 100
        slow.socket.transport.resume_reading()
        code, reason, _ = await slow.closed()
        assert (code, reason) == (CloseCode.SLOW_READER, CLOSE_REASONS[CloseCode.SLOW_READER])


async def test_who_says_nothing_or_half_of_it_is_let_go(hub: HubProcess) -> None:
    connections = established(hub)
    silent = [await asyncio.open_connection("127.0.0.1", hub.port) for _ in range(50)]
    for _, writer in silent[:25]:
        writer.write(b"GET / HTTP/1.1\r\nHost: hu")
    async with dial(hub, "mute") as client, dial(hub, "mute", "worker") as worker:
        for talk in (client, worker):
            assert (await talk.closed())[:2] == (CloseCode.HELLO_TIMEOUT, CLOSE_REASONS[CloseCode.HELLO_TIMEOUT])
    for reader, _ in silent:
        async with asyncio.timeout(PATIENCE):
            assert b"408" in await reader.read()
    await sockets_are(hub, connections)
    for _, writer in silent:
        writer.close()
