"""Websockets go straight to their session; everything else goes on to the routes.

A websocket is held for days, and with it every layer that it was called through: starlette's routes, the closures in
which it wraps them and a second `WebSocket` were a fifth of what a connection took (5 KiB).
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Mapping
from typing import Final

from starlette.types import ASGIApp, Receive, Scope, Send
from starlette.websockets import WebSocket

_ADDRESS: Final = re.compile(r"(?:/q)?/([^/]+)/([^/]+)")
"""A queue's own address, and the one that it had before there was ``/q``."""


class WebSocketRouter:
    """An ASGI application that serves the websockets of queues and passes everything else on.

    Args:
        app: The application for everything else; it refuses websockets at other addresses.
        sockets: The handler of each kind of websocket, by the last part of its address.
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
