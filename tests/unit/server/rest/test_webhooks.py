"""The key of a queue's webhooks over HTTP."""

from __future__ import annotations

import json
from types import SimpleNamespace
from typing import Any

import pytest
from starlette.requests import Request

from asman_server.rest.webhooks import key
from asman_server.webhooks.signing import webhook_key
from asman_shared.errors import BadRequest


def request(queue: str) -> Request:
    hub = SimpleNamespace(webhook_key=lambda name: webhook_key(b"secret", name))
    app = SimpleNamespace(state=SimpleNamespace(hub=hub))
    return Request({"type": "http", "headers": [], "path_params": {"queue": queue}, "app": app})


async def test_each_queue_is_told_its_own_key() -> None:
    found: list[Any] = [json.loads(bytes((await key(request(queue))).body)) for queue in ("one", "two")]
    assert found == [{"data": {"key": webhook_key(b"secret", queue)}} for queue in ("one", "two")]
    assert found[0] != found[1]


async def test_what_can_not_be_a_queue_has_none() -> None:
    with pytest.raises(BadRequest):
        await key(request("a b"))
