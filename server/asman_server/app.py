"""The hub's web application, with the routes of all rooms."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from functools import cache, partial
from urllib.parse import urlsplit

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Match, Route
from starlette.types import Scope
from starlette.websockets import WebSocket

from asman_shared.errors import CLOSE_REASONS, AsmanError, CloseCode

from .access import access
from .dialect import operations as dialect
from .dialect import sockets
from .dialect.client_session import DialectClient
from .dialect.local import LocalGate
from .dialect.log_slices import Cursors
from .dialect.queue_views import QueueViews
from .dialect.worker_session import DialectWorker
from .hub import Hub
from .rest import base as rest
from .rest import openapi
from .rest import operations as native
from .rest.own_machine import is_loopback
from .sessions.base import close_reason
from .sessions.client import ClientSession
from .sessions.routing import WebSocketRouter
from .sessions.session import language_of
from .sessions.worker import WorkerSession


def _socket(
    kind: type[ClientSession] | type[WorkerSession], older: sockets.Kind
) -> Callable[[WebSocket], Awaitable[None]]:
    """Returns the endpoint of one kind of websocket; connections without a subprotocol use the JSON dialect.

    The queue is loaded first. Messages that arrive meanwhile wait in the socket, so that the first
    message is never lost.
    """

    async def endpoint(websocket: WebSocket) -> None:
        language = language_of(websocket)
        if not websocket.scope["subprotocols"]:
            await sockets.serve(websocket, older)
            return
        if language is None:
            await websocket.accept()
            await websocket.close(
                CloseCode.PROTOCOL, "this hub supports the subprotocols asman.v1.msgpack and asman.v1.json"
            )
            return
        hub: Hub = websocket.app.state.hub
        try:
            granted = access(websocket.path_params["queue"])
            async with hub.registry.using(granted.queue) as shell:
                session = kind(websocket, language, granted, shell, hub.services)
                await session.run()
        except AsmanError as error:
            await websocket.accept(subprotocol=language.value)
            code = CloseCode.BAD_QUEUE if error.field == "queue" else CloseCode.OVERLOADED
            await websocket.close(code, close_reason(error.message or CLOSE_REASONS[code]))

    return endpoint


async def _http_error(_request: Request, error: Exception) -> Response:
    status = error.status_code if isinstance(error, HTTPException) else 500
    sentence = {
        404: "there is nothing at this address",
        405: "method not allowed here",
    }.get(status, "an error in the hub; it was logged")
    code = {404: "not_found", 405: "bad_request"}.get(status, "internal")
    return JSONResponse({"error": sentence, "code": code}, status_code=status, headers=rest.CORS)


def _sockets() -> dict[str, Callable[[WebSocket], Awaitable[None]]]:
    """The websockets of a queue."""
    client = _socket(ClientSession, DialectClient)
    return {"client": client, "browser": client, "worker": _socket(WorkerSession, DialectWorker)}


def _gates(hub: Hub) -> list[Middleware]:
    """The middleware that guards a hub on a user's own machine."""
    config = hub.config
    if not config.local_queue:
        return []
    public = urlsplit(config.public_url).hostname or ""
    return [
        Middleware(
            LocalGate,
            queue=config.local_queue,
            origins=config.allow_origin,
            public_host=public,
            in_network=not is_loopback(config.host) and config.host != "localhost",
        )
    ]


class _Preflight(Route):
    """A route for ``OPTIONS`` of any address, which ignores all other methods."""

    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        """Matches only ``OPTIONS``."""
        return super().matches(scope) if scope.get("method") == "OPTIONS" else (Match.NONE, {})


def make_app(hub: Hub) -> Starlette:
    """Returns the application of a hub, which opens and closes with the hub."""

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        async with hub.open():
            app.state.hub = hub
            app.state.views = QueueViews(hub.store, hub.clock)
            app.state.cursors = Cursors()
            app.state.openapi = cache(partial(openapi.document, [*native.OPERATIONS, *dialect.OPERATIONS]))
            yield

    return Starlette(
        routes=[
            _Preflight("/{path:path}", rest.answers(rest.preflight), methods=["OPTIONS"]),
            *native.routes(),
            Route(openapi.PATH, rest.answers(openapi.openapi), methods=["GET"]),
            *dialect.routes(),
        ],
        middleware=[*_gates(hub), Middleware(WebSocketRouter, sockets=_sockets())],
        exception_handlers={HTTPException: _http_error, Exception: _http_error},
        lifespan=lifespan,
    )
