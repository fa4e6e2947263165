"""Fetches images from registries (OCI distribution specification), through the worker's guard of addresses.

Manifests are checked against their digests, parts of images are resumed where they broke off, and a login is sent to
the registry itself and to the service that hands out its tokens, and to no host that these redirect to.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
import re
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final
from urllib.parse import urlencode

from asman_shared.errors import ConnectionFailed, ExecutionError
from asman_shared.transfer.address_guard import AddressGuard

from ..images.credentials import Credentials
from ..images.reference import DEFAULT_REGISTRY, ImageReference
from .image_store import write_partial
from .manifests import INDEXES, MANIFEST_BYTES, MANIFESTS, Blob, digest_of

if TYPE_CHECKING:
    from aiohttp import ClientResponse

_STALL_SECONDS: Final = 60.0
_CHUNK: Final = 1024 * 1024
_SAID_BYTES: Final = 2000
_TOKEN_BYTES: Final = 256 * 1024
_TRIES: Final = 3
_PAUSE_SECONDS: Final = 1.0
_PASSING: Final = (408, 425, 500, 502, 503, 504)
_CHALLENGE: Final = re.compile(r'([a-z_]+)="([^"]{0,2000})"', re.IGNORECASE)
_LOOPBACK: Final = re.compile(r"(?:localhost|127(?:\.\d{1,3}){3}|\[::1\])(?::\d+)?")


class Denied(Exception):
    """A registry refused a request; the message holds its words, which are for the worker's log."""


@dataclass(frozen=True, slots=True)
class Fetched:
    """A document of a registry.

    Attributes:
        data: Its bytes.
        digest: Their sha256, as ``sha256:…``.
    """

    data: bytes
    digest: str


