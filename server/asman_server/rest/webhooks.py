"""``GET /q/{queue}/webhook-key``: what the receivers of a queue's webhooks check signatures with."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response

from ..access import Right, access
from .base import as_json, hub_of
from .types import WebhookKey, WebhookKeyAnswer


async def key(request: Request) -> Response:
    """The key of a queue's webhooks, for whoever may submit to it."""
    granted = access(request.path_params["queue"])
    granted.need(Right.SUBMIT)
    return as_json(WebhookKeyAnswer(WebhookKey(hub_of(request).webhook_key(granted.queue))))
