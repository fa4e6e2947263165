"""The address of the door: takes a message, and answers it."""

from __future__ import annotations

import secrets
from typing import Any, Final

from starlette.requests import Request
from starlette.responses import Response

from asman_shared.errors import AsmanError, BadRequest, NotFound

from ..access import Access
from ..access.table import ANY, MCP_METHODS
from ..rest.base import as_json, hub_of, with_headers_of
from ..rest.requests import body_of
from .context import Context
from .exchange import EVENTS, Exchange, Progress
from .in_flight import InFlight, Key, key_of
from .methods import WITHOUT_QUEUE, method_of, stamped
from .protocol import (
    INTERNAL_ERROR,
    INVALID_PARAMS,
    INVALID_REQUEST,
    METHOD_NOT_FOUND,
    PARSE_ERROR,
    Call,
    RpcError,
    id_of,
    is_modern,
    understood,
)
from .whereabouts import granted_by, named_beside, named_within, no_queue

SESSION_BYTES: Final = 16
"""Random bytes in the id of a session of the older era."""


async def post(request: Request) -> Response:
    """Takes a message of the Model Context Protocol, of either era, and answers it.

    docs/mcp.md describes the tools. The address of the hub (``/mcp``) is for clients that name the queue beside it.
    """
    message: Any = None
    modern = False
    try:
        streams = _accepted(request)
        beside = named_beside(request)
        if beside:
            await granted_by(request, beside)  # a wrong name or key is refused before a body is read
        message = await _message(request)
        modern = is_modern(message, request.headers)
        call = understood(message, request.headers)
        granted = await granted_by(request, beside or named_within(call))
        granted.need_all(MCP_METHODS.get(call.method, ANY))
        place = granted.queue if beside else ""  # a message that cancels a call has no arguments to name the queue
        in_flight: InFlight = request.app.state.mcp
        if isinstance(call, Call):
            key = key_of(place, call.session, call.id) if not call.modern else None
            return _exchange(request, granted, call, in_flight, key, streams=streams)
        if call.method == "notifications/cancelled" and not call.modern:
            key = key_of(place, call.session, call.params.get("requestId"))
            if key is not None:
                in_flight.cancel(key)
        return Response(status_code=202)
    except RpcError as error:
        return as_json(error.response(id_of(message)), error.status(modern=modern))
    except AsmanError as error:
        return with_headers_of(error, as_json(_as_rpc(error).response(id_of(message)), error.status))


def _exchange(
    request: Request, granted: Access, call: Call, in_flight: InFlight, key: Key | None, *, streams: bool
) -> Exchange:
    method = method_of(call)

    async def work(progress: Progress) -> dict[str, Any]:
        if method is None:
            raise RpcError(METHOD_NOT_FOUND, "this hub has no such method")
        if not granted.queue and call.method not in WITHOUT_QUEUE:
            return stamped(call.method, no_queue(call), modern=call.modern)
        context = Context(hub_of(request), request, granted, call, progress, in_flight)
        try:
            return stamped(call.method, await method(context), modern=call.modern)
        except AsmanError as error:
            raise _as_rpc(error) from None

    headers = {"Mcp-Session-Id": secrets.token_urlsafe(SESSION_BYTES)} if call.method == "initialize" else None
    return Exchange(call, work, in_flight, key, streams=streams, headers=headers)


def _as_rpc(error: AsmanError) -> RpcError:
    theirs = isinstance(error, BadRequest | NotFound)
    field = f" ({error.field})" if error.field else ""
    return RpcError(INVALID_PARAMS if theirs else INTERNAL_ERROR, error.message + field, {"code": error.code})


async def _message(request: Request) -> Any:
    """Reads the body.

    Raises:
        RpcError: It is not JSON.
        AsmanError: As `asman_server.rest.requests.body_of`.
    """
    try:
        return await body_of(request, Any)
    except BadRequest as error:
        if error.status != BadRequest.status:
            raise
        raise RpcError(PARSE_ERROR, error.message) from None


def _accepted(request: Request) -> bool:
    """Returns whether the sender reads events.

    Raises:
        RpcError: It reads neither events nor JSON.
    """
    accept = request.headers.get("accept", "*/*").lower()
    kinds = {each.partition(";")[0].strip() for each in accept.split(",")}
    streams = not kinds.isdisjoint({EVENTS, "text/*", "*/*"})
    if not streams and kinds.isdisjoint({"application/json", "application/*"}):
        raise RpcError(INVALID_REQUEST, f"accept application/json and {EVENTS}", status=406)
    return streams