class Registry:
    """The registry of one image, for one pull.

    Args:
        reference: The image.
        guard: Checks each address before it is connected to.
        credentials: Logins for registries.
    """

    def __init__(self, reference: ImageReference, guard: AddressGuard, credentials: Credentials) -> None:
        self._reference = reference
        self._http = guard.http()
        self._credentials = credentials
        host = f"registry-1.{DEFAULT_REGISTRY}" if reference.registry == DEFAULT_REGISTRY else reference.registry
        # Only a registry on this machine itself may lack TLS; the guard refuses it unless the operator allows it.
        scheme = "http" if _LOOPBACK.fullmatch(reference.registry) else "https"
        self._base = f"{scheme}://{host}/v2/{reference.repository}"
        self._secret: dict[str, str] = {}

    async def close(self) -> None:
        """Closes the connections."""
        await self._http.close()

    async def manifest(self, what: str) -> Fetched:
        """Fetches a manifest or index by tag or digest.

        Raises:
            Denied: The registry does not hand it out.
            AsmanError: The registry can't be reached, or must not be.
        """
        accept = {"Accept": ", ".join((*MANIFESTS, *INDEXES))}
        data = await self._patiently(f"manifests/{what}", accept, MANIFEST_BYTES)
        found = digest_of(data)
        if what.startswith("sha256:") and what != found:
            raise Denied("the manifest has other bytes than its digest says")
        return Fetched(data, found)

    async def small(self, blob: Blob, most: int) -> bytes:
        """Fetches a small part of an image into memory.

        Raises:
            Denied: The registry does not hand it out, or it has other bytes than its digest says.
            AsmanError: The registry can't be reached, or must not be.
        """
        if blob.size > most:
            raise Denied(f"the image's settings have {blob.size} bytes, more than {most}")
        data = await self._patiently(f"blobs/{blob.digest}", {}, most)
        if digest_of(data) != blob.digest:
            raise Denied("the image's settings have other bytes than their digest says")
        return data

    async def part(self, blob: Blob, target: Path, moved: Callable[[int], None]) -> None:
        """Fetches a part of an image to a file, and goes on where an earlier try broke off.

        Args:
            blob: The part.
            target: The file; what is in it is the beginning of the part.
            moved: Called with the number of bytes that came; a negative number takes back what must come again.

        Raises:
            Denied: The registry does not hand it out.
            AsmanError: The registry can't be reached, or must not be.
            OSError: The file can't be written.
        """
        have = await asyncio.to_thread(_size, target)
        if have > blob.size:
            await asyncio.to_thread(target.unlink)
            have = 0
        moved(have)
        tries = _TRIES
        while have < blob.size:
            before = have
            try:
                have = await self._continue(blob, target, have, moved)
            except (ConnectionFailed, Denied) as error:
                have = await asyncio.to_thread(_size, target)
                # Only tries without any progress count.
                tries = _TRIES if have > before else tries - 1
                if not tries or (isinstance(error, Denied) and not _passing(error)):
                    raise
                await asyncio.sleep(_PAUSE_SECONDS)
        if not blob.size:
            await asyncio.to_thread(write_partial, target, b"")

    async def _continue(self, blob: Blob, target: Path, have: int, moved: Callable[[int], None]) -> int:
        headers = {"Range": f"bytes={have}-"} if have else {}
        async with self._answer(f"blobs/{blob.digest}", headers) as response:
            if have and response.status != 206:
                await asyncio.to_thread(target.unlink)
                moved(-have)
                have = 0
            async for data in response.content.iter_chunked(_CHUNK):
                have += len(data)
                if have > blob.size:
                    raise Denied("a part of the image has more bytes than its manifest says")
                await asyncio.to_thread(write_partial, target, data)
                moved(len(data))
        if have < blob.size:
            raise ConnectionFailed("the registry ended a part of the image too early")
        return have

    async def _patiently(self, path: str, headers: Mapping[str, str], most: int) -> bytes:
        """Fetches a document, with further tries after failures that pass."""
        for tries_left in reversed(range(_TRIES)):
            try:
                async with self._answer(path, headers) as response:
                    data = await _read(response, most)
                    if data is None:
                        raise Denied(f"the document has more than {most} bytes")
                    return data
            except (ConnectionFailed, Denied) as error:
                if not tries_left or (isinstance(error, Denied) and not _passing(error)):
                    raise
            await asyncio.sleep(_PAUSE_SECONDS)
        raise AssertionError("the last try returns or raises")

    @contextlib.asynccontextmanager
    async def _answer(self, path: str, headers: Mapping[str, str]) -> AsyncIterator[ClientResponse]:
        """Yields a successful answer; signs in if the registry asks for that.

        Raises:
            Denied: The registry refuses.
        """
        for last in (False, True):
            async with self._http.get(f"{self._base}/{path}", headers, _STALL_SECONDS, secret=self._secret) as response:
                if response.status < 300:
                    yield response
                    return
                challenges = response.headers.getall("WWW-Authenticate", [])
                said = (await response.content.read(_SAID_BYTES)).decode("utf-8", "replace")
                if response.status != 401 or last:
                    raise Denied(f"HTTP status {response.status} {said}")
            await self._sign_in(challenges)

    async def _sign_in(self, challenges: list[str]) -> None:
        """Gets what the registry asks for: a token for this image, or the login itself.

        Raises:
            Denied: There is no login, or the registry's service refuses it.
        """
        login = self._login()
        for challenge in challenges:
            scheme, _, rest = challenge.partition(" ")
            if scheme.lower() == "bearer":
                self._secret = {"Authorization": f"Bearer {await self._token(dict(_CHALLENGE.findall(rest)), login)}"}
                return
            if scheme.lower() == "basic" and login:
                self._secret = {"Authorization": login}
                return
        raise Denied("unauthorized: the registry wants a login")

    def _login(self) -> str:
        """Returns the header with the login for the registry; empty without one."""
        auth = self._credentials.of(self._reference.registry)
        if auth is None:
            return ""
        if "identitytoken" in auth:
            raise ExecutionError(
                "the worker's login for the image's registry is an identity token, which this executor can't use: its "
                "operator has to give a name and a password or an access token (--registry-auth)",
                fault="worker",
            )
        pair = f"{auth.get('username', '')}:{auth.get('password', '')}"
        return "Basic " + base64.b64encode(pair.encode()).decode()

    async def _token(self, challenge: Mapping[str, str], login: str) -> str:
        realm = challenge.get("realm", "")
        asked = {"scope": f"repository:{self._reference.repository}:pull"}
        if service := challenge.get("service"):
            asked["service"] = service
        url = f"{realm}{'&' if '?' in realm else '?'}{urlencode(asked)}"
        secret = {"Authorization": login} if login else {}
        async with self._http.get(url, {}, _STALL_SECONDS, secret=secret) as response:
            said = await _read(response, _TOKEN_BYTES) or b""
            if response.status >= 300:
                raise Denied(f"unauthorized: HTTP status {response.status} {said[:500].decode('utf-8', 'replace')}")
        try:
            found = json.loads(said)
            token = found.get("token") or found.get("access_token")
        except (ValueError, AttributeError):
            token = None
        if not isinstance(token, str) or not token.isascii() or not token.isprintable():
            raise Denied("unauthorized: the registry's service gave no token")
        return token


def _passing(error: Denied) -> bool:
    return any(str(error).startswith(f"HTTP status {status} ") for status in _PASSING)


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0


async def _read(response: ClientResponse, most: int) -> bytes | None:
    """Returns the body of an answer; None if it is larger."""
    data = bytearray()
    async for chunk in response.content.iter_chunked(_CHUNK):
        data += chunk
        if len(data) > most:
            return None
    return bytes(data)
