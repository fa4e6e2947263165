"""Leads requests to the addresses of tasks to their endpoints, past the routes of all other doors.

Clients poll, so that most requests of a busy hub may be of this door. What is none of its operations goes on to the
routes of the application, which refuse it.
"""

from __future__ import annotations

import re
from typing import Final

from starlette.requests import Request
from starlette.types import ASGIApp, Receive, Scope, Send

from ..rest.base import Endpoint
from .operations import routes

_DOOR: Final = re.compile(r"/q/[^/]+/(?:ga4gh/tes/)?v1(?:/|$)")


def is_at_door(path: str) -> bool:
    """Whether a path is below an address of this door."""
    return _DOOR.match(path) is not None


class Door:
    """ASGI middleware that answers the operations of this door.

    Args:
        app: The application, which has the same operations among its routes.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app
        self._routes = [(each.path_regex, each.methods or set(), each.endpoint) for each in routes()]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answers one request."""
        endpoint = self._endpoint(scope) if scope["type"] == "http" and is_at_door(scope["path"]) else None
        if endpoint is None:
            await self._app(scope, receive, send)
            return
        response = await endpoint(Request(scope, receive, send))
        await response(scope, receive, send)

    def _endpoint(self, scope: Scope) -> Endpoint | None:
        for pattern, methods, endpoint in self._routes:
            if scope["method"] in methods and (found := pattern.match(scope["path"])):
                scope["path_params"] = found.groupdict()
                made: Endpoint = endpoint
                return made
        return None
