"""Reaches the addresses of blobs: one pool of connections, checked redirects, and the meaning of each status."""

from __future__ import annotations

import json
import re
import socket
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final

from asman_shared import limits
from asman_shared.errors import AsmanError, BadRequest, ConnectionFailed, NotFound, TooLarge, Unauthentic, Unavailable
from asman_shared.link.proxies import proxy_for, shown
from asman_shared.link.unreachable import proxy_refuses, proxy_unreachable
from asman_shared.public_addresses import malformed
from asman_shared.units import MIB

from .retry import Stale, UnknownHost

if TYPE_CHECKING:
    from aiohttp import ClientResponse, ClientSession
    from aiohttp.abc import AbstractResolver
    from yarl import URL

AT_ONCE: Final = 8
"""Largest number of concurrent transfers of one client or worker."""
_CONNECT_SECONDS: Final = 15.0
_REDIRECTS: Final = 6
_ORIGINS: Final = 64
_SAID_BYTES: Final = 1000
_QUERY: Final = re.compile(r"\?[^\s'\")>]+")
_OTHER_BYTES: Final = re.compile(r"<Code>\w*(Digest|Checksum)\w*</Code>")
"""The way in which S3 says that other bytes arrived than were announced."""
_NO_SUCH_NAME: Final = {socket.EAI_NONAME, getattr(socket, "EAI_NODATA", socket.EAI_NONAME)}
"""Errors of the resolver that stay; others, such as ``EAI_AGAIN``, may pass."""
_STALE: Final = (401, 403, 404, 409, 410)
_AGAIN: Final = (408, 425, 429)


class Http:
    """The connections of one client or worker; made at first use, because the library takes long to load.

    Args:
        guard: Checks each address before it is reached, redirects included; raises an error to refuse it.
        resolver: Makes the resolver of host names, if not the usual one. It may check the addresses that it returns.
        proxied: Decides whether an address is reached through the proxy of the environment. A proxy resolves names
            itself, so that ``resolver`` can't check where it connects to.
        redirected: Called with each redirect and the address to which it leads, before that is checked.
    """

    def __init__(
        self,
        *,
        guard: Callable[[URL], None] | None = None,
        resolver: Callable[[], AbstractResolver] | None = None,
        proxied: Callable[[URL], bool] | None = None,
        redirected: Callable[[ClientResponse, URL], None] | None = None,
    ) -> None:
        self._guard = guard
        self._proxied = proxied
        self._redirected = redirected
        self._proxy_for = lru_cache(_ORIGINS)(proxy_for)
        self._resolver = resolver
        self._session: ClientSession | None = None

    async def close(self) -> None:
        """Closes the connections."""
        session, self._session = self._session, None
        if session is not None:
            await session.close()

    def _open(self) -> ClientSession:
        if self._session is None:
            from aiohttp import ClientSession, ClientTimeout, TCPConnector

            # Waiting for a free connection to a host has no time limit; only connecting and reading have one.
            self._session = ClientSession(
                timeout=ClientTimeout(total=None, sock_connect=_CONNECT_SECONDS),
                connector=TCPConnector(limit=2 * AT_ONCE, resolver=self._resolver() if self._resolver else None),
                auto_decompress=False,
                read_bufsize=MIB,
            )
        return self._session

    def _check(self, url: URL) -> None:
        if (why := malformed(str(url))) is not None:
            raise BadRequest(f"'{_public(str(url)[:200])}' is not an http address: {why}")
        if self._guard is not None:
            self._guard(url)

    def _proxy(self, url: URL) -> str | None:
        """Returns the proxy for an address; see `proxy_for`, which takes a while and is asked once for each host."""
        if self._proxied is not None and not self._proxied(url):
            return None
        return self._proxy_for(str(url.origin()))

    @asynccontextmanager
    async def get(
        self, url: str, headers: Mapping[str, str], stall: float, *, secret: Mapping[str, str] | None = None
    ) -> AsyncIterator[ClientResponse]:
        """Yields a response, after redirects; network failures inside the block become errors that allow a retry.

        Args:
            url: The absolute address.
            headers: Headers to send.
            stall: Longest time without any bytes, in seconds.
            secret: Headers that only the host and port of the address itself gets, and no host that it redirects to.
        """
        from aiohttp import ClientTimeout

        timeout = ClientTimeout(total=None, sock_connect=_CONNECT_SECONDS, sock_read=stall)
        first = where = _parse(url)
        async with _network("the download broke off"):
            for _ in range(_REDIRECTS):
                self._check(where)
                sent = {"Accept-Encoding": "identity", **headers}
                if secret is not None and where.origin() == first.origin():
                    sent.update(secret)
                async with self._open().get(
                    where, headers=sent, allow_redirects=False, timeout=timeout, proxy=self._proxy(where)
                ) as response:
                    to = response.headers.get("Location")
                    if response.status not in (301, 302, 303, 307, 308) or to is None:
                        yield response
                        return
                    where = response.url.join(_parse(to))
                    if self._redirected is not None:
                        self._redirected(response, where)
        raise BadRequest(f"{where.host} redirects without end")

    async def put(
        self, method: str, url: str, headers: Mapping[str, str], body: bytes | AsyncIterator[bytes], stall: float
    ) -> None:
        """Sends a body whose length the headers name.

        Raises:
            Unauthentic: The store reports other bytes than announced.
            AsmanError: The body was not accepted; ``retry`` tells whether another try may help.
        """
        from aiohttp import ClientTimeout

        where = _parse(url)
        self._check(where)
        async with (
            _network("the upload broke off"),
            self._open().request(
                method,
                where,
                data=body,
                headers=headers,
                skip_auto_headers=("Content-Type",),
                allow_redirects=False,
                timeout=ClientTimeout(total=None, sock_connect=_CONNECT_SECONDS, sock_read=stall),
                proxy=self._proxy(where),
            ) as response,
        ):
            await check(response, fresh=True)


