"""The hub's web application, with the routes of all rooms."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from functools import cache, partial
from urllib.parse import quote, urlsplit

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Match, Route
from starlette.types import Scope
from starlette.websockets import WebSocket

from asman_shared.errors import AsmanError, CloseCode, Overloaded

from .delivery.prompts import Prompts
from .dialect import operations as dialect
from .dialect import session as dialect_session
from .dialect.as_sent import Kept
from .dialect.client_session import DialectClient
from .dialect.local import LocalGate
from .dialect.local_workers import ContainedWorkerSession
from .dialect.log_slices import Cursors
from .dialect.queue_views import QueueViews
from .dialect.worker_session import DialectWorker
from .front import TrustedProxies, sender
from .hub import Hub
from .limiting import LimitedRequests
from .mcp import operations as mcp
from .mcp.in_flight import InFlight
from .rest import base as rest
from .rest import openapi
from .rest import operations as native
from .rest.guard import guarded, wants_page
from .rest.own_machine import is_loopback
from .rest.page import nothing
from .sessions.base import opened, unopened
from .sessions.client import ClientSession
from .sessions.routing import WebSocketRouter
from .sessions.session import language_of
from .sessions.worker import WorkerSession
from .tes import operations as tes
from .tes.door import Door, is_at_door
from .tes.endpoint import problem as tes_problem
from .tes.note_cache import NoteCache
from .tes.polls import Polls
from .tes.repeats import Repeats

log = logging.getLogger("asman.hub")


def _socket(
    kind: type[ClientSession] | type[WorkerSession], older: type[dialect_session.DialectSession]
) -> Callable[[WebSocket], Awaitable[None]]:
    """Returns the endpoint of one kind of websocket; connections without a subprotocol use the JSON dialect.

    The queue is loaded first. Messages that arrive meanwhile wait in the socket, so that the first
    message is never lost.
    """

    async def endpoint(websocket: WebSocket) -> None:
        language = language_of(websocket)
        if not websocket.scope["subprotocols"]:
            log.debug("a connection of the dialect", extra={"address": sender(websocket)})
            await dialect_session.serve(websocket, older)
            return
        if language is None:
            await websocket.accept()
            await websocket.close(
                CloseCode.PROTOCOL, "this hub supports the subprotocols asman.v1.msgpack and asman.v1.json"
            )
            return
        hub: Hub = websocket.app.state.hub
        try:
            granted = await opened(hub, websocket)
            with hub.limiter.connection(granted.sender, granted.queue):
                async with hub.registry.using(granted.queue) as shell:
                    log.debug("a connection", extra={"queue": shell.short, "address": sender(websocket)})
                    session = kind(websocket, language, granted, shell, hub.services)
                    await session.run_on(shell)
        except AsmanError as error:
            await websocket.accept(subprotocol=language.value)
            await websocket.close(*unopened(error))

    return endpoint


async def _http_error(request: Request, error: Exception) -> Response:
    status = error.status_code if isinstance(error, HTTPException) else 500
    if status == 404 and (place := _without_slash(request)):
        return Response(status_code=307, headers={**rest.CORS, "Location": place})
    if status == 404 and request.method == "GET" and wants_page(request):
        return nothing(request)
    sentence = {
        404: "there is nothing at this address",
        405: "method not allowed here",
    }.get(status, "an error in the hub; it was logged")
    code = {404: "not_found", 405: "bad_request"}.get(status, "internal")
    headers = {**rest.CORS, "Allow": _allowed(request)} if status == 405 else rest.CORS
    if is_at_door(request.scope["path"]):
        return JSONResponse({"msg": sentence, "status_code": status, "code": code}, status, headers)
    return JSONResponse({"error": sentence, "code": code}, status, headers)


def _one_too_many(scope: Scope, error: Overloaded) -> Response:
    """Returns the answer to a request that a limit keeps from every endpoint."""
    return rest.shown_to_pages(tes_problem(error)) if is_at_door(scope["path"]) else rest.error_response(error)


def _without_slash(request: Request) -> str:
    """Returns the way from an address with a slash too many to the one that is meant; empty if there is none.

    It is relative: behind a proxy, the hub knows neither the scheme nor the beginning of its address. And pages of
    other origins are let go this way, as Starlette's own redirects do not.
    """
    path = str(request.scope["path"])
    meant = path.removesuffix("/")
    if meant == path or not meant or meant.endswith("/"):
        return ""
    routes = (route for route in request.app.routes if isinstance(route, Route) and not isinstance(route, _Preflight))
    if all(route.matches({**request.scope, "path": meant})[0] is Match.NONE for route in routes):
        return ""
    query = request.url.query
    return f"../{quote(meant.rpartition('/')[2])}{f'?{query}' if query else ''}"


def _allowed(request: Request) -> str:
    """Returns the methods of an address, which a refused request is told (RFC 9110, 15.5.6)."""
    routes = [route for route in request.app.routes if isinstance(route, Route)]
    found = [route.methods or () for route in routes if route.matches(request.scope)[0] is not Match.NONE]
    return ", ".join(sorted({"OPTIONS"}.union(*found)))


def _sockets() -> dict[str, Callable[[WebSocket], Awaitable[None]]]:
    """The websockets of a queue."""
    client = _socket(ClientSession, DialectClient)
    return {"client": client, "browser": client, "worker": _socket(ContainedWorkerSession, DialectWorker)}


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


def prompts_of(hub: Hub) -> Prompts:
    """Returns the answers that need no application; the hub must be open while they are given."""
    return Polls(hub)


def make_app(hub: Hub) -> Starlette:
    """Returns the application of a hub, which must be open while the application runs."""

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        app.state.hub = hub
        app.state.views = QueueViews(hub.store, hub.clock, Kept(hub.engine, hub.committer))
        app.state.cursors = Cursors()
        app.state.mcp = InFlight()
        app.state.tes = Repeats(asyncio.get_running_loop().time)
        app.state.tes_notes = NoteCache(hub.store)
        for memory in (app.state.views.submissions, app.state.cursors, app.state.tes):
            hub.registry.on_deleted.append(memory.queue_deleted)
        operations = [*native.OPERATIONS, *mcp.OPERATIONS, *tes.OPERATIONS, *dialect.OPERATIONS]
        app.state.openapi = cache(partial(openapi.document, operations))
        yield

    made = Starlette(
        routes=[
            _Preflight("/{path:path}", rest.answers(rest.preflight), methods=["OPTIONS"]),
            *native.routes(),
            Route(openapi.PATH, rest.answers(guarded("openapi", openapi.openapi)), methods=["GET"]),
            *mcp.routes(),
            *tes.routes(),
            *dialect.routes(),
            *native.last_routes(),
        ],
        middleware=[
            Middleware(TrustedProxies, trusted=hub.config.trusted_proxies),
            *_gates(hub),
            Middleware(WebSocketRouter, sockets=_sockets()),
            Middleware(LimitedRequests, limiter=hub.limiter, refusal=_one_too_many),
            Middleware(Door),
        ],
        exception_handlers={HTTPException: _http_error, Exception: _http_error},
        lifespan=lifespan,
    )
    made.router.redirect_slashes = False
    return made
