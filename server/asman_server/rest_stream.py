"""Answers that are made piece by piece, at the pace of whoever reads them, and given up when nobody does."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Final

from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from asman_shared.errors import AsmanError

from .rest import error_response
from .rest_requests import while_wanted

STREAM_SECONDS: Final = 3600.0
"""How long one answer may go on; readers of events come back by themselves."""


class Streamed(Response):
    """An answer from a generator of pieces.

    An `AsmanError` before the first piece becomes an error's answer. The generator is closed, and with it all that it
    holds, when it is through, when the reader goes, when the hub closes or after `STREAM_SECONDS`.

    Args:
        pieces: Makes them.
        media_type: Of the answer.
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
        """Answers."""
        started = False

        async def writing() -> AsmanError | None:
            nonlocal started
            async with aclosing(self._pieces) as pieces:
                try:
                    first = await anext(pieces, b"")
                except AsmanError as error:
                    return error
                started = True
                await send({"type": "http.response.start", "status": 200, "headers": self.raw_headers})
                if scope["method"] == "HEAD":
                    return None
                await send({"type": "http.response.body", "body": first, "more_body": True})
                async for piece in pieces:
                    await send({"type": "http.response.body", "body": piece, "more_body": True})
                return None

        error = await while_wanted(receive, self._closing, writing(), STREAM_SECONDS)
        if error is not None:
            await error_response(error)(scope, receive, send)
        elif started:
            await send({"type": "http.response.body", "body": b"", "more_body": False})
