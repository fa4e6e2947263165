"""Counts the requests of a sender that are being answered, and refuses those that are too many before any work."""

from __future__ import annotations

from math import ceil
from typing import Final

import msgspec
from starlette.requests import HTTPConnection
from starlette.types import ASGIApp, Receive, Scope, Send

from asman_shared.errors import Overloaded

from ..front import sender
from .limiter import Limiter

_HEADERS: Final = [
    (b"content-type", b"application/json"),
    (b"access-control-allow-origin", b"*"),
    (b"access-control-expose-headers", b"*"),
    (b"connection", b"close"),
]


class LimitedRequests:
    """ASGI middleware for HTTP; websockets are counted where they are served, as it would stay in their memory.

    Args:
        app: The application.
        limiter: The hub's limits.
    """

    def __init__(self, app: ASGIApp, limiter: Limiter) -> None:
        self._app = app
        self._limiter = limiter

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answers one request."""
        who = self._limiter.sender(sender(HTTPConnection(scope))) if scope["type"] == "http" else ""
        if not who:
            await self._app(scope, receive, send)
            return
        try:
            with self._limiter.connection(who):
                await self._app(scope, receive, send)
        except Overloaded as error:
            await _refuse(send, error)


async def _refuse(send: Send, error: Overloaded) -> None:
    """Sends what `asman_server.rest.types.Problems` describes."""
    after = ceil((error.retry_after or 0) * 1000)
    problems = {"error": error.message, "code": error.code, "retry": True, "retry_after": after}
    body = msgspec.json.encode(problems)
    headers = [
        *_HEADERS,
        (b"content-length", str(len(body)).encode()),
        (b"retry-after", str(max(1, ceil(after / 1000))).encode()),
    ]
    await send({"type": "http.response.start", "status": error.status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
