"""Dials a hub by websocket, and explains a failure in a sentence; shared by clients and workers."""

from __future__ import annotations

import asyncio
import ssl
from typing import Any, Final

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import (
    ConnectionClosed,
    InvalidHandshake,
    InvalidMessage,
    InvalidProxyStatus,
    InvalidStatus,
    InvalidURI,
    NegotiationError,
    ProxyError,
    WebSocketException,
)
from websockets.typing import Subprotocol

from .. import limits
from ..address import Address
from ..errors import CLOSE_REASONS, AsmanError, CloseCode, ConnectionFailed, NotFound, ProtocolError
from .eyeballs import EYEBALLS_SECONDS
from .proxies import proxy_for, shown
from .unreachable import hung_up, no_hub, proxy_refuses, proxy_unreachable, unreachable, wrong_status

SILENCE: Final = 2.5
"""Number of heartbeats without a message from the hub after which the connection counts as lost."""
FULL_SECONDS: Final = 5.0
"""Time after which to dial a hub again that takes no more connections for now, in seconds."""
DIAL_ERRORS: Final = (OSError, EOFError, WebSocketException)
"""Errors of the library, of sockets and of TLS, which `explain` turns into sentences."""

_LASTING: Final = frozenset({CloseCode.PROTOCOL, CloseCode.VERSION, CloseCode.FORBIDDEN, CloseCode.BAD_QUEUE})
"""Close codes that the hub would use for the next connection, too."""


class Dismissed(ProtocolError):
    """The queue's owner has drained this worker, which has nothing left to do."""


class QueueGone(ProtocolError):
    """The queue's owner has deleted the queue; dialling again by its name would begin another one."""


async def open_socket(url: str, **more: Any) -> ClientConnection:
    """Opens a websocket that speaks msgpack, through the proxy of the environment if there is one.

    Args:
        url: ``Address.client_socket`` or ``Address.worker_socket``.
        **more: Passed on to `websockets.asyncio.client.connect`.

    Raises:
        Exception: One of `DIAL_ERRORS`.
        Misconfigured: The environment names a proxy that can't be used.
    """
    if isinstance(asyncio.get_running_loop(), asyncio.BaseEventLoop):  # other loops may not have it
        more.setdefault("happy_eyeballs_delay", EYEBALLS_SECONDS)
    ws = await connect(
        url,
        proxy=proxy_for(url),
        subprotocols=[Subprotocol(limits.SUBPROTOCOL_MSGPACK)],
        compression=None,
        max_size=limits.FRAME_BYTES,
        ping_interval=None,
        close_timeout=2,
        **more,
    )
    if ws.subprotocol != limits.SUBPROTOCOL_MSGPACK:
        await ws.close()
        raise NegotiationError("no subprotocol")
    return ws


def close_reason(closed: ConnectionClosed) -> str:
    """Returns the reason why a connection was closed, as a sentence without its end."""
    if closed.rcvd is None:
        return "the connection broke off"
    code = closed.rcvd.code
    try:
        return closed.rcvd.reason or CLOSE_REASONS[CloseCode(code)]
    except (ValueError, KeyError):
        return f"the connection was closed with code {code}"


def explain(error: Exception, address: Address, timeout: float) -> AsmanError:
    """Returns the error that tells a person why the hub can't be reached, or why the connection ended.

    Args:
        error: One of `DIAL_ERRORS`.
        address: The queue.
        timeout: Time limit of the hub's answer, in seconds.

    Returns:
        A `ProtocolError` if dialling again would end in the same way, a `NotFound` if the hub knows no queue with the
        key in the address, a `ConnectionFailed` otherwise.
    """
    host = address.host
    if isinstance(error, ConnectionClosed):
        if error.rcvd is None:
            return ConnectionFailed(f"the connection to {host} broke off")
        if error.rcvd.code == CloseCode.UNKNOWN_KEY:
            return NotFound(f"the hub at {host} does not know this key: {close_reason(error)}", field="queue")
        sentence = f"the hub at {host} closed this connection: {close_reason(error)}"
        if error.rcvd.code == CloseCode.DISMISSED:
            return Dismissed(sentence)
        if error.rcvd.code == CloseCode.DELETED:
            return QueueGone(sentence)
        if error.rcvd.code in _LASTING:
            return ProtocolError(sentence)
        return ConnectionFailed(sentence, retry_after=FULL_SECONDS if error.rcvd.code == CloseCode.OVERLOADED else None)
    if (proxy := proxy_for(address.client_socket)) is not None:
        sentence = _through_proxy(error, host, shown(proxy), timeout)
        if sentence:
            return ConnectionFailed(sentence)
    return ConnectionFailed(_sentence(error, host, timeout))


def _through_proxy(error: Exception, host: str, proxy: str, timeout: float) -> str:
    """Returns the sentence for an error of the way through a proxy; empty if the proxy has no part in it."""
    match error:
        case InvalidProxyStatus():
            return proxy_refuses(proxy, error.response.status_code)
        case ProxyError():
            return f"the proxy {proxy} did not answer like a proxy: is the address of the proxy right?"
        case TimeoutError():
            return f"nothing answered at {host} through the proxy {proxy} within {timeout:g} seconds"
        case ssl.SSLError():
            return ""
        case OSError():
            return proxy_unreachable(error, proxy)
        case _:
            return ""


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
