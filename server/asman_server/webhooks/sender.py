"""Makes one try to deliver a webhook."""

from __future__ import annotations

from types import TracebackType
from typing import Final
from urllib.parse import urljoin, urlsplit

import aiohttp

from .. import __version__
from ..clock import Clock
from ..storage.commit import WebhookRow
from .guard import ClosedAddress, ThreadResolver, guarded_connector
from .signing import signature, webhook_key

TIMEOUT: Final = 10.0
"""Time limit of one try with its redirects, in seconds."""
REDIRECTS: Final = 3
"""Largest number of redirects that one try follows."""

_FOLLOWED: Final = frozenset({301, 302, 307, 308})
_GONE: Final = 410


class NotDelivered(Exception):
    """A try failed.

    Args:
        message: The reason, without the URL, which may hold a secret.
        final: Whether another try would be useless.
    """

    def __init__(self, message: str, *, final: bool = False) -> None:
        super().__init__(message)
        self.message = message
        self.final = final


class Sender:
    """Delivers webhooks. Use as an async context manager.

    Args:
        secret: The hub's secret, from which the keys of queues are made.
        clock: Tells the time.
        allow_private: Whether addresses outside the public internet may be called.
        timeout: Time limit of one try, in seconds.
    """

    def __init__(self, secret: bytes, clock: Clock, *, allow_private: bool = False, timeout: float = TIMEOUT) -> None:
        self._secret = secret
        self._clock = clock
        self._allow_private = allow_private
        self._timeout = aiohttp.ClientTimeout(total=timeout)
        self._resolver: ThreadResolver
        self._session: aiohttp.ClientSession

    async def __aenter__(self) -> Sender:
        self._resolver = ThreadResolver()
        self._session = aiohttp.ClientSession(
            connector=guarded_connector(self._resolver, allow_private=self._allow_private),
            cookie_jar=aiohttp.DummyCookieJar(),
            timeout=self._timeout,
            auto_decompress=False,
            trust_env=False,
            headers={"User-Agent": f"asman/{__version__}"},
        )
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._session.close()
        await self._resolver.close()

    async def __call__(self, row: WebhookRow) -> None:
        """Tries once, without a time limit of its own.

        Raises:
            NotDelivered: The receiver can't be reached or did not answer 2xx.
        """
        url = row.url
        for _ in range(REDIRECTS + 1):
            try:
                status, location = await self._post(url, row)
            except ClosedAddress as error:
                raise NotDelivered(error.message, final=True) from None
            except aiohttp.InvalidURL:
                raise NotDelivered("its URL can't be read", final=True) from None
            except TimeoutError:
                raise NotDelivered("it did not answer in time") from None
            except (aiohttp.ClientError, OSError, ValueError) as error:
                raise NotDelivered(f"it can't be reached ({type(error).__name__})") from None
            if 200 <= status < 300:
                return
            if status not in _FOLLOWED or location is None:
                raise NotDelivered(f"it answered {status}", final=status == _GONE)
            url = _redirected(url, location)
        raise NotDelivered(f"it redirected more than {REDIRECTS} times")

    async def _post(self, url: str, row: WebhookRow) -> tuple[int, str | None]:
        """Makes one request. The body of the answer is not read, and the connection is closed."""
        timestamp = self._clock() // 1000
        headers = {
            "Content-Type": "application/json",
            "Asman-Event": row.event,
            "Asman-Delivery": row.id,
            "Asman-Signature": signature(webhook_key(self._secret, row.queue), timestamp, row.body),
        }
        async with self._session.post(url, data=row.body, headers=headers, allow_redirects=False) as response:
            return response.status, response.headers.get("Location")


def _redirected(url: str, location: str) -> str:
    """The target of a redirect.

    Raises:
        NotDelivered: Webhooks do not go to the target.
    """
    try:
        target = urljoin(url, location)
        scheme = urlsplit(target).scheme
    except ValueError:
        raise NotDelivered("it redirected to an invalid URL", final=True) from None
    if scheme not in ("http", "https"):
        raise NotDelivered("it redirected to something other than http(s)", final=True)
    if scheme == "http" and urlsplit(url).scheme == "https":
        raise NotDelivered("it redirected from https to http", final=True)
    return target
