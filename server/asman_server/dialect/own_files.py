"""Finds the hub's own files in refs of the dialect: a key, or an address of this hub."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Mapping
from typing import Final
from urllib.parse import unquote, urlsplit

from msgspec import Struct
from starlette.requests import Request

from asman_shared.errors import BadRequest, NotFound, Unavailable

from ..blobs.named_files import blob_named
from ..hub import Hub

FILES: Final = "/f/"
_PORTS: Final = {"http": 80, "https": 443}

Ref = tuple[str, str]
"""Type and value of a ``key`` or ``url`` ref."""


class Stored(Struct, frozen=True):
    """A file of the hub.

    Attributes:
        sha256: Of its bytes.
        size: In bytes; None if the hub does not have it.
    """

    sha256: str
    size: int | None


Find = Callable[[Collection[Ref]], Awaitable[Mapping[Ref, Stored]]]
"""Returns the refs that name files of this hub, with their files."""


class OwnFiles:
    """Finds files of a hub.

    Args:
        hub: The hub.
        host: Name and port under which the sender of the refs reached the hub; there may be several for one hub.
    """

    def __init__(self, hub: Hub, host: str) -> None:
        self._hub = hub
        public = urlsplit(hub.config.public_url)
        self._prefix = public.path.rstrip("/")
        self._places = {place for place in (_place("", host), _place(public.scheme, public.netloc)) if place}

    async def find(self, refs: Collection[Ref]) -> dict[Ref, Stored]:
        """Returns the refs that name files of this hub. A key always does, and has the size None if it is not stored.

        Raises:
            Unavailable: The database or the store can't be used now, or is still verifying one of the files.
        """
        named: dict[Ref, str] = {}
        for ref in refs:
            kind, value = ref
            name = value if kind == "key" else self._name(value)
            if name and (sha256 := blob_named(name) or await self._given(name)):
                named[ref] = sha256
        blobs = self._hub.blobs
        rows = await blobs.look_up("", set(named.values())) if named else {}
        absent = set(named.values()) - set(rows)
        if absent and any(blobs.settling(each) for each in await blobs.catalogue.uploads([""], absent)):
            raise Unavailable("files of the result are still being verified")
        return {
            ref: Stored(sha256, rows[sha256].size if sha256 in rows else None)
            for ref, sha256 in named.items()
            if ref[0] == "key" or sha256 in rows
        }

    async def _given(self, name: str) -> str:
        """The sha256 of a file with a plain name; empty if there is none."""
        try:
            return await self._hub.files.sha256(name)
        except (NotFound, BadRequest):
            return ""

    def _name(self, url: str) -> str:
        """The name of a file of this hub in an address; empty for any other address."""
        try:
            parts = urlsplit(url)
            relative = url.startswith("/") and not url.startswith("//")
            here = relative or _place(parts.scheme, parts.netloc) in self._places
        except ValueError:
            return ""
        path = parts.path.removeprefix(self._prefix)
        name = path.removeprefix(FILES)
        return unquote(name) if here and name != path and "/" not in name else ""


def _place(scheme: str, netloc: str) -> str:
    """Host and port without the port of the scheme; empty if there is none. A host without a scheme has either."""
    host, colon, port = netloc.rpartition(":")
    if not colon or "]" in port:
        return netloc.lower()
    ports = [_PORTS[scheme]] if scheme in _PORTS else list(_PORTS.values()) if not scheme else []
    return (host if port in map(str, ports) else netloc).lower()


def hub_address(request: Request) -> str:
    """The hub's address without a slash at the end: the one that its operator named, or else that of the request."""
    hub: Hub = request.app.state.hub
    if hub.config.public_url:
        return hub.config.public_url.rstrip("/")
    return f"{request.url.scheme}://{request.url.netloc}"


async def nowhere(_refs: Collection[Ref]) -> dict[Ref, Stored]:
    """Finds nothing."""
    return {}


def ref_of(value: object) -> Ref | None:
    """Type and value of a sent ref that may name a file of the hub."""
    if not isinstance(value, dict) or value.get("type") not in ("key", "url"):
        return None
    return (value["type"], value["value"]) if isinstance(value.get("value"), str) else None
