"""Answers piece by piece: given up when nobody reads, and never taken for whole when they are not."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator
from typing import Any

import pytest
from starlette.types import Message, Scope

from asman_server.rest import streaming as rest_stream
from asman_server.rest.streaming import EVENTS, Streamed
from asman_shared.errors import NotFound, Unavailable

SCOPE: Scope = {"type": "http", "method": "GET", "path": "/", "headers": []}


class Reader:
    """The other end of an answer, as ASGI has it."""

    def __init__(self) -> None:
        self.gone = asyncio.Event()
        self.sent: list[Message] = []
        self.something = asyncio.Event()

    async def receive(self) -> Message:
        await self.gone.wait()
        return {"type": "http.disconnect"}

    async def send(self, message: Message) -> None:
        self.sent.append(message)
        self.something.set()

    @property
    def body(self) -> bytes:
        return b"".join(message.get("body", b"") for message in self.sent)

    @property
    def whole(self) -> bool:
        return self.sent[-1]["type"] == "http.response.body" and not self.sent[-1].get("more_body", False)


class Pieces:
    """Makes a piece, then does what it is told: waits, fails or ends."""

    def __init__(self, then: BaseException | None = None, *, wait: bool = False) -> None:
        self.closed = False
        self._then = then
        self._wait = wait

    async def make(self) -> AsyncGenerator[bytes, None]:
        try:
            yield b"piece"
            if self._wait:
                await asyncio.Event().wait()
            if self._then is not None:
                raise self._then
        finally:
            self.closed = True


async def answer(reader: Reader, pieces: Pieces, media: str, closing: asyncio.Event | None = None, **more: Any) -> None:
    await Streamed(pieces.make(), media, closing or asyncio.Event())({**SCOPE, **more}, reader.receive, reader.send)


async def test_an_answer_to_its_end() -> None:
    reader, pieces = Reader(), Pieces()
    await answer(reader, pieces, "text/plain")
    assert (reader.sent[0]["status"], reader.body, reader.whole, pieces.closed) == (200, b"piece", True, True)


async def test_head_has_no_body() -> None:
    reader, pieces = Reader(), Pieces(wait=True)
    await answer(reader, pieces, EVENTS, method="HEAD")
    assert (reader.body, reader.whole, pieces.closed) == (b"", True, True)


async def test_an_error_before_the_first_piece_is_the_answer() -> None:
    async def none() -> AsyncGenerator[bytes, None]:
        raise NotFound("no such job")
        yield b""

    reader = Reader()
    await Streamed(none(), EVENTS, asyncio.Event())(SCOPE, reader.receive, reader.send)
    assert reader.sent[0]["status"] == 404
    assert json.loads(reader.body)["error"] == "no such job"


@pytest.mark.parametrize(("media", "whole"), [("text/plain", False), (EVENTS, True)])
async def test_an_answer_that_breaks_is_never_taken_for_whole(media: str, whole: bool) -> None:
    reader, pieces = Reader(), Pieces(Unavailable("the database is away"))
    await answer(reader, pieces, media)
    assert (reader.body, reader.whole, pieces.closed) == (b"piece", whole, True)


async def test_a_reader_that_goes_ends_it_at_once() -> None:
    reader, pieces = Reader(), Pieces(wait=True)
    answering = asyncio.create_task(answer(reader, pieces, "text/plain"))
    await reader.something.wait()
    reader.gone.set()
    await answering
    assert pieces.closed


async def test_a_hub_that_closes_ends_events() -> None:
    reader, pieces, closing = Reader(), Pieces(wait=True), asyncio.Event()
    answering = asyncio.create_task(answer(reader, pieces, EVENTS, closing))
    await reader.something.wait()
    closing.set()
    await answering
    assert (pieces.closed, reader.whole) == (True, True)


async def test_no_answer_goes_on_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rest_stream, "STREAM_SECONDS", 0.02)
    reader, pieces = Reader(), Pieces(wait=True)
    await answer(reader, pieces, EVENTS)
    assert (pieces.closed, reader.whole) == (True, True)
