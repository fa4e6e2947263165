"""The methods of the door in each era, and what their results have in common."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, Final

from .. import __version__
from . import resources, tasks, tools
from .context import Context
from .protocol import INVALID_PARAMS, LEGACY, MODERN, TASKS, Call, RpcError

SERVER: Final = {"name": "asman", "title": "Asman", "version": __version__}
INSTRUCTIONS: Final = (
    "This server runs containers as jobs on a queue. Call submit with an image and a command; files go in as text and "
    "are at /inputs; what the command writes to /outputs comes back. Equal jobs are answered from the cache. For a "
    "job that takes long, keep its id and call wait again; logs with around_first_error shows why a job failed; "
    "explain says why a job does not start."
)
CAPABILITIES: Final[dict[str, Any]] = {"tools": {}, "resources": {}}
KEPT_MS: Final = 300_000
"""Time for which clients may keep lists that do not depend on jobs, in milliseconds."""
_SERVER_KEY: Final = "io.modelcontextprotocol/serverInfo"
_NEVER_OLD: Final = {"server/discover": KEPT_MS, "tools/list": KEPT_MS, "resources/templates/list": KEPT_MS}
_CACHEABLE: Final = (*_NEVER_OLD, "resources/list", "resources/read")

Method = Callable[[Context], Awaitable[dict[str, Any]]]


async def _discover(_context: Context) -> dict[str, Any]:
    capabilities = {**CAPABILITIES, "extensions": {TASKS: {}}}
    return {"supportedVersions": list(MODERN), "capabilities": capabilities, "instructions": INSTRUCTIONS}


async def _initialize(context: Context) -> dict[str, Any]:
    wanted = context.call.params.get("protocolVersion")
    version = wanted if wanted in LEGACY else LEGACY[0]
    return {
        "protocolVersion": version,
        "capabilities": CAPABILITIES,
        "serverInfo": SERVER,
        "instructions": INSTRUCTIONS,
    }


async def _ping(_context: Context) -> dict[str, Any]:
    return {}


async def _tools(context: Context) -> dict[str, Any]:
    _no_cursor(context)
    return tools.listed(context.access, names_queue=not context.access.queue)


async def _templates(context: Context) -> dict[str, Any]:
    _no_cursor(context)
    return {"resourceTemplates": resources.TEMPLATES}


def _no_cursor(context: Context) -> None:
    if context.call.params.get("cursor") is not None:
        raise RpcError(INVALID_PARAMS, "'cursor' is the nextCursor of the page before, and this list has one page")


WITHOUT_QUEUE: Final = ("server/discover", "initialize", "ping", "tools/list", "resources/templates/list")
"""Methods that touch no queue, so that they are answered where none is named."""
_BOTH: Final[dict[str, Method]] = {
    "tools/list": _tools,
    "tools/call": tools.call,
    "resources/list": resources.listed,
    "resources/read": resources.read,
    "resources/templates/list": _templates,
}
MODERN_METHODS: Final[dict[str, Method]] = {
    **_BOTH,
    "server/discover": _discover,
    "tasks/get": tasks.get,
    "tasks/cancel": tasks.cancel,
    "tasks/update": tasks.update,
}
LEGACY_METHODS: Final[dict[str, Method]] = {**_BOTH, "initialize": _initialize, "ping": _ping}


def stamped(method: str, result: dict[str, Any], *, modern: bool) -> dict[str, Any]:
    """Returns a result with what every result of its era has."""
    if not modern:
        return result
    if method in _CACHEABLE:
        result = {"ttlMs": _NEVER_OLD.get(method, 0), "cacheScope": "private", **result}
    result = {"resultType": "complete", **result}
    if not method.startswith("tasks/") and result["resultType"] == "complete":
        result["_meta"] = {_SERVER_KEY: SERVER}
    return result


def method_of(call: Call) -> Method | None:
    """Returns the function that answers a call; None for a method that its era does not have here."""
    return (MODERN_METHODS if call.modern else LEGACY_METHODS).get(call.method)
