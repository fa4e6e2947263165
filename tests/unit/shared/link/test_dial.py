"""Dialling a host with several addresses, of which the first does not answer."""

from __future__ import annotations

import asyncio
import socket
from typing import Any

import pytest
from websockets.asyncio.server import ServerConnection, serve
from websockets.typing import Subprotocol

from asman_shared import limits
from asman_shared.link.dial import open_socket
from devtools.patience import PATIENCE
from devtools.ports import free_port


def silent_port(address: str) -> tuple[int, list[socket.socket]]:
    """Returns a port that takes no connection and refuses none, and the sockets that make it so."""
    listening = socket.socket()
    listening.bind((address, free_port()))  # which no outgoing connection takes at the other address
    listening.listen(0)
    port = listening.getsockname()[1]
    held = [listening]
    for _ in range(3):  # they fill its queue
        waiting = socket.socket()
        waiting.setblocking(False)
        waiting.connect_ex((address, port))
        held.append(waiting)
    return port, held


async def test_an_address_that_does_not_answer_hides_no_other(monkeypatch: pytest.MonkeyPatch) -> None:
    port, held = silent_port("127.0.0.2")

    async def answer(ws: ServerConnection) -> None:
        await ws.wait_closed()

    async def two(_host: str, _port: int, **_more: Any) -> list[Any]:
        addresses = [("127.0.0.2", port), ("127.0.0.1", port)]
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", address) for address in addresses]

    speaking = [Subprotocol(limits.SUBPROTOCOL_MSGPACK)]
    async with serve(answer, "127.0.0.1", port, subprotocols=speaking):
        monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", two)
        async with asyncio.timeout(PATIENCE):
            ws = await open_socket(f"ws://hub.test:{port}/q/a", open_timeout=None)
        await ws.close()
        monkeypatch.undo()
    for each in held:
        each.close()
