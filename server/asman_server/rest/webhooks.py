"""Serves ``GET /q/{queue}/webhook-key``: the key that verifies the signatures of a queue's webhooks."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response

from ..access import Right
from .base import as_json, hub_of
from .requests import granted
from .types import WebhookKey, WebhookKeyAnswer


async def key(request: Request) -> Response:
    """Returns the key of a queue's webhooks, to anyone who may submit to the queue."""
    return as_json(WebhookKeyAnswer(WebhookKey(hub_of(request).webhook_key(granted(request, Right.SUBMIT)))))
