"""The layout of backups: one place holds several backups of one hub, which share their blobs.

``owner.json`` says whose they are. ``blobs/ab/<sha256>`` holds the bytes. ``backups/<id>/`` holds a database, the hub's
secret and the list of its blobs; ``manifest.json`` is written last, so a folder without one is a backup that was not
finished.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import msgspec
from msgspec import Struct

from asman_shared.errors import BadRequest, Conflict, NotFound, Unauthentic
from asman_shared.units import KIB

from .objects import Objects, in_memory, read_small, verified

FORMAT: Final = 1
"""Version of the layout."""
OWNER: Final = "owner.json"
BACKUPS: Final = "backups/"
BLOBS: Final = "blobs/"
MANIFEST: Final = "manifest.json"
DATABASE: Final = "hub.sqlite"
SECRET: Final = "secret"  # noqa: S105 - a name
LIST: Final = "blobs.list"
DIGEST: Final = 32
"""Size of an entry of the list of blobs, in bytes: a sha256."""
SMALL: Final = 64 * KIB
"""Largest size of a manifest or a secret, in bytes."""
MOST_BACKUPS: Final = 1000
"""Largest number of backups in one place."""


class Part(Struct, frozen=True):
    """A file of a backup: its sha256, and its size in bytes."""

    sha256: str
    size: int


class Manifest(Struct, frozen=True):
    """A whole backup.

    Attributes:
        format: The version of the layout.
        id: The name of the backup; later ones sort after earlier ones.
        created: Time when it was made, in epoch milliseconds.
        asman: The version of Asman that made it.
        hub: Tells the hub from others; see `hub_of`.
        schema: The version of the database's schema.
        database: The database.
        secret: The hub's secret.
        names: The list of its blobs: their sha256, sorted, 32 bytes each.
        blobs: The number of its blobs.
        blob_bytes: Their size, in bytes.
        lost: The number of blobs that the hub's catalogue named, and whose bytes were gone.
    """

    format: int
    id: str
    created: int
    asman: str
    hub: str
    schema: str
    database: Part
    secret: Part
    names: Part
    blobs: int
    blob_bytes: int
    lost: int


class Owner(Struct, frozen=True):
    """The hub whose backups are in a place."""

    format: int
    hub: str


def hub_of(secret: bytes) -> str:
    """Returns a text that tells a hub from others and gives nothing of its secret away."""
    return hmac.new(secret, b"asman backup v1", hashlib.sha256).hexdigest()[:16]


def id_at(created: int, token: str) -> str:
    """Returns the name of a backup that was made at a time (epoch milliseconds)."""
    at = datetime.fromtimestamp(created / 1000, UTC)
    return f"{at:%Y%m%dT%H%M%S}{created % 1000:03}Z-{token}"


def at_blob(sha256: str) -> str:
    """Returns the name of a blob's object."""
    return f"{BLOBS}{sha256[:2]}/{sha256}"


def part_of(file: Path) -> Part:
    """Returns the sha256 and the size of a file on this machine."""
    with file.open("rb") as opened:
        digest = hashlib.file_digest(opened, "sha256")
        return Part(digest.hexdigest(), opened.tell())


