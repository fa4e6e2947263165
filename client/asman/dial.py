"""Opening a websocket to a hub, and saying in one sentence why that failed."""

from __future__ import annotations

import asyncio
from typing import Final

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import (
    ConnectionClosed,
    InvalidHandshake,
    InvalidMessage,
    InvalidStatus,
    InvalidURI,
    NegotiationError,
)
from websockets.typing import Subprotocol

from asman_shared import limits
from asman_shared.codec import HUB_TO_CLIENT_FRAMES, Broken, encode
from asman_shared.encoded import Language
from asman_shared.errors import CLOSE_REASONS, AsmanError, CloseCode, ConnectionFailed, ProtocolError, error_for
from asman_shared.messages import Error, Hello, HubToClient, Welcome

from .address import Address
from .unreachable import hung_up, no_hub, unreachable, wrong_status

_LASTING: Final = {CloseCode.VERSION, CloseCode.FORBIDDEN, CloseCode.BAD_QUEUE, CloseCode.PROTOCOL}


def close_reason(closed: ConnectionClosed) -> str:
    """Why a connection was closed, as a sentence without its end."""
    code = closed.rcvd.code if closed.rcvd else 1006
    said = closed.rcvd.reason if closed.rcvd else ""
    try:
        return said or CLOSE_REASONS[CloseCode(code)]
    except (ValueError, KeyError):
        return f"the connection was closed with code {code}"


def lasting(closed: ConnectionClosed) -> bool:
    """Whether dialling again would end in the same way."""
    return closed.rcvd is not None and closed.rcvd.code in _LASTING


def explain(error: Exception, address: Address, timeout: float) -> AsmanError:
    """The error that tells a person why the hub can't be reached."""
    host = address.host
    if isinstance(error, AsmanError):
        return error
    if isinstance(error, ConnectionClosed):
        sentence = f"the hub at {host} refused this connection: {close_reason(error)}"
        return ProtocolError(sentence) if lasting(error) else ConnectionFailed(sentence)
    return ConnectionFailed(_sentence(error, host, timeout))


def _sentence(error: Exception, host: str, timeout: float) -> str:
    match error:
        case InvalidStatus():
            return wrong_status(error.response.status_code, host)
        case NegotiationError():
            return f"{host} does not speak {limits.SUBPROTOCOL_MSGPACK}: is it an Asman hub of this version?"
        case InvalidMessage(__cause__=EOFError()):
            return hung_up(host)
        case InvalidMessage() | EOFError() | InvalidHandshake():
            return no_hub(host)
        case InvalidURI():
            return f"{host} is not an address that can be dialled"
        case OSError():
            return unreachable(error, host, timeout)
        case _:
            return f"{host} can't be reached: {error}"


async def dial(
    address: Address, hello: Hello, timeout: float
) -> tuple[ClientConnection, Welcome, list[HubToClient | Broken]]:
    """Opens a connection and exchanges `Hello` and `Welcome`.

    Returns:
        The connection, the hub's welcome, and the messages that came in the same frame after it.

    Raises:
        ConnectionFailed: The hub can't be reached, now.
        ProtocolError: What answers there does not speak our protocol, or not to us.
    """
    try:
        async with asyncio.timeout(timeout):
            return await _dial(address, hello)
    except (OSError, EOFError, InvalidHandshake, InvalidURI, ConnectionClosed, AsmanError) as error:
        raise explain(error, address, timeout) from error


async def _dial(address: Address, hello: Hello) -> tuple[ClientConnection, Welcome, list[HubToClient | Broken]]:
    ws = await connect(
        address.client_socket,
        subprotocols=[Subprotocol(limits.SUBPROTOCOL_MSGPACK)],
        compression=None,
        max_size=limits.FRAME_BYTES,
        open_timeout=None,
        ping_interval=None,
        close_timeout=2,
        user_agent_header=hello.agent,
    )
    try:
        if ws.subprotocol != limits.SUBPROTOCOL_MSGPACK:
            raise NegotiationError("no subprotocol")
        await ws.send(encode([hello]))
        data = await ws.recv()
        if isinstance(data, str):
            raise ProtocolError(f"what answers at {address.host} speaks text where Asman's hubs speak msgpack")
        messages = HUB_TO_CLIENT_FRAMES.decode(data, Language.MSGPACK)
        first = messages[0] if messages else None
        if isinstance(first, Error):
            raise error_for(first.code, first.message, first.field)
        if not isinstance(first, Welcome):
            raise ProtocolError(f"the hub at {address.host} did not begin with a welcome")
        return ws, first, messages[1:]
    except BaseException:
        await ws.close()
        raise
