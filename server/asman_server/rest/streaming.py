"""Streams responses piece by piece, at the reader's pace, and gives up when the reader has gone."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Final

from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from asman_shared.errors import AsmanError

from .base import error_response
from .requests import while_wanted

log = logging.getLogger("asman.hub.rest")

EVENTS: Final = "text/event-stream"
"""Media type of server-sent events, whose readers reconnect for the rest by themselves."""
STREAM_SECONDS: Final = 3600.0
"""Longest duration of one response, in seconds; readers of events reconnect by themselves."""


class Streamed(Response):
    """A response from a generator of pieces.

    An `AsmanError` before the first piece becomes an error response. The generator is closed, which releases all that
    it holds, when it is exhausted, when the reader goes, when the hub closes or after `STREAM_SECONDS`. An incomplete
    response is broken off, so that no reader takes it for complete; but events may end anywhere.

    Args:
        pieces: Makes the pieces.
        media_type: The media type of the response.
        closing: Set when the hub is about to close.
        headers: More headers.
    """

    def __init__(
        self,
        pieces: AsyncGenerator[bytes, None],
        media_type: str,
        closing: asyncio.Event,
        headers: dict[str, str] | None = None,
    ) -> None:
        self.status_code = 200
        self.media_type = media_type
        self.background = None
        self._pieces = pieces
        self._closing = closing
        self.init_headers(headers)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Sends the response."""
        started = whole = False

        async def writing() -> None:
            nonlocal started, whole
            async with aclosing(self._pieces) as pieces:
                first = await anext(pieces, b"")
                started = True
                await send({"type": "http.response.start", "status": 200, "headers": self.raw_headers})
                if scope["method"] != "HEAD":
                    await send({"type": "http.response.body", "body": first, "more_body": True})
                    async for piece in pieces:
                        await send({"type": "http.response.body", "body": piece, "more_body": True})
                whole = True

        try:
            await while_wanted(receive, self._closing, writing(), STREAM_SECONDS)
        except AsmanError as error:
            if not started:
                await error_response(error)(scope, receive, send)
                return
            log.warning("an answer was cut off", extra={"error": error.message})
        if started and (whole or self.media_type == EVENTS):
            await send({"type": "http.response.body", "body": b"", "more_body": False})
