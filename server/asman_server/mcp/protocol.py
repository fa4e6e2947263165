"""Reads the messages of both eras of the protocol, and tells the eras apart; no input or output.

A request of 2026-07-28 stands alone: its headers and its ``_meta`` say everything. A request of 2025-11-25 and before
follows an ``initialize``, of which this hub keeps nothing.
"""

from __future__ import annotations

import base64
import binascii
import re
from typing import Any, Final

from msgspec import Struct
from starlette.datastructures import Headers

from asman_shared.errors import cut

MODERN: Final = ("2026-07-28",)
"""Versions whose requests stand alone."""
LEGACY: Final = ("2025-11-25", "2025-06-18", "2025-03-26")
"""Versions that begin with ``initialize``, newest first."""
TASKS: Final = "io.modelcontextprotocol/tasks"
"""Name of the extension for tasks."""
METHOD_LENGTH: Final = 128
"""Longest name of a method, in characters."""
ID_LENGTH: Final = 256
"""Longest id of a request, progress token and id of a session, in characters."""
ID_NUMBER: Final = 2**63
"""Numbers that are the id of a request or a progress token are smaller than this, and not smaller than its negative."""

PARSE_ERROR: Final = -32700
INVALID_REQUEST: Final = -32600
METHOD_NOT_FOUND: Final = -32601
INVALID_PARAMS: Final = -32602
INTERNAL_ERROR: Final = -32603
HEADER_MISMATCH: Final = -32020
MISSING_CAPABILITY: Final = -32021
UNSUPPORTED_VERSION: Final = -32022

_VERSION_KEY: Final = "io.modelcontextprotocol/protocolVersion"
_CAPABILITIES_KEY: Final = "io.modelcontextprotocol/clientCapabilities"
_VERSION_HEADER: Final = "mcp-protocol-version"
_ROUTING: Final = (_VERSION_HEADER, "mcp-method", "mcp-name")
_SESSION_HEADER: Final = "mcp-session-id"
_NAMED: Final = {"tools/call": "name", "prompts/get": "name", "resources/read": "uri"}
"""Parameter that the header ``Mcp-Name`` repeats, by method."""
_NAMED_IF_AT_ALL: Final = {"tasks/get": "taskId", "tasks/update": "taskId", "tasks/cancel": "taskId"}
"""The same, where clients leave the header out."""
_ID: Final = f"a whole number of 64 bits, or a text of at most {ID_LENGTH} characters"
_ENCODED: Final = re.compile(r"=\?base64\?(.*)\?=")
_VISIBLE: Final = re.compile(rf"[\x21-\x7e]{{1,{ID_LENGTH}}}")
_STATUS: Final = {
    PARSE_ERROR: 400,
    INVALID_REQUEST: 400,
    METHOD_NOT_FOUND: 404,
    INVALID_PARAMS: 400,
    HEADER_MISMATCH: 400,
    MISSING_CAPABILITY: 400,
    UNSUPPORTED_VERSION: 400,
}
_STATUS_OF_LEGACY: Final = {PARSE_ERROR: 400, INVALID_REQUEST: 400, UNSUPPORTED_VERSION: 400, HEADER_MISMATCH: 400}
"""In the older era an error about a readable request is an answer like any other."""

Id = int | str


class RpcError(Exception):
    """An error of JSON-RPC.

    Args:
        code: Its code.
        message: One sentence: the problem, its place, and the remedy.
        data: More of it for programs.
        status: The HTTP status; None for the one that goes with the code.
    """

    def __init__(self, code: int, message: str, data: Any = None, status: int | None = None) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.data = data
        self._status = status

    def status(self, *, modern: bool) -> int:
        """Returns the HTTP status for an era."""
        return self._status or (_STATUS if modern else _STATUS_OF_LEGACY).get(self.code, 200)

    def response(self, call_id: Id | None) -> dict[str, Any]:
        """Returns the message that carries the error."""
        error: dict[str, Any] = {"code": self.code, "message": self.message}
        if self.data is not None:
            error["data"] = self.data
        return {"jsonrpc": "2.0", "id": call_id, "error": error}


class Call(Struct, frozen=True):
    """A request that was understood.

    Attributes:
        id: The request's id, with its type.
        method: The method.
        params: Its parameters.
        modern: Whether it is of the era of 2026-07-28.
        session: In the older era: the id that the client was given at ``initialize``, if it sends one.
        tasks: Whether this very request says that its sender understands tasks.
        token: The token under which the sender wants progress; None for no progress.
    """

    id: Id
    method: str
    params: dict[str, Any]
    modern: bool
    session: str = ""
    tasks: bool = False
    token: Id | None = None


class Notice(Struct, frozen=True):
    """A message that gets no answer: a notification, or an answer to a request that this hub never makes."""

    method: str
    params: dict[str, Any]
    modern: bool
    session: str = ""


def is_id(value: object) -> bool:
    """Whether a value can be the id of a request or a progress token."""
    if isinstance(value, str):
        return len(value) <= ID_LENGTH
    return isinstance(value, int) and not isinstance(value, bool) and -ID_NUMBER <= value < ID_NUMBER


