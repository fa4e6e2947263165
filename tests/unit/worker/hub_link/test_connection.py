"""The socket to the hub: what is said first, what proves it alive, and what happens when it is lost."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import pytest

from asman_shared.address import parse_address
from asman_shared.errors import NotFound, ProtocolError, Unavailable
from asman_shared.messages import (
    Abort,
    Acknowledged,
    BlobLinks,
    BlobTickets,
    Error,
    GetBlobs,
    HubToWorker,
    Ping,
    Pong,
    PutBlobs,
    Register,
    Registered,
    Released,
)
from asman_shared.running.backoff import Backoff
from asman_worker.hub_link.connection import HubConnection
from asman_worker.hub_link.send_buffer import SendBuffer
from devtools.fake_hub import FakeHub, job
from devtools.patience import PATIENCE


class Peer:
    def __init__(self) -> None:
        self.answers: asyncio.Queue[Registered] = asyncio.Queue()
        self.frames: asyncio.Queue[list[HubToWorker]] = asyncio.Queue()
        self.losses: asyncio.Queue[None] = asyncio.Queue()

    def introduce(self) -> Register:
        return Register("0123456789abcdef", "tester", 1)

    def registered(self, answer: Registered) -> None:
        self.answers.put_nowait(answer)

    def received(self, messages: Sequence[HubToWorker]) -> None:
        self.frames.put_nowait(list(messages))

    def disconnected(self) -> None:
        self.losses.put_nowait(None)


class Dialled:
    def __init__(self, url: str) -> None:
        self.peer = Peer()
        self.send_buffer = SendBuffer()
        self.connection = HubConnection(parse_address(url), self.send_buffer, "q-short", backoff=Backoff(0.001, 0.01))
        self.task = asyncio.create_task(self.connection.run(self.peer))


@asynccontextmanager
async def dialled(url: str) -> AsyncIterator[Dialled]:
    made = Dialled(url)
    try:
        yield made
    finally:
        made.task.cancel()
        await asyncio.wait((made.task,))


async def test_nothing_travels_before_the_registration_is_answered(hub: FakeHub) -> None:
    async with dialled(hub.url) as worker:
        line = await hub.line()
        worker.send_buffer.put(Ping(1))
        with pytest.raises(Unavailable):
            await worker.connection.request(PutBlobs(0, []), BlobTickets)
        await line.answer()
        await worker.peer.answers.get()
        worker.send_buffer.put(Ping(2))
        await line.expect(Ping)
        assert [type(message) for message in line.messages] == [Register, Ping]
        assert line.messages[1] == Ping(2)


async def test_a_frame_reaches_the_peer_as_a_whole_and_pings_are_answered(hub: FakeHub) -> None:
    async with dialled(hub.url) as worker:
        line = await hub.line()
        first = Abort(job("a"), 1)
        await line.answer(None, first)
        assert await worker.peer.frames.get() == [first]
        await line.send(Acknowledged(job("b"), 1), Ping(9), Acknowledged(job("c"), 1))
        assert len(await worker.peer.frames.get()) == 2
        assert (await line.expect(Pong)).ref == 9


async def test_messages_of_a_newer_hub_are_ignored(hub: FakeHub) -> None:
    async with dialled(hub.url) as worker:
        line = await hub.line()
        await line.answer()
        await line._socket.send_bytes(b"\x92\x81\xa4type\xa6future\x82\xa4type\xa4ping\xa3ref\x05")
        assert (await line.expect(Pong)).ref == 5
        assert worker.peer.losses.empty()


async def test_a_silent_hub_is_given_up_and_dialled_again(hub: FakeHub) -> None:
    async with dialled(hub.url) as worker:
        line = await hub.line()
        hub.mute = True
        await line.answer(heartbeat=200)
        await line.expect(Ping)
        await worker.peer.losses.get()
        await hub.line()


async def test_a_hub_that_answers_pings_is_kept(hub: FakeHub) -> None:
    async with dialled(hub.url) as worker:
        line = await hub.line()
        await line.answer(heartbeat=200)
        for count in range(1, 8):
            async with line._arrived:
                await line._arrived.wait_for(
                    lambda: sum(isinstance(message, Ping) for message in line.messages) >= count  # noqa: B023
                )
        assert worker.peer.losses.empty()


@pytest.mark.parametrize("how", ["cut", "close"])
async def test_a_lost_connection_is_made_again(hub: FakeHub, how: str) -> None:
    async with dialled(hub.url) as worker:
        for _ in range(3):
            line = await hub.line()
            await line.answer()
            await worker.peer.answers.get()
            if how == "cut":
                line.cut()
            else:
                await line.close()
            await worker.peer.losses.get()
            assert not worker.send_buffer.is_open


async def test_a_hub_that_restarts_is_found_again(hub: FakeHub) -> None:
    async with dialled(hub.url) as worker:
        await (await hub.line()).answer()
        await worker.peer.answers.get()
        await hub.stop()
        await worker.peer.losses.get()
        await hub.start()
        await (await hub.line()).answer()
        await worker.peer.answers.get()


async def test_a_request_is_answered_by_its_ref_and_an_error_is_raised(hub: FakeHub) -> None:
    async with dialled(hub.url) as worker:
        line = await hub.line()
        await line.answer()
        await worker.connection.registered()
        sha = hub.store(b"x")
        links, tickets = await asyncio.gather(
            worker.connection.request(GetBlobs(0, [sha]), BlobLinks),
            worker.connection.request(PutBlobs(0, [(sha, 1)]), BlobTickets),
        )
        assert links.links[0].url == f"/blobs/{sha}"
        assert tickets.tickets[0].exists
        hub.mute = True
        asking = asyncio.create_task(worker.connection.request(PutBlobs(0, [(job("no"), 1)]), BlobTickets))
        request = await line.expect(PutBlobs, lambda message: message.blobs[0][0] == job("no"))
        await line.send(Error("not_found", "no", ref=request.ref))
        with pytest.raises(NotFound, match="no"):
            await asking


async def test_a_request_fails_with_try_again_when_the_connection_is_lost(hub: FakeHub) -> None:
    async with dialled(hub.url) as worker:
        line = await hub.line()
        await line.answer()
        await worker.connection.registered()
        hub.mute = True
        asking = asyncio.create_task(worker.connection.request(GetBlobs(0, [job("x")]), BlobLinks))
        await line.expect(type(line.messages[0]))
        await asyncio.sleep(0)
        line.cut()
        with pytest.raises(Unavailable) as error:
            await asking
        assert error.value.retry


async def test_a_refusal_ends_it_with_the_hubs_sentence(hub: FakeHub) -> None:
    async with dialled(hub.url) as worker:
        line = await hub.line()
        await line.send(Error("forbidden", "this key only reads"))
        with pytest.raises(ProtocolError, match="this key only reads"):
            await worker.task


async def test_another_protocol_ends_it_with_a_sentence(hub: FakeHub) -> None:
    async with dialled(hub.url) as worker:
        line = await hub.line()
        await line.send(Registered(2, "fake", "w", 0))
        with pytest.raises(ProtocolError, match="same version"):
            await worker.task


async def test_a_close_that_says_no_for_good_ends_it(hub: FakeHub) -> None:
    async with dialled(hub.url) as worker:
        line = await hub.line()
        await line.answer()
        await worker.connection.registered()
        await line.close(4007)
        with pytest.raises(ProtocolError):
            await worker.task


async def complaint(url: str, caplog: pytest.LogCaptureFixture) -> str:
    """The first sentence said about a hub that can't be used."""
    said = asyncio.Event()

    class Heard(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            said.set()

    logger = logging.getLogger("asman.worker.connection")
    handler = Heard()
    logger.addHandler(handler)
    try:
        with caplog.at_level("DEBUG"):
            async with dialled(url):
                async with asyncio.timeout(PATIENCE):
                    await said.wait()
    finally:
        logger.removeHandler(handler)
    records = [record for record in caplog.records if record.name == "asman.worker.connection"]
    return records[0].getMessage()


async def test_an_unknown_host_and_a_hub_that_is_not_there_are_one_clear_sentence(
    hub: FakeHub, caplog: pytest.LogCaptureFixture
) -> None:
    assert "no host named" in await complaint("http://no-such-host.invalid/q/secret", caplog)
    caplog.clear()
    assert "404" in await complaint(f"{hub.base}/q/another", caplog)
    caplog.clear()
    await hub.stop()
    assert "nothing listens" in await complaint(hub.url, caplog)


async def test_a_door_with_no_hub_behind_it_is_not_taken_for_something_else(caplog: pytest.LogCaptureFixture) -> None:
    async def balancer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.transport.abort()

    server = await asyncio.start_server(balancer, "127.0.0.1", 0)
    async with server:
        port = server.sockets[0].getsockname()[1]
        said = await complaint(f"http://127.0.0.1:{port}/q/secret", caplog)
    assert "closed the connection before it answered" in said


async def test_the_queues_name_is_not_in_the_log(hub: FakeHub, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level("DEBUG", logger="asman"):
        async with dialled(hub.url) as worker:
            await (await hub.line()).answer()
            await worker.peer.answers.get()
    assert "queue q-short" in caplog.text
    assert not [r for r in caplog.records if r.name.startswith("asman") and "a-queue-for-tests" in r.getMessage()]


async def test_a_burst_leaves_in_few_frames(hub: FakeHub) -> None:
    async with dialled(hub.url) as worker:
        line = await hub.line()
        await line.answer()
        await worker.connection.registered()
        for number in range(1000):
            worker.send_buffer.put(Released(job(str(number)), 1))
        await line.expect(Released, lambda message: message.job == job("999"))
        assert len(line.frames) == 2