def _parse(url: str) -> URL:
    """Returns an address unchanged, if it can be sent so: a signature may cover its exact text."""
    from yarl import URL

    try:
        made = URL(url, encoded=url.isascii() and url.isprintable() and " " not in url)
        _ = made.port  # of an encoded address, it is read only now
    except ValueError as error:
        raise BadRequest(f"'{_public(url[:200])}' is not an http address ({_public(str(error))})") from error
    return made


def _public(text: str) -> str:
    """Removes the queries of the addresses in a text, because they hold signatures."""
    return _QUERY.sub("?…", text)


def proxy_fault(error: Exception) -> str:
    """Returns the sentence about the proxy, if an error of aiohttp is about one; empty otherwise."""
    from aiohttp import ClientHttpProxyError, ClientProxyConnectionError

    match error:
        case ClientHttpProxyError():
            return proxy_refuses(shown(str(error.request_info.real_url)), error.status)
        case ClientProxyConnectionError():
            return proxy_unreachable(error.os_error, shown(f"http://{error.host}:{error.port}"))
        case _:
            return ""


_SMALL_BODIES: Final = (
    f"; a proxy before it takes only smaller bodies, and has to let {limits.PART_BYTES // MIB} MiB pass (nginx: "
    "client_max_body_size 64m)"
)


@asynccontextmanager
async def _network(what: str) -> AsyncIterator[None]:
    """Turns failures of the network into errors that allow a retry."""
    from aiohttp import ClientConnectorDNSError, ClientError, InvalidURL

    try:
        yield
    except InvalidURL as error:
        raise BadRequest(f"'{_public(str(error))}' is not an http address") from error
    except ClientConnectorDNSError as error:
        if error.os_error.errno in _NO_SUCH_NAME:
            raise UnknownHost(f"there is no host named '{error.host}'") from error
        why = error.os_error.strerror or "the resolver does not answer"
        raise ConnectionFailed(f"the name '{error.host}' can't be looked up now ({why})") from error
    except (ClientError, TimeoutError, ConnectionError) as error:
        if isinstance(error.__cause__, AsmanError):
            raise error.__cause__ from None
        why = proxy_fault(error) or _public(str(error)) or "nothing arrived for too long"
        raise ConnectionFailed(f"{what} ({why})") from error


async def check(response: ClientResponse, *, fresh: bool) -> None:
    """Raises the error for a status, unless it is a success.

    Args:
        response: The response.
        fresh: Whether a fresh address is available if this one is refused.

    Raises:
        AsmanError: The status is not a success; ``retry`` tells whether another try can help.
    """
    status = response.status
    if status < 300:
        return
    text = (await response.content.read(_SAID_BYTES)).decode(errors="replace").strip()
    port = "" if response.url.explicit_port is None else f":{response.url.explicit_port}"
    sentence = f"{response.url.host}{port}{response.url.path} answered with HTTP status {status}{_said(text)}"
    if status == 407:
        raise AsmanError(f"the proxy before {response.url.host} wants a name and a password: HTTP status 407")
    if status == 413:
        # A hub says its own limit; what says nothing, or a page of HTML, is a proxy.
        raise TooLarge(sentence if _of_hub(text) is not None else sentence + _SMALL_BODIES)
    if status == 422 or (status == 400 and _OTHER_BYTES.search(text) is not None):
        raise Unauthentic(sentence)
    if status in _STALE and fresh:
        raise Stale(sentence)
    if status in _AGAIN or (status >= 500 and status != 507):
        raise Unavailable(sentence)
    raise NotFound(sentence) if status == 404 else AsmanError(sentence)


def _said(text: str) -> str:
    """Returns an answer's text in brackets: the hub's own sentence, or the beginning of a plain text."""
    text = " ".join((_of_hub(text) or text).split())
    if not text or text.startswith("<"):
        return ""
    return f" ({text[:300]})"


def _of_hub(text: str) -> str | None:
    """Returns the sentence of a hub's error; None if it is none."""
    try:
        said: Any = json.loads(text)
    except ValueError:
        return None
    return said["error"] if isinstance(said, dict) and isinstance(said.get("error"), str) else None
