"""Decides which hosts a worker may fetch from for a job: never those that only the worker can reach.

A stranger's job must not read the worker's own network or the cloud's metadata service through the worker, so an
address counts only when everything its name stands for is of the open internet, or when the operator names the host.
Names are looked up once, and what was judged is what is connected to.
"""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Collection, Sequence
from fnmatch import fnmatchcase
from ipaddress import ip_address
from typing import Final

from aiohttp.abc import ResolveResult
from aiohttp.resolver import ThreadedResolver
from yarl import URL

from asman_shared.errors import ExecutionError
from asman_shared.public_addresses import closed

NEVER: Final = frozenset({"link-local", "multicast", "unspecified", "cloud metadata"})
"""Kinds of addresses at which no hub and no storage is: what a cloud tells its machines is at some of them."""


class AddressGuard:
    """Judges addresses before they are connected to; see `asman_shared.transfer.Http` for where it is asked.

    Args:
        allowed: Hosts (patterns) that may be fetched from although they are private, and by plain http.
        secure: Whether nothing else may be fetched by plain http.
        refused: The kinds of closed addresses (`asman_shared.public_addresses.closed`) that are refused; None for all.
    """

    def __init__(
        self, allowed: Sequence[str] = (), *, secure: bool = False, refused: Collection[str] | None = None
    ) -> None:
        self._allowed = tuple(pattern.lower() for pattern in allowed)
        self._secure = secure
        self._refused = refused
        self._trusted: set[tuple[str | None, int | None]] = set()

    def trust(self, url: str) -> None:
        """From now on, the host and port of this address may be fetched from, wherever they are."""
        with contextlib.suppress(ValueError):
            parts = URL(url)
            self._trusted.add((parts.host, parts.port))

    def check(self, url: URL) -> None:
        """Judges an address as far as that is possible without looking its host up.

        Raises:
            ExecutionError: It may not be fetched from.
        """
        host = url.host or ""
        if self._secure and url.scheme != "https" and not (url.scheme == "http" and self._allows(host)):
            raise ExecutionError(f"'{_shown(url)}' is not fetched: only https:// is")
        with contextlib.suppress(ValueError):
            ip_address(host.partition("%")[0])
            self._judge(host, url.port, host)

    def resolver(self) -> ThreadedResolver:
        """Looks names up, and refuses those that stand for anything that may not be fetched from."""
        return _Judging(self)

    async def locate(self, url: str) -> tuple[str, int, list[str]]:
        """Looks an address up, for a program that is told where to connect to.

        Returns:
            Host, port and the addresses to connect to: these and no others, as a second look may say otherwise.

        Raises:
            ExecutionError: It may not be fetched from, or its host is unknown.
        """
        parts = URL(url)
        self.check(parts)
        host, port = parts.host or "", parts.port or 443
        try:
            found = await self.resolver().resolve(host, port)
        except OSError as error:
            raise ExecutionError(f"the host '{host}' is not known: {error.strerror or error}") from error
        return host, port, list(dict.fromkeys(each["host"] for each in found))

    def _allows(self, host: str) -> bool:
        """Whether the operator named a host."""
        return any(fnmatchcase(host.lower(), pattern) for pattern in self._allowed)

    def _judge(self, host: str, port: int | None, address: str) -> None:
        """Judges what a host stands for."""
        if (host, port) in self._trusted or self._allows(host):
            return
        kind = closed(address)
        if kind is not None and (self._refused is None or kind in self._refused):
            raise ExecutionError(
                f"'{host}' is at a {kind} address, and is not fetched for jobs"
                + ("" if self._refused else " (the worker's operator can allow it: --allow-host)")
            )


class _Judging(ThreadedResolver):
    def __init__(self, guard: AddressGuard) -> None:
        super().__init__()
        self._guard = guard

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        found = await super().resolve(host, port, family)
        for each in found:
            self._guard._judge(host, port, each["host"])
        return found


def _shown(url: URL) -> str:
    """An address without what may be secret in it."""
    return f"{url.scheme}://{url.host or ''}{url.path}"[:200]
