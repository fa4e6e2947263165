"""Decides which hosts may be fetched from on a stranger's word: never those that only this machine can reach.

A stranger's job must not read the worker's own network or the cloud's metadata service through the worker, and a
stranger's result not the network of whoever reads it. So an address is allowed only if its name resolves to public
addresses alone, or if the operator names the host. Names are resolved once, and the checked addresses are connected to.
"""

from __future__ import annotations

import contextlib
import re
import socket
from collections.abc import Collection, Sequence
from fnmatch import fnmatchcase
from ipaddress import ip_address
from typing import TYPE_CHECKING, Final

from aiohttp.abc import ResolveResult
from aiohttp.resolver import ThreadedResolver
from yarl import URL

from asman_shared.errors import ExecutionError
from asman_shared.public_addresses import STORAGE, closed

from .http import Http

if TYPE_CHECKING:
    from aiohttp import ClientResponse

NEVER: Final = frozenset({"link-local", "multicast", "unspecified", "cloud metadata"})
"""Kinds of addresses that no hub and no storage has; some of them serve a cloud's metadata."""
_OF_MACHINE: Final = re.compile(r"/*(metrics|healthz|readyz|(q/+)?local)(/|$)", re.IGNORECASE)
"""Paths of a hub that tell a program on the hub's machine more than others; a worker may be such a program."""


class AddressGuard:
    """Checks addresses before they are connected to; `Http` calls it.

    Args:
        allowed: Hosts (patterns) that may be fetched from although they are private, and by plain http.
        secure: Whether all other hosts need https, except those that are trusted.
        refused: The kinds of closed addresses (`asman_shared.public_addresses.closed`) that are refused; None for all.
        why: Ends the sentence about a refused address, where all are refused.
    """

    def __init__(
        self,
        allowed: Sequence[str] = (),
        *,
        secure: bool = False,
        refused: Collection[str] | None = None,
        why: str = "is not fetched for jobs (the worker's operator can allow it: --allow-host)",
    ) -> None:
        self._why = why if refused is None else "is not fetched for jobs"
        self._allowed = tuple(pattern.lower() for pattern in allowed)
        self._secure = secure
        self._refused = refused
        self._trusted: set[tuple[str | None, int | None]] = set()
        self._hubs: dict[tuple[str | None, int | None], str] = {}

    def with_hub(self, url: str) -> AddressGuard:
        """Returns a guard with the same rules that also allows a hub; see `trust_hub`."""
        made = AddressGuard(self._allowed, secure=self._secure, refused=self._refused)
        made._why, made._trusted, made._hubs = self._why, set(self._trusted), dict(self._hubs)
        if url:
            made.trust_hub(url)
        return made

    def trust(self, url: str) -> None:
        """Allows the host and port of this address from now on, at any address."""
        self._trusted |= _places(url)

    def trust_hub(self, url: str) -> None:
        """Allows a hub, and from now on the storage that this hub itself names in a redirect to one of its files."""
        with contextlib.suppress(ValueError):
            self._hubs.update(dict.fromkeys(_places(url), URL(url).path.rstrip("/")))
        self.trust(url)

    def redirected(self, response: ClientResponse, to: URL) -> None:
        """Notes the storage of a hub, if a redirect says that it leads there.

        A hub also redirects to addresses that strangers have named. Only to its own files does it add `STORAGE`.
        """
        url = response.url
        named = response.headers.get(STORAGE)
        if named is not None and (url.host, url.port) in self._hubs and (to.host, to.port) in _places(named):
            self.trust(named)

    def http(self) -> Http:
        """Returns a client that fetches what this guard allows."""
        return Http(guard=self.check, resolver=self.resolver, proxied=self.trusts, redirected=self.redirected)

    def trusts(self, url: URL) -> bool:
        """Whether `trust` allowed the host and port of an address."""
        return (url.host, url.port) in self._trusted

    def check(self, url: URL) -> None:
        """Checks an address as far as possible without resolving its host.

        Raises:
            ExecutionError: The worker must not fetch from the address.
        """
        host = url.host or ""
        base = self._hubs.get((url.host, url.port))
        if base is not None and _OF_MACHINE.match(url.path.removeprefix(base)):
            raise ExecutionError(f"'{_shown(url)}' is not fetched: this part of the hub is for its own machine")
        known = url.scheme == "http" and (self.trusts(url) or self._allows(host))
        if self._secure and url.scheme != "https" and not known:
            raise ExecutionError(
                f"'{_shown(url)}' is not fetched: only https:// is, and http:// from the job's own hub and hosts that "
                "--allow-host of the worker names"
            )
        with contextlib.suppress(ValueError):
            ip_address(host.partition("%")[0])
            self._judge(host, url.port, host)

    def resolver(self) -> ThreadedResolver:
        """Resolves names, and refuses those with an address that must not be fetched from."""
        return _Judging(self)

    async def locate(self, url: str) -> tuple[str, int, list[str]]:
        """Resolves an address, for a program that takes the addresses to connect to.

        Returns:
            Host, port and the addresses to connect to. Only these are checked: a second lookup may give others. The
            host is written as it is looked up, an international one as ``xn--…``.

        Raises:
            ExecutionError: The worker must not fetch from the address, or its host is unknown.
        """
        parts = URL(url)
        self.check(parts)
        host, port = parts.raw_host or "", parts.port or 443
        try:
            found = await self.resolver().resolve(host, port)
        except OSError as error:
            raise ExecutionError(f"the host '{host}' is not known: {error.strerror or error}") from error
        return host, port, list(dict.fromkeys(each["host"] for each in found))

    def _allows(self, host: str) -> bool:
        """Whether the operator allowed a host by name, written in either way."""
        forms = {host}
        with contextlib.suppress(ValueError):
            parts = URL.build(scheme="https", host=host)
            forms |= {parts.host or host, parts.raw_host or host}
        return any(fnmatchcase(form.lower(), pattern) for form in forms for pattern in self._allowed)

    def _judge(self, host: str, port: int | None, address: str) -> None:
        """Checks the addresses of a host."""
        if (host, port) in self._trusted or self._allows(host):
            return
        kind = closed(address)
        if kind is not None and (self._refused is None or kind in self._refused):
            raise ExecutionError(f"'{host}' is at a {kind} address, and {self._why}")


def _places(url: str) -> set[tuple[str | None, int | None]]:
    """Host and port of an address, the host in both of its forms; none of one that can't be read."""
    try:
        parts = URL(url)
        return {(parts.host, parts.port), (parts.raw_host, parts.port)}
    except ValueError:
        return set()


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
    """Returns an address without its possibly secret parts."""
    port = "" if url.explicit_port is None else f":{url.explicit_port}"
    return f"{url.scheme}://{url.host or ''}{port}{url.path}"[:200]