def decoded(value: str | None) -> str | None:
    """Returns the text in a header's value, which may be ``=?base64?…?=``; None for one that can't be read."""
    found = _ENCODED.fullmatch(value) if value is not None else None
    if found is None:
        return value
    try:
        data = base64.b64decode(found[1], validate=True)
        return data.decode() if base64.b64encode(data).decode() == found[1] else None
    except (binascii.Error, UnicodeDecodeError):
        return None


def id_of(message: object) -> Id | None:
    """Returns the id of a message that may have any faults, for the error about it."""
    found = message.get("id") if isinstance(message, dict) else None
    return found if is_id(found) else None


def is_modern(message: object, headers: Headers) -> bool:
    """Whether a message belongs to the era of 2026-07-28, or would if it were right."""
    params = message.get("params") if isinstance(message, dict) else None
    meta = params.get("_meta") if isinstance(params, dict) else None
    if isinstance(meta, dict) and _VERSION_KEY in meta:
        return True
    version = headers.get(_VERSION_HEADER)
    return version is not None and version not in LEGACY


def understood(message: object, headers: Headers) -> Call | Notice:
    """Reads a message.

    Raises:
        RpcError: It can't be understood; the error says why.
    """
    if isinstance(message, list):
        raise RpcError(INVALID_REQUEST, "send one message in each request: this hub takes no batches")
    if not isinstance(message, dict) or message.get("jsonrpc") != "2.0":
        raise RpcError(INVALID_REQUEST, 'the body is not a message of JSON-RPC: an object with "jsonrpc": "2.0"')
    for name in _ROUTING:
        if len(headers.getlist(name)) > 1:
            raise RpcError(HEADER_MISMATCH, f"the header {name} came more than once")
    modern = is_modern(message, headers)
    method, params = message.get("method"), message.get("params", {})
    if "method" not in message and not modern and ("result" in message or "error" in message):
        return Notice("", {}, modern)
    if not isinstance(method, str) or len(method) > METHOD_LENGTH:
        raise RpcError(INVALID_REQUEST, f"'method' is a text of at most {METHOD_LENGTH} characters")
    if not isinstance(params, dict):
        raise RpcError(INVALID_PARAMS, "'params' is an object", status=400)
    session = "" if modern else _session(headers)
    if "id" not in message:
        if modern:
            _check_version(headers.get(_VERSION_HEADER, ""))
        return Notice(method, params, modern, session)
    if not is_id(message["id"]):
        raise RpcError(INVALID_REQUEST, f"'id' is {_ID}")
    meta = params.get("_meta")
    meta = meta if isinstance(meta, dict) else {}
    token = meta.get("progressToken")
    if token is not None and not is_id(token):
        raise RpcError(INVALID_PARAMS, f"'_meta.progressToken' is {_ID}", status=400)
    if not modern:
        return Call(message["id"], method, params, modern, session, token=token)
    _check_envelope(method, params, meta, headers)
    extensions = meta[_CAPABILITIES_KEY].get("extensions")
    tasks = isinstance(extensions, dict) and isinstance(extensions.get(TASKS), dict)
    return Call(message["id"], method, params, modern, tasks=tasks, token=token)


def _session(headers: Headers) -> str:
    session = headers.get(_SESSION_HEADER, "")
    if session and _VISIBLE.fullmatch(session) is None:
        raise RpcError(INVALID_REQUEST, f"Mcp-Session-Id has 1 to {ID_LENGTH} visible characters of ASCII")
    return session


def _check_envelope(method: str, params: dict[str, Any], meta: dict[str, Any], headers: Headers) -> None:
    """Checks what a request of 2026-07-28 says of itself, in the order in which its clients expect the errors."""
    missing = [key for key in (_VERSION_KEY, _CAPABILITIES_KEY) if key not in meta]
    if missing:
        raise RpcError(INVALID_PARAMS, f"params._meta lacks {' and '.join(missing)}")
    version = meta[_VERSION_KEY]
    if headers.get(_VERSION_HEADER) != version:
        raise RpcError(HEADER_MISMATCH, "the header MCP-Protocol-Version is not the version in params._meta")
    if headers.get("mcp-method") != method:
        raise RpcError(HEADER_MISMATCH, "the header Mcp-Method is not the body's method")
    key = _NAMED.get(method) or _NAMED_IF_AT_ALL.get(method)
    if key is not None:
        wanted, named = params.get(key), headers.get("mcp-name")
        due = method in _NAMED or named is not None
        if due and wanted is not None and decoded(named) != wanted:
            raise RpcError(HEADER_MISMATCH, f"the header Mcp-Name is not the body's params.{key}")
    _check_version(version)
    if not isinstance(meta[_CAPABILITIES_KEY], dict):
        raise RpcError(INVALID_PARAMS, f"params._meta[{_CAPABILITIES_KEY!r}] is an object")


def _check_version(version: str) -> None:
    if version not in MODERN:
        raise RpcError(
            UNSUPPORTED_VERSION,
            f"this hub speaks {', '.join(MODERN)}, and {', '.join(LEGACY)} after initialize",
            {"supported": list(MODERN), "requested": cut(version, 64)},
        )
