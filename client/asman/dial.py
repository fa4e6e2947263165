"""Opening a connection to a hub: the websocket, `Hello` and `Welcome`."""

from __future__ import annotations

import asyncio

from websockets.asyncio.client import ClientConnection

from asman_shared.codec import HUB_TO_CLIENT_FRAMES, Broken, encode
from asman_shared.encoded import Language
from asman_shared.errors import ProtocolError
from asman_shared.link.dial import DIAL_ERRORS, explain, open_socket
from asman_shared.messages import Error, Hello, HubToClient, Welcome

from .address import Address


async def dial(
    address: Address, hello: Hello, timeout: float
) -> tuple[ClientConnection, Welcome, list[HubToClient | Broken]]:
    """Opens a connection and exchanges `Hello` and `Welcome`.

    Returns:
        The connection, the hub's welcome, and the messages that came in the same frame after it.

    Raises:
        ConnectionFailed: The hub can't be reached now.
        NotFound: The hub knows no queue with the key in the address.
        Forbidden: The key in the address opens no client's connection.
        ProtocolError: The server does not speak our protocol, or refuses this client.
    """
    try:
        async with asyncio.timeout(timeout):
            return await _dial(address, hello)
    except DIAL_ERRORS as error:
        raise explain(error, address, timeout) from error


async def _dial(address: Address, hello: Hello) -> tuple[ClientConnection, Welcome, list[HubToClient | Broken]]:
    ws = await open_socket(address.client_socket, open_timeout=None, user_agent_header=hello.agent)
    try:
        await ws.send(encode([hello]))
        data = await ws.recv()
        if isinstance(data, str):
            raise ProtocolError(f"the server at {address.host} sent text instead of msgpack: is it an Asman hub?")
        messages = HUB_TO_CLIENT_FRAMES.decode(data, Language.MSGPACK)
        first = messages[0] if messages else None
        if isinstance(first, Error):
            raise first.error
        if not isinstance(first, Welcome):
            raise ProtocolError(f"the hub at {address.host} did not begin with a welcome")
        return ws, first, messages[1:]
    except BaseException:
        await ws.close()
        raise
