"""Finds the queue that a message is for: in its address, or, at the address of the hub itself, named beside it."""

from __future__ import annotations

from typing import Any, Final

from starlette.requests import Request

from asman_shared import limits
from asman_shared.errors import CLOSE_REASONS, BadRequest, CloseCode

from ..access import ALL_RIGHTS, Access
from ..hub import LOCAL
from ..rest.base import hub_of
from ..rest.guard import ACCESS
from . import answers
from .protocol import INVALID_PARAMS, Call, Notice, RpcError

HEADER: Final = "x-asman-queue"
"""Header that names the queue."""
ARGUMENT: Final = "queue"
"""Argument that every tool has where nothing else names a queue."""
SCHEMA: Final = {
    "type": "string",
    "minLength": 1,
    "maxLength": limits.LABEL_LENGTH,
    "description": "The name of the queue, or a key to it. It is a secret: whoever has it can use the queue.",
}
NAMELESS: Final = Access("", ALL_RIGHTS)
"""Stands for no queue, where a call needs none."""
_SAYS: Final = f"name the queue: by the header X-Asman-Queue, the argument '{ARGUMENT}', or the address /q/<queue>/mcp"


def named_beside(request: Request) -> str:
    """Returns the name of the queue in the address, a header or the query of a message; empty if there is none."""
    in_path = str(request.path_params.get("queue", ""))
    return in_path or _in_header(request.headers.get(HEADER, "")) or request.query_params.get("queue", "")


def _in_header(value: str) -> str:
    """Returns what the bytes of a header's value are in UTF-8, if they are: older names have umlauts."""
    try:
        return value.encode("latin-1").decode()
    except UnicodeError:
        return value


def named_within(call: Call | Notice) -> str:
    """Returns the name of the queue in the arguments of a tool, and takes it out of them; empty if there is none.

    Raises:
        BadRequest: It is no text.
    """
    arguments: Any = call.params.get("arguments") if call.method == "tools/call" else None
    name = arguments.pop(ARGUMENT, "") if isinstance(arguments, dict) else ""
    if not isinstance(name, str):
        raise BadRequest(CLOSE_REASONS[CloseCode.BAD_QUEUE], field=ARGUMENT)
    return name


async def granted_by(request: Request, name: str) -> Access:
    """Returns the queue of a name with the rights of its key, or `NAMELESS`.

    A name beside the address takes the place of the part of the path that names a queue elsewhere, so that all that
    follows is the same.

    Raises:
        BadRequest: The text can be neither the name of a queue nor a key to one.
        NotFound: It is not the key to any queue.
        Unavailable: The database can't be read now.
    """
    if not name:
        return NAMELESS
    if "queue" not in request.path_params:
        if name == LOCAL:
            raise BadRequest("the queue 'local' has an address of its own: /q/local/mcp", field="queue")
        request.scope["path_params"] = {**request.path_params, "queue": name}
    granted: Access = request.scope.get(ACCESS) or await hub_of(request).access(request, name)
    request.scope[ACCESS] = granted
    return granted


def no_queue(call: Call) -> dict[str, Any]:
    """Returns the answer to a call of a tool that names no queue.

    Raises:
        RpcError: It is no call of a tool.
    """
    if call.method != "tools/call":
        raise RpcError(INVALID_PARAMS, _SAYS)
    return answers.failure(BadRequest(_SAYS, field=ARGUMENT))
