"""Restores a backup into a data folder, or checks that it can be restored."""

from __future__ import annotations

import asyncio
import ctypes
import errno
import os
import shutil
from collections.abc import AsyncIterator, Awaitable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Final

from asman_shared.disk.private_folder import IGNORED
from asman_shared.errors import BadRequest, Conflict, NotFound, Unauthentic
from asman_shared.units import format_size, parse_size

from ..blobs.receiving import sync_folder
from ..config import HubConfig
from ..disk_room import need_room
from ..migrations.schema import known, too_new
from ..sole_hub import sole_hub
from ..storage.database import make_engine
from .copying import copy_blob, need_own, several
from .manifest import DATABASE, SECRET, Manifest, Place, at_blob
from .objects import INCOMING, FolderObjects, Objects, Tell, drained, verified
from .rows import BLOBS, blob_pages
from .snapshot import check_file, close_file
from .stores import SECRET_NAME, SQLITE_NAME, blob_objects, objects_at

FAULTS: Final = 20
"""Largest number of faults of a backup that are listed."""
_LOCKS: Final = frozenset({"lock", f"{SQLITE_NAME}.lock", "backup.lock"})
"""Files in a data folder that hold no data."""
MARKER: Final = "restoring"
"""File in a folder that a restore is writing; it goes before the folder becomes the data folder."""
_EXCHANGE: Final = 2
"""``RENAME_EXCHANGE`` of Linux' ``renameat2``."""
_HERE: Final = -100
"""``AT_FDCWD``."""


class Restored:
    """A backup that was restored, or only checked.

    Attributes:
        manifest: The backup.
        replaced: The folder with the data that was there before; None if there was none.
    """

    def __init__(self, manifest: Manifest, replaced: Path | None = None) -> None:
        self.manifest = manifest
        self.replaced = replaced


async def restore(
    config: HubConfig, where: str, tell: Tell, *, name: str = "", replace: bool = False, check: bool = False
) -> Restored:
    """Restores a backup into a data folder, which gets all of it or nothing.

    Everything is written beside the data folder and verified first; then one rename puts it in its place.

    Args:
        config: The settings of the hub to be: its data folder and its blobs.
        where: The place of the backups, a folder or ``s3://bucket/prefix``.
        tell: Tells about the progress.
        name: The backup; empty for the newest.
        replace: Whether data that is there may be replaced; it stays beside the folder.
        check: Whether to verify the backup alone, and to write nothing.

    Raises:
        BadRequest: There is no such backup, or the settings name another database.
        Conflict: The data folder holds something, or can't be renamed.
        Misconfigured: A newer Asman made the backup.
        NotFound: There is no whole backup, or a part of it is missing.
        Unauthentic: The backup is damaged.
        QuotaExceeded: There is no room.
        Unavailable: A hub uses the data folder, or something can't be used now.
    """
    place = Place(objects_at(config, where))
    async with place.objects.open():
        manifest = await place.chosen(name)
        if manifest.schema not in known():
            raise too_new(manifest.schema, f"the backup {manifest.id}")
        tell(f"backup {manifest.id}: {manifest.blobs} blobs ({format_size(manifest.blob_bytes)})")
        if check:
            await _check(place, manifest)
            return Restored(manifest)
        return Restored(manifest, await _restore(config, place, manifest, tell, replace))


async def _restore(config: HubConfig, place: Place, manifest: Manifest, tell: Tell, replace: bool) -> Path | None:
    if config.database_url:
        raise BadRequest(
            "a backup is restored as SQLite in the data folder: leave out --database-url (and ASMAN_DATABASE_URL); "
            "'asman move' takes it to another database afterwards"
        )
    folder = config.data_dir.resolve()
    if folder.is_mount():
        raise Conflict(f"{folder} is a mount point, which can't be replaced as a whole: name a folder in it")
    if await asyncio.to_thread(_holds_data, folder) and not replace:
        raise Conflict(
            f"the data folder {folder} holds data already: name another with --data-dir, or replace it with --replace, "
            "which keeps the old data beside it"
        )
    target = blob_objects(config)
    async with AsyncExitStack() as stack:
        if folder.exists():
            await stack.enter_async_context(sole_hub(folder, f"sqlite:///{folder / SQLITE_NAME}"))
        staging = await stack.enter_async_context(_staging(folder))
        if isinstance(target, FolderObjects):
            target = FolderObjects(staging / "blobs")
            need_room(staging, manifest.database.size + manifest.blob_bytes, parse_size(config.disk_reserve))
        else:
            tell("checking the backup")
            await _check(place, manifest)
        await stack.enter_async_context(target.open())
        tell(f"writing it beside {folder}")
        await _fill(staging, place, manifest, target, replace=replace)
        return await asyncio.to_thread(_put, staging, folder, manifest.id)


async def _fill(staging: Path, place: Place, manifest: Manifest, target: Objects, *, replace: bool) -> None:
    """Writes a backup into the folder that becomes the data folder."""
    here = FolderObjects(staging)
    await here.write(SQLITE_NAME, place.part(manifest, DATABASE, manifest.database))
    await here.write(SECRET_NAME, place.part(manifest, SECRET, manifest.secret))
    database = staging / SQLITE_NAME
    await asyncio.to_thread(check_file, database)
    engine = make_engine(f"sqlite:///{database}")
    faults = _Faults()
    count = 0
    try:
        if not replace and not isinstance(target, FolderObjects):
            await need_own(target, engine)
        async for rows in blob_pages(engine):
            count += len(rows)
            await several(
                lambda row: faults.of(copy_blob(row, place.objects, at_blob(row.sha256), target, row.place)), rows
            )
    finally:
        await engine.dispose()
    faults.end(manifest)
    if count != manifest.blobs:
        raise Unauthentic(f"the backup {manifest.id} is damaged: it has {count} blobs instead of {manifest.blobs}")
    await asyncio.to_thread(close_file, database)


