"""Tells clients about the service, in the form that each generation of them can read."""

from __future__ import annotations

from typing import Final

from starlette.requests import Request
from starlette.responses import Response

from .. import __version__
from ..rest.base import as_json, hub_of
from ..rest.guard import access_of
from .endpoint import base_of
from .reach import Reach
from .translation import BACKEND_PARAMETERS
from .types import OlderInfo, Organization, ServiceInfo, ServiceType

TES_VERSION: Final = "1.1.0"
_SAYS: Final = "A queue of containerised jobs. Each task is a job of the queue."


async def info(request: Request) -> Response:
    """Returns the service in the form of TES 1.1."""
    base = base_of(request)
    storage = _reach(request).storage
    return as_json(
        ServiceInfo(
            id="asman",
            name="Asman",
            type=ServiceType("org.ga4gh", "tes", TES_VERSION),
            description=_SAYS,
            organization=Organization("Asman", f"{base}/"),
            version=__version__,
            storage=storage,
            backend_parameters=list(BACKEND_PARAMETERS),
        )
    )


async def older_info(request: Request) -> Response:
    """Returns the service in the form of TES 1.0, with exactly the members that its clients know."""
    return as_json(OlderInfo("Asman", _SAYS, _reach(request).storage))


def _reach(request: Request) -> Reach:
    """Returns the places that the queue's workers reach; a queue that is not in memory has no workers."""
    shell = hub_of(request).registry.queues.get(access_of(request).queue)
    return Reach() if shell is None else Reach.of(shell)