class Place:
    """A place with the backups of one hub.

    Args:
        objects: What it holds, which is open.
    """

    def __init__(self, objects: Objects) -> None:
        self.objects = objects

    def __str__(self) -> str:
        return self.objects.said

    async def owner(self) -> Owner | None:
        """Returns whose backups are here; None for an empty place.

        Raises:
            Conflict: The place holds something else, or a later layout.
            Unauthentic: The file that says it is damaged.
        """
        try:
            body = await read_small(self.objects, OWNER, SMALL)
        except NotFound:
            async for page in self.objects.list():
                if page:
                    raise Conflict(
                        f"{self} holds other things than backups ({page[0].name[:80]}): name an empty place"
                    ) from None
            return None
        try:
            owner = msgspec.json.decode(body, type=Owner)
        except msgspec.MsgspecError as error:
            raise Unauthentic(f"{OWNER} in {self} is damaged: {error}") from error
        if owner.format != FORMAT:
            raise Conflict(f"the backups in {self} are of a newer Asman (format {owner.format}): use that version")
        return owner

    async def claim(self, hub: str) -> None:
        """Makes the place one of a hub's backups.

        Raises:
            Conflict: It is another hub's, or holds something else.
        """
        owner = await self.owner()
        if owner is None:
            await self.objects.write(OWNER, in_memory(msgspec.json.encode(Owner(FORMAT, hub))))
        elif owner.hub != hub:
            raise Conflict(f"{self} holds the backups of another hub: name a place of this one's own")

    async def ids(self) -> dict[str, bool]:
        """The names of all backups, the oldest first, with whether each is whole.

        Raises:
            Conflict: There are more than `MOST_BACKUPS`.
        """
        found: dict[str, bool] = {}
        async for page in self.objects.list(BACKUPS):
            for each in page:
                name, _, file = each.name.removeprefix(BACKUPS).partition("/")
                found[name] = found.get(name, False) or file == MANIFEST
            if len(found) > MOST_BACKUPS:
                raise Conflict(f"{self} has more than {MOST_BACKUPS} backups: remove old ones")
        return dict(sorted(found.items()))

    async def manifest(self, name: str) -> Manifest:
        """Reads the manifest of a backup.

        Raises:
            NotFound: There is no whole backup of that name.
            Unauthentic: The manifest is damaged.
        """
        try:
            body = await read_small(self.objects, f"{BACKUPS}{name}/{MANIFEST}", SMALL)
        except NotFound:
            raise NotFound(f"the backup {name} in {self} is not whole: it was not finished") from None
        try:
            found = msgspec.json.decode(body, type=Manifest)
        except msgspec.MsgspecError as error:
            raise Unauthentic(f"the manifest of the backup {name} in {self} is damaged: {error}") from error
        if found.id != name or found.format != FORMAT:
            raise Unauthentic(f"the manifest of the backup {name} in {self} is damaged, or of a newer Asman")
        return found

    async def chosen(self, name: str) -> Manifest:
        """Reads the manifest of a backup; of the newest whole one if ``name`` is empty.

        Raises:
            BadRequest: The name is not one of a backup.
            NotFound: There is none.
            Conflict: The place holds something else.
            Unauthentic: The manifest is damaged.
        """
        if await self.owner() is None:
            raise NotFound(f"there is no backup in {self}")
        every = await self.ids()
        if name:
            if name not in every:
                raise BadRequest(f"there is no backup {name[:80]} in {self}; it has {_listed(list(every))}")
            return await self.manifest(name)
        whole = [each for each, is_whole in every.items() if is_whole]
        if not whole:
            half = f": {_listed(list(every))} was not finished" if every else ""
            raise NotFound(f"there is no whole backup in {self}{half}")
        return await self.manifest(whole[-1])

    def part(self, manifest: Manifest, name: str, part: Part) -> AsyncIterator[bytes]:
        """The verified bytes of a file of a backup; see `objects.verified`."""
        what = f"{name} of the backup {manifest.id}"
        return verified(self.objects.read(f"{BACKUPS}{manifest.id}/{name}"), part.sha256, part.size, what)

    async def blobs(self, manifest: Manifest) -> AsyncIterator[str]:
        """The sha256 of each blob of a backup, in order.

        Raises:
            NotFound: The list is missing.
            Unauthentic: The list is damaged, which is found at its end.
        """
        rest = b""
        async for piece in self.part(manifest, LIST, manifest.names):
            rest += piece
            whole = len(rest) - len(rest) % DIGEST
            for at in range(0, whole, DIGEST):
                yield rest[at : at + DIGEST].hex()
            rest = rest[whole:]


def _listed(names: list[str]) -> str:
    return ", ".join(names[-5:]) if names else "none"
