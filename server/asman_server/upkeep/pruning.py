"""Removes old and unfinished backups from a place, and the blobs that none of the others names."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Final

from .manifest import BACKUPS, LIST, MANIFEST, Manifest, Place, at_blob
from .objects import drained

PREFIXES: Final = tuple(f"{first:02x}" for first in range(256))
"""First digits of blobs: what is named is gathered for one of them at a time."""


class _Names:
    """The names of a backup's blobs, read on by their first digits."""

    def __init__(self, names: AsyncIterator[str]) -> None:
        self._names = names
        self._next: str | None = ""

    async def of(self, prefix: str) -> set[str]:
        """Returns the names with these first digits; prefixes are asked for in their order."""
        found: set[str] = set()
        while self._next is not None and self._next[:2] <= prefix:
            if self._next[:2] == prefix:
                found.add(self._next)
            self._next = await anext(self._names, None)
        return found


async def prune(place: Place, keep: int) -> int:
    """Removes all but the newest whole backups; returns the number of those that were removed.

    The manifest of a backup goes first, so what a kill leaves of it is a backup that was not finished. Blobs go last.

    Args:
        place: The place; no backup is being made in it.
        keep: Number of backups that stay, at least 1.

    Raises:
        Unauthentic: A backup that stays is damaged; no blobs were removed.
        Unavailable: The place can't be used now.
    """
    every = await place.ids()
    whole = [name for name, is_whole in every.items() if is_whole]
    stay = whole[-keep:]
    gone = [name for name in every if name not in stay]
    for name in gone:
        await place.objects.remove(f"{BACKUPS}{name}/{MANIFEST}")
    for name in gone:
        async for page in place.objects.list(f"{BACKUPS}{name}/"):
            for each in page:
                await place.objects.remove(each.name)
    if gone:
        await _prune_blobs(place, [await place.manifest(name) for name in stay])
    return len(gone)


async def _prune_blobs(place: Place, stay: list[Manifest]) -> None:
    for manifest in stay:
        await drained(place.part(manifest, LIST, manifest.names))
    lists = [_Names(place.blobs(manifest)) for manifest in stay]
    for prefix in PREFIXES:
        named = set[str]().union(*[await names.of(prefix) for names in lists])
        start = at_blob(prefix)
        async for page in place.objects.list(f"{start.rpartition('/')[0]}/"):
            for each in page:
                if each.name.rpartition("/")[2] not in named:
                    await place.objects.remove(each.name)
