"""Queries to a hub by a single HTTP request, for commands that start faster without the websocket client."""

from __future__ import annotations

import http.client
import json
import os
import socket
import ssl
import sys
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final
from urllib.error import HTTPError, URLError
from urllib.parse import urlencode

from asman_shared.errors import AsmanError, ConnectionFailed, ProtocolError, error_for

if TYPE_CHECKING:
    from ..address import Address

SECONDS: Final = 30.0
"""Time limit for connecting and for the answer, in seconds."""
MOST_BYTES: Final = 64 * 1024 * 1024
"""Maximum size of an answer, in bytes."""


def ask(address: Address, path: str, query: Mapping[str, str | int | Sequence[str]]) -> dict[str, Any]:
    """Sends a query about a queue and returns the answer.

    Args:
        address: The queue.
        path: Path below the queue's URL, such as ``jobs``.
        query: Query parameters; a sequence repeats its parameter.

    Raises:
        ConnectionFailed: The hub can't be reached; the message says why.
        ProtocolError: The server at this address is not a hub.
        AsmanError: The error that the hub answered with.
    """
    return fetch(f"{address.url}/{path}?{urlencode(query, doseq=True)}", address.host)


def fetch(url: str, host: str) -> dict[str, Any]:
    """Returns the JSON object at an address of a hub.

    Args:
        url: The address.
        host: Its host, for sentences.

    Raises:
        AsmanError: As for `ask`.
    """
    with _opened(url, host, "application/json") as answer:
        return _read(answer, host)


def first_events(url: str, host: str, count: int, seconds: float) -> list[tuple[str, Any]]:
    """Returns the first server-sent events at an address of a hub, each with its kind and its JSON value.

    Args:
        url: The address.
        host: Its host, for sentences.
        count: The number of events to wait for.
        seconds: Time to wait for the next one; a reader that gets none has those that came.

    Raises:
        AsmanError: As for `ask`.
    """
    found: list[tuple[str, Any]] = []
    kind = ""
    with _opened(url, host, "text/event-stream", seconds) as answer:
        try:
            while len(found) < count and (line := answer.readline(MOST_BYTES)):
                name, _, text = line.decode("utf-8", "replace").rstrip("\n").partition(": ")
                if name == "event":
                    kind = text
                elif name == "data":
                    found.append((kind, json.loads(text)))
        except (TimeoutError, ValueError):
            pass
    return found


@contextmanager
def _opened(url: str, host: str, accept: str, seconds: float = SECONDS) -> Iterator[Any]:
    request = urllib.request.Request(url, headers={"Accept": accept})  # noqa: S310 - http or https only
    proxy = _proxy_for(url)
    try:
        with _opener(proxy).open(request, timeout=seconds) as answer:
            yield answer
    except HTTPError as error:
        with error:
            raise _refusal(error, host, proxy) from None
    except (OSError, http.client.HTTPException) as error:
        raise ConnectionFailed(_why(error, host, proxy)) from error


def _why(error: OSError | http.client.HTTPException, host: str, proxy: str | None) -> str:
    """Returns the sentence about a failed request; its words are imported for it alone."""
    from asman_shared.link.unreachable import hung_up, no_hub, proxy_unreachable, unreachable

    match error:
        case URLError(reason=OSError() as reason):
            if proxy is not None and not isinstance(reason, ssl.SSLError | TimeoutError):
                return proxy_unreachable(reason, _shown(proxy))
            return unreachable(reason, host, SECONDS)
        case URLError():
            return str(error.reason)
        case http.client.RemoteDisconnected():
            return hung_up(host)
        case http.client.HTTPException():
            return no_hub(host)
        case _:
            return unreachable(error, host, SECONDS)


def _proxy_for(url: str) -> str | None:
    """Returns the proxy for an address; most machines have none, which is found out without importing anything."""
    if sys.platform == "linux" and not any(name.lower().endswith("_proxy") for name in os.environ):
        return None
    from asman_shared.link.proxies import proxy_for

    return proxy_for(url)


def _shown(proxy: str) -> str:
    from asman_shared.link.proxies import shown

    return shown(proxy)


def _opener(proxy: str | None) -> urllib.request.OpenerDirector:
    """Returns what opens addresses through this proxy alone, or through none."""
    proxies = urllib.request.ProxyHandler({"http": proxy, "https": proxy} if proxy else {})
    return urllib.request.build_opener(proxies, _Http, _Https)


def _connect(address: tuple[str, int], timeout: float, source: Any = None) -> socket.socket:
    """Returns a socket to a host, of whose addresses some may not answer; one that is an address has no other."""
    if ":" in address[0] or address[0].replace(".", "").isdecimal():
        return socket.create_connection(address, timeout, source)
    from asman_shared.link.eyeballs import connect_first

    return connect_first(address, timeout, source)


class _Plain(http.client.HTTPConnection):
    def __init__(self, *args: Any, **more: Any) -> None:
        super().__init__(*args, **more)
        self._create_connection = _connect


class _Secure(http.client.HTTPSConnection):
    def __init__(self, *args: Any, **more: Any) -> None:
        super().__init__(*args, **more)
        self._create_connection = _connect


class _Http(urllib.request.HTTPHandler):
    """Opens http addresses of hosts of which some addresses may not answer."""

    def http_open(self, request: urllib.request.Request) -> http.client.HTTPResponse:
        return self.do_open(_Plain, request)


class _Https(urllib.request.HTTPSHandler):
    """Opens https addresses of hosts of which some addresses may not answer."""

    def https_open(self, request: urllib.request.Request) -> http.client.HTTPResponse:
        return self.do_open(_Secure, request)


def _read(answer: Any, host: str) -> dict[str, Any]:
    data = answer.read(MOST_BYTES + 1)
    try:
        value = json.loads(data) if len(data) <= MOST_BYTES else None
    except ValueError:
        value = None
    if not isinstance(value, dict):
        from asman_shared.link.unreachable import no_hub

        raise ProtocolError(no_hub(host))
    return value


def _refusal(error: HTTPError, host: str, proxy: str | None) -> AsmanError:
    """Returns the hub's own error, or one about an answer that no hub gives."""
    try:
        value = _read(error, host)
    except (ProtocolError, OSError, http.client.HTTPException):
        value = {}
    if isinstance(value.get("error"), str) and isinstance(value.get("code"), str):
        return error_for(value["code"], value["error"], str(value.get("field") or "") or None)
    from asman_shared.link.unreachable import proxy_refuses, wrong_status

    if proxy is None:
        return ConnectionFailed(wrong_status(error.code, host))
    if error.code == http.client.PROXY_AUTHENTICATION_REQUIRED:
        return ConnectionFailed(proxy_refuses(_shown(proxy), error.code))
    return ConnectionFailed(f"the proxy {_shown(proxy)}, or {host} behind it, answered with HTTP status {error.code}")
