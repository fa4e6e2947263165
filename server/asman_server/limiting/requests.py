"""Counts the requests of a sender that are being answered, and refuses those that are too many before any work."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack

from starlette.requests import HTTPConnection
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from asman_shared.errors import Overloaded

from ..front import sender
from .limiter import Limiter


class LimitedRequests:
    """ASGI middleware for HTTP; websockets are counted where they are served, as it would stay in their memory.

    Args:
        app: The application.
        limiter: The hub's limits.
        refusal: Returns the answer to a request that is one too many, in the form of the door that it came to.
    """

    def __init__(self, app: ASGIApp, limiter: Limiter, refusal: Callable[[Scope, Overloaded], Response]) -> None:
        self._app = app
        self._limiter = limiter
        self._refusal = refusal

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answers one request."""
        who = self._limiter.sender(sender(HTTPConnection(scope))) if scope["type"] == "http" else ""
        if not who:
            await self._app(scope, receive, send)
            return
        with ExitStack() as counted:
            try:
                counted.enter_context(self._limiter.connection(who))
            except Overloaded as error:
                response = self._refusal(scope, error)
                response.headers["Connection"] = "close"  # so that it holds no connection open either
                await response(scope, receive, send)
                return
            await self._app(scope, receive, send)
