"""Explain and validate on the plain wire."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from typing import Any

from websockets.asyncio.client import ClientConnection, connect
from websockets.typing import Subprotocol

from devtools.asman_processes import HubProcess
from devtools.patience import PATIENCE


async def answer(socket: ClientConnection, **request: Any) -> dict[str, Any]:
    """Asks and returns the answer."""
    await socket.send(json.dumps(request))
    async with asyncio.timeout(PATIENCE):
        while True:
            for message in json.loads(await socket.recv()):
                if message.get("ref") == request["ref"]:
                    return dict(message)


async def test_explain_and_validate_are_answered_once_each(hub_process: Callable[..., HubProcess]) -> None:
    hub = await asyncio.to_thread(hub_process)
    address = f"{hub.url.replace('http', 'ws')}/q/inquiry/client"
    async with connect(address, subprotocols=[Subprotocol("asman.v1.json")]) as socket:
        await socket.send(json.dumps({"type": "hello"}))
        definition = {"image": "a", "inputs": {"x": {"type": "key", "value": "0" * 64}}}
        valid = await answer(socket, type="validate", ref=1, definition=definition)
        assert (valid["type"], valid["ok"], valid["missing_blobs"]) == ("validated", False, ["0" * 64])
        assert valid["why"] == "no worker is connected to this queue"
        unknown = await answer(socket, type="explain", ref=2, job=valid["id"])
        assert (unknown["type"], unknown["code"]) == ("error", "not_found")
        accepted = await answer(socket, type="submit", ref=3, definition=definition)
        assert accepted["job"]["id"] == valid["id"]
        told = await answer(socket, type="explain", ref=4, job=valid["id"])
        assert told == {
            "type": "explanation",
            "ref": 4,
            "job": valid["id"],
            "state": "Queued",
            "sentence": "no worker is connected to this queue",
            "position": 0,
            "waiting_for": "worker",
        }
        again = await answer(socket, type="validate", ref=5, definition=definition)
        assert again["known"] == "Queued"
        broken = await answer(socket, type="validate", ref=6, definition={"image": 3, "imge": "a"})
        assert [problem["field"] for problem in broken["problems"]] == ["definition.image", "definition.imge"]
        wrong = await answer(socket, type="validate", ref=7, definition=[])
        assert (wrong["type"], wrong["field"]) == ("error", "definition")
