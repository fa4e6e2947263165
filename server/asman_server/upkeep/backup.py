"""Backs up a hub on SQLite while it runs."""

from __future__ import annotations

import asyncio
import fcntl
import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import AsyncExitStack, contextmanager
from pathlib import Path
from typing import BinaryIO, Final

import msgspec

from asman_shared.errors import BadRequest, Conflict, NotFound, Unauthentic, Unavailable
from asman_shared.units import format_size, parse_size
from asman_shared.version import __version__

from ..clock import Clock, wall_clock
from ..config import HubConfig
from ..disk_room import need_room
from ..migrations.schema import newest
from ..storage.blob_changes import BlobRow
from .copying import Present, copy_blob, several
from .manifest import (
    BACKUPS,
    DATABASE,
    FORMAT,
    LIST,
    MANIFEST,
    SECRET,
    Manifest,
    Part,
    Place,
    at_blob,
    hub_of,
    id_at,
    part_of,
)
from .objects import FolderObjects, Tell, in_memory, of_file
from .pruning import prune
from .rows import blob_pages
from .snapshot import Snapshot, snapshot
from .stores import SECRET_NAME, blob_objects, database_file, objects_at

SNAPSHOTS: Final = 20
"""Snapshots that are taken at most, because blobs were removed while they were copied."""
LOST: Final = 1000
"""Largest number of blobs whose bytes may be missing; more of them mean that the settings name another store."""
WORK: Final = "backing-up"
"""Folder in the data folder for the copy of the database."""
LOCK: Final = "backup.lock"
KEEP: Final = 7
"""Default of the number of backups that stay in a place."""

POSTGRES: Final = (
    "the hub's database is Postgres, which has better tools of its own: copy the blobs, run pg_dump, copy the new "
    "blobs (docs/backup.md has the commands)"
)

Gone = set[tuple[str, str]]
"""(sha256, place) of blobs whose bytes were missing or damaged."""


