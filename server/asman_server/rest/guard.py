"""Checks the key in the address of each request against the table of rights, before its endpoint is called."""

from __future__ import annotations

import asyncio
from typing import Final

from starlette.requests import Request
from starlette.responses import Response

from asman_shared.errors import Overloaded

from ..access import Access
from ..access.table import BY_ITSELF, PAGES, REQUESTS, SUBMITTING
from ..limiting import Limiter
from .base import Endpoint, hub_of

ACCESS: Final = "asman.access"
"""Key in a request's scope: the queue that its address names, with the rights of the key."""


def guarded(name: str, endpoint: Endpoint) -> Endpoint:
    """Returns an endpoint that is called only for keys with the rights that its operation needs.

    Args:
        name: The operation, which has a row in the table of rights.
        endpoint: The endpoint.

    Raises:
        LookupError: The operation has no row.
    """
    if name not in REQUESTS:
        raise LookupError(f"the operation '{name}' has no row in asman_server.access.table")
    needs = REQUESTS[name]
    if needs is None or name in BY_ITSELF:
        return endpoint

    async def guarding(request: Request) -> Response:
        if name in PAGES and wants_page(request):
            return await endpoint(request)
        access = await hub_of(request).access(request, str(request.path_params["queue"]))
        access.need_all(needs)
        request.scope[ACCESS] = access
        if name not in SUBMITTING or not access.sender:
            return await endpoint(request)
        return await limited(hub_of(request).limiter, access, endpoint, request)

    guarding.__doc__ = endpoint.__doc__
    return guarding


async def limited(limiter: Limiter, access: Access, endpoint: Endpoint, request: Request) -> Response:
    """Answers a request that submits a job for a sender that has limits.

    A request that is one too many is refused before its body is read. One that goes on is answered late.
    """
    try:
        limiter.check_submit(access)
        response = await endpoint(request)
    except Overloaded:
        await asyncio.sleep(limiter.patience(access.sender))
        raise
    response.headers.update(limiter.headers(access))
    return response


def access_of(request: Request) -> Access:
    """Returns the queue that the address of a guarded request names, with the rights of the key."""
    access: Access = request.scope[ACCESS]
    return access


def wants_page(request: Request) -> bool:
    """Whether a request is that of a browser, for a page to show."""
    asks = "text/html" in request.headers.get("accept", "")
    return asks and not str(request.path_params.get("id", "")).endswith(".json")
