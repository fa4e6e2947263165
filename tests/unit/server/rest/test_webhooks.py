"""The key of a queue's webhooks over HTTP."""

from __future__ import annotations

import json
from types import SimpleNamespace
from typing import Any

import pytest
from starlette.requests import Request

from asman_server.access import ALL_RIGHTS, Access, Right
from asman_server.rest.guard import ACCESS
from asman_server.rest.webhooks import key
from asman_server.webhooks.signing import webhook_key
from asman_shared.errors import Forbidden


def request(queue: str, rights: frozenset[Right] = ALL_RIGHTS) -> Request:
    hub = SimpleNamespace(webhook_key=lambda name: webhook_key(b"secret", name))
    app = SimpleNamespace(state=SimpleNamespace(hub=hub))
    made = Request({"type": "http", "headers": [], "path_params": {"queue": queue}, "app": app})
    made.scope[ACCESS] = Access(queue, rights)
    return made


async def test_each_queue_is_told_its_own_key() -> None:
    found: list[Any] = [json.loads(bytes((await key(request(queue))).body)) for queue in ("one", "two")]
    assert found == [{"data": {"key": webhook_key(b"secret", queue)}} for queue in ("one", "two")]
    assert found[0] != found[1]


async def test_who_may_not_submit_is_not_told_it() -> None:
    with pytest.raises(Forbidden, match="'submit'"):
        await key(request("one", frozenset({Right.READ})))