class Backup:
    """A backup that is being made.

    A blob that the hub removes while it is copied is in the snapshot, and its bytes are gone. So another snapshot is
    taken, in which the blob's row is gone as well: the hub removes bytes after their row. A row that is still there has
    lost its bytes.

    Args:
        config: The hub's settings.
        where: The place, a folder or ``s3://bucket/prefix``.
        keep: Number of backups that stay in the place.
        tell: Tells about the progress.
        clock: Tells the time.
    """

    def __init__(self, config: HubConfig, where: str, keep: int, tell: Tell, clock: Clock = wall_clock) -> None:
        self._config = config
        self._tell = tell
        self._keep = keep
        self._clock = clock
        self._source = blob_objects(config)
        self._place = Place(objects_at(config, where))
        self._where = where
        self._work = config.data_dir.absolute() / WORK
        self._gone: Gone = set()
        self._present = Present(self._place.objects)
        self._count = 0
        self._bytes = 0
        self._copied = 0

    async def run(self) -> Manifest:
        """Makes the backup.

        Raises:
            BadRequest: The database is not SQLite, or the place is not one for backups.
            Conflict: The place holds something else, or the database has an older schema.
            Misconfigured: The database is damaged, or has a newer schema.
            NotFound: There is no hub's data.
            QuotaExceeded: There is no room.
            Unavailable: Another backup is being made, or something can't be used now.
        """
        file = database_file(self._config)
        if file is None:
            raise BadRequest(POSTGRES)
        try:
            secret = await asyncio.to_thread((self._config.data_dir / SECRET_NAME).read_bytes)
        except FileNotFoundError:
            raise NotFound(f"there is no hub's data in {self._config.data_dir}: it has no file {SECRET_NAME}") from None
        self._check_place()
        async with AsyncExitStack() as stack:
            stack.enter_context(_sole_backup(self._config.data_dir / LOCK))
            await stack.enter_async_context(self._source.open())
            await stack.enter_async_context(self._place.objects.open())
            await self._place.claim(hub_of(secret))
            await self._clear()
            stack.callback(shutil.rmtree, self._work, ignore_errors=True)
            self._work.mkdir()
            need_room(self._work, file.stat().st_size, parse_size(self._config.disk_reserve))
            return await self._make(file, secret)

    def _check_place(self) -> None:
        """Checks that a place is apart from the hub's own."""
        if self._where.startswith("s3://"):
            own, place = (f"{each.rstrip('/')}/" for each in (self._config.blobs or "-", self._where))
            if own.startswith(place) or place.startswith(own):
                raise BadRequest(
                    f"{self._where} and the hub's blobs ({self._config.blobs}) lie in each other: name another prefix"
                )
            return
        folder, data = Path(self._where).resolve(), self._config.data_dir.resolve()
        if data in (folder, *folder.parents):
            raise BadRequest(f"{folder} is in the hub's data folder, which a restore replaces: name one outside of it")

    async def _clear(self) -> None:
        """Removes what a killed backup was writing."""
        await asyncio.to_thread(shutil.rmtree, self._work, ignore_errors=True)
        if isinstance(self._place.objects, FolderObjects):
            await asyncio.to_thread(self._place.objects.clear)

    async def _make(self, file: Path, secret: bytes) -> Manifest:
        lost = await self._snapshots(file)
        self._tell("storing the database")
        name, created = await self._name()
        parts: dict[str, Part] = {}
        for of, path in ((DATABASE, self._work / DATABASE), (LIST, self._work / LIST)):
            parts[of] = await asyncio.to_thread(part_of, path)
            await self._place.objects.write(f"{BACKUPS}{name}/{of}", of_file(path))
        secret_file = self._work / SECRET
        secret_file.write_bytes(secret)
        await self._place.objects.write(f"{BACKUPS}{name}/{SECRET}", in_memory(secret))
        manifest = Manifest(
            format=FORMAT,
            id=name,
            created=created,
            asman=__version__,
            hub=hub_of(secret),
            schema=newest(),
            database=parts[DATABASE],
            secret=part_of(secret_file),
            names=parts[LIST],
            blobs=self._count,
            blob_bytes=self._bytes,
            lost=lost,
        )
        body = msgspec.json.format(msgspec.json.encode(manifest))
        await self._place.objects.write(f"{BACKUPS}{name}/{MANIFEST}", in_memory(body))
        if removed := await prune(self._place, self._keep):
            self._tell(f"removed {removed} old or unfinished backups")
        return manifest

    async def _name(self) -> tuple[str, int]:
        """Returns the name of the new backup, which sorts after all others, and its time in epoch milliseconds."""
        whole = [name for name, is_whole in (await self._place.ids()).items() if is_whole]
        last = (await self._place.manifest(whole[-1])).created if whole else 0
        created = max(self._clock(), last + 1)
        return id_at(created, secrets.token_hex(3)), created

    async def _snapshots(self, file: Path) -> int:
        """Takes snapshots until the blobs of one are in the place; returns the number of those that are lost."""
        for number in range(SNAPSHOTS):
            self._tell("copying the database" if not number else "copying the database again: blobs were removed")
            async with snapshot(file, self._work / DATABASE) as copy:
                known, self._gone = self._gone, set()
                await self._blobs(copy)
                if self._gone <= known:
                    lost = [BlobRow(sha256, 0, place, 0, 0) for sha256, place in sorted(self._gone)]
                    await copy.forget(lost)
                    return len(lost)
        raise Unavailable(f"the hub removes blobs faster than they are copied to {self._place}; try again later")

    async def _blobs(self, copy: Snapshot) -> None:
        """Copies the blobs that the place lacks, and writes the list of all."""
        self._tell("copying blobs")
        self._count = self._bytes = self._copied = 0
        self._present = Present(self._place.objects)
        with (self._work / LIST).open("wb") as names:
            async for rows in blob_pages(copy.engine):
                await self._page(rows, names)
        self._tell(f"{self._count} blobs ({format_size(self._bytes)}), of which {self._copied} were new")

    async def _page(self, rows: list[BlobRow], names: BinaryIO) -> None:
        missing: list[BlobRow] = []
        for row in rows:
            if await self._present.size(at_blob(row.sha256)) != row.size:
                missing.append(row)
        await several(self._copy, missing)
        for row in rows:
            if (row.sha256, row.place) not in self._gone:
                self._count += 1
                self._bytes += row.size
                names.write(bytes.fromhex(row.sha256))

    async def _copy(self, row: BlobRow) -> None:
        try:
            await copy_blob(row, self._source, row.place, self._place.objects, at_blob(row.sha256))
        except (NotFound, Unauthentic):
            self._gone.add((row.sha256, row.place))
            if len(self._gone) > LOST:
                raise Conflict(
                    f"more than {LOST} blobs of the hub are missing or damaged in {self._source.said}: are they there "
                    "(--blobs, --data-dir)?"
                ) from None
        else:
            self._copied += 1


@contextmanager
def _sole_backup(lock: Path) -> Iterator[None]:
    """Keeps other backups of the same hub away while the block runs.

    Raises:
        Unavailable: Another one is being made, or the file can't be written.
    """
    try:
        opened = os.open(lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    except OSError as error:
        raise Unavailable(f"{lock} can't be written: {error.strerror}; run it as the hub's user") from error
    try:
        try:
            fcntl.flock(opened, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise Unavailable("another backup of this hub is being made: wait until it has ended") from None
        yield
    finally:
        os.close(opened)
