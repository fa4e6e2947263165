"""The router of websockets: a websocket reaches its session directly, and everything else reaches the routes.

A websocket stays open for days and keeps in memory every layer that called its handler. Starlette's routes, their
closures and a second `WebSocket` would add a fifth to the memory of each connection.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Mapping
from typing import Final

from starlette.types import ASGIApp, Receive, Scope, Send
from starlette.websockets import WebSocket

_ADDRESS: Final = re.compile(r"(?:/q)?/([^/]+)/([^/]+)")
"""Paths of a queue: its present one, and the one from before ``/q`` existed."""


class WebSocketRouter:
    """An ASGI application that serves the websockets of queues and passes everything else to the application.

    Args:
        app: The application for everything else; it refuses websockets at other paths.
        sockets: The handler of each kind of websocket, by the last part of its path.
    """

    def __init__(self, app: ASGIApp, sockets: Mapping[str, Callable[[WebSocket], Awaitable[None]]]) -> None:
        self._app = app
        self._sockets = sockets

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serves one connection."""
        serve = self._find(scope) if scope["type"] == "websocket" else None
        if serve is not None:
            await serve(WebSocket(scope, receive, send))
            return
        await self._app(scope, receive, send)

    def _find(self, scope: Scope) -> Callable[[WebSocket], Awaitable[None]] | None:
        found = _ADDRESS.fullmatch(scope["path"])
        if found is None or found[2] not in self._sockets:
            return None
        scope["path_params"] = {"queue": found[1]}
        return self._sockets[found[2]]