async def _check(place: Place, manifest: Manifest) -> None:
    """Reads all of a backup and keeps nothing.

    Raises:
        Unauthentic: A part of it is missing or damaged.
    """
    faults = _Faults()
    await faults.of(drained(place.part(manifest, DATABASE, manifest.database)))
    await faults.of(drained(place.part(manifest, SECRET, manifest.secret)))
    count = 0

    async def check(sha256: str) -> None:
        what = f"the blob {sha256} in {place}"
        await faults.of(drained(verified(place.objects.read(at_blob(sha256)), sha256, None, what)))

    page: list[str] = []
    async for sha256 in place.blobs(manifest):
        count += 1
        page.append(sha256)
        if len(page) == BLOBS:
            await several(check, page)
            page.clear()
    await several(check, page)
    faults.end(manifest)
    if count != manifest.blobs:
        raise Unauthentic(f"the backup {manifest.id} is damaged: it lists {count} blobs instead of {manifest.blobs}")


class _Faults:
    """The faults of a backup, gathered so that all of them are told at once."""

    def __init__(self) -> None:
        self._found: list[str] = []
        self._count = 0

    async def of(self, work: Awaitable[None]) -> None:
        """Does something, and notes that it found a part of the backup missing or damaged."""
        try:
            await work
        except (NotFound, Unauthentic) as error:
            self._count += 1
            if len(self._found) < FAULTS:
                self._found.append(error.message)

    def end(self, manifest: Manifest) -> None:
        """Raises the faults.

        Raises:
            Unauthentic: There are some.
        """
        if not self._count:
            return
        more = f"; and {self._count - len(self._found)} more" if self._count > len(self._found) else ""
        raise Unauthentic(
            f"the backup {manifest.id} is damaged, and nothing was restored: {'; '.join(self._found)}{more}. Remove "
            "damaged blobs from it, and the next backup stores them again; or restore an earlier one with --backup"
        )


# ------------------------------------------------------------------------------------------------------ the folders


def _holds_data(folder: Path) -> bool:
    """Returns whether a data folder has anything but locks."""
    if not os.path.lexists(folder):
        return False
    if not folder.is_dir():
        raise Conflict(f"{folder} is not a folder: name another with --data-dir")
    return bool({each.name for each in folder.iterdir()} - IGNORED - _LOCKS)


@asynccontextmanager
async def _staging(folder: Path) -> AsyncIterator[Path]:
    """Makes the folder that becomes the data folder, empty and locked; it is removed unless it was renamed.

    A marker in it tells what a killed restore left, which is removed, from data, which is not.

    Raises:
        Conflict: It holds data.
        Unavailable: Another restore goes on in it, or the disk can't be used.
    """
    staging = folder.with_name(f".{folder.name}.restoring")
    marker = staging / MARKER
    async with sole_hub(staging, f"sqlite:///{staging / SQLITE_NAME}"):
        if _holds_data(staging) and not marker.exists():
            raise Conflict(
                f"{staging} holds the data that a restore, which was killed in its last step, has replaced or was to "
                "put in place: look at it, and move it away"
            )
        marker.touch()
        await asyncio.to_thread(_empty, staging)
        try:
            yield staging
        finally:
            if marker.exists():
                await asyncio.to_thread(shutil.rmtree, staging, ignore_errors=True)


def _empty(folder: Path) -> None:
    for path in folder.iterdir():
        if path.name in _LOCKS or path.name == MARKER:
            continue
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink()


def _put(staging: Path, folder: Path, name: str) -> Path | None:
    """Makes a folder the data folder; returns the folder with the data that was there, if there was any.

    Raises:
        Conflict: Somebody has made the data folder meanwhile.
    """
    replaced = folder.with_name(f"{folder.name}.replaced-{name}")
    had_data = _holds_data(folder)
    if had_data and replaced.exists():
        raise Conflict(f"{replaced} is there already: move it away")
    shutil.rmtree(staging / INCOMING, ignore_errors=True)
    (staging / MARKER).unlink()
    sync_folder(staging)
    try:
        if not folder.exists():
            staging.rename(folder)
            return None
        _exchange(staging, folder)
        if had_data:
            staging.rename(replaced)
            return replaced
        shutil.rmtree(staging)
        return None
    except OSError as error:
        raise Conflict(f"{staging} can't be renamed to {folder}: {error.strerror}; move one of them away") from error
    finally:
        sync_folder(folder.parent)


def _exchange(one: Path, other: Path) -> None:
    """Exchanges two folders; in one step where the file system can, so that a kill leaves both whole at their names."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.renameat2(_HERE, os.fsencode(one), _HERE, os.fsencode(other), _EXCHANGE) == 0:
        return
    reason = ctypes.get_errno()
    if reason not in (errno.EINVAL, errno.ENOSYS, errno.EXDEV):
        raise OSError(reason, os.strerror(reason))
    aside = one.with_name(f"{one.name}.aside")
    other.rename(aside)
    one.rename(other)
    aside.rename(one)
