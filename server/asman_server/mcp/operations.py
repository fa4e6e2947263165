"""Lists the door's addresses in a table like that of the others (`asman_server.rest.operations`)."""

from __future__ import annotations

from typing import Annotated, Any, Final, Literal

from msgspec import Meta, Struct
from starlette.routing import Route

from asman_shared import limits

from ..rest import base as native
from ..rest.guard import guarded
from ..rest.operations import HEADER, Answer, Operation, Parameter
from . import about, endpoint
from .exchange import EVENTS
from .protocol import ID_LENGTH, ID_NUMBER, METHOD_LENGTH

_TAG: Final = "mcp"
_NAME: Final = {"type": "string", "maxLength": limits.LABEL_LENGTH}


class RpcMessage(Struct):
    """A message of JSON-RPC; without an id it is a notification."""

    jsonrpc: Literal["2.0"]
    method: Annotated[str, Meta(max_length=METHOD_LENGTH)]
    id: Annotated[int, Meta(ge=-ID_NUMBER, le=ID_NUMBER - 1)] | Annotated[str, Meta(max_length=ID_LENGTH)] | None = None
    params: dict[str, Any] = {}


class RpcProblem(Struct, omit_defaults=True):
    """An error of JSON-RPC."""

    code: int
    message: str
    data: Any = None


class RpcAnswer(Struct, omit_defaults=True):
    """The answer to a message: a result or an error."""

    jsonrpc: Literal["2.0"]
    id: int | str | None
    result: dict[str, Any] = {}
    error: RpcProblem | None = None


_ANSWERS: Final = {
    200: Answer("the answer, or events of which the last is the answer", RpcAnswer, (EVENTS,)),
    202: Answer("a notification was taken"),
    400: Answer("the message can't be understood", RpcAnswer),
    403: Answer("the key does not grant it", RpcAnswer),
    404: Answer("there is no such method, or no queue with this key", RpcAnswer),
    406: Answer("the sender reads neither JSON nor events", RpcAnswer),
    408: Answer("the body arrives too slowly", RpcAnswer, headers={"Retry-After": "seconds after which to try again"}),
    413: Answer("the body is too large", RpcAnswer),
    429: Answer("a bound is reached", RpcAnswer, headers={"Retry-After": "seconds after which to try again"}),
    503: Answer("the hub can't do it now", RpcAnswer, headers={"Retry-After": "seconds after which to try again"}),
}
_HEADERS: Final = tuple(
    Parameter(name, says, HEADER, "header")
    for name, says in (
        ("MCP-Protocol-Version", "the version of the protocol"),
        ("Mcp-Method", "from 2026-07-28 on: the message's method"),
        ("Mcp-Name", "from 2026-07-28 on: the tool or resource that it names"),
        ("Mcp-Session-Id", "up to 2025-11-25: as the answer to `initialize` has it"),
    )
)
_ANYWHERE: Final = (
    Parameter("X-Asman-Queue", "the name of the queue", HEADER, "header"),
    Parameter("queue", "the same, for clients that can't set headers", _NAME),
)

OPERATIONS: Final = (
    Operation("POST", "/q/{queue}/mcp", endpoint.post, "mcp", _TAG, _ANSWERS, _HEADERS, RpcMessage),
    Operation("POST", "/mcp", endpoint.post, "mcp_anywhere", _TAG, _ANSWERS, (*_HEADERS, *_ANYWHERE), RpcMessage),
    Operation(
        "GET",
        "/mcp/health",
        about.health,
        "mcp_health",
        _TAG,
        {200: Answer("jobs can be taken", about.Health), 503: Answer("they can't now, and says why", about.Health)},
    ),
    Operation("GET", "/mcp/info", about.info, "mcp_info", _TAG, {200: Answer("what it can do", about.Info)}),
    Operation(
        "GET",
        "/skill.md",
        about.skill,
        "skill",
        _TAG,
        {200: Answer("how an agent uses a queue", media=("text/markdown",))},
    ),
)


def routes() -> list[Route]:
    """Returns the routes of the table."""
    return [
        Route(each.path, native.answers(guarded(each.name, each.endpoint)), methods=[each.method], name=each.name)
        for each in OPERATIONS
    ]
