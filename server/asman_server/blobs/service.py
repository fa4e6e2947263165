"""The blob service of sessions and HTTP: finds stored blobs, and hands out tickets for sending and links for reading.

A blob is reported as stored only once it is verified and its row is durable. The report counts as a use, so the blob is
not collected before the client can name it in a job.
"""

from __future__ import annotations

import asyncio
import logging
from collections import OrderedDict
from collections.abc import AsyncIterator, Callable, Collection, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

from asman_shared.errors import AsmanError, BadRequest, NotFound, TooLarge, Unauthentic, Unavailable
from asman_shared.messages import BlobLink, BlobTicket
from asman_shared.units import format_size

from ..clock import Clock
from ..storage.blob_changes import (
    END_OF_TIME,
    BlobChange,
    BlobRow,
    EndUpload,
    LoseBlob,
    OpenUpload,
    StoreBlob,
    TouchUpload,
    UploadRow,
    UseBlob,
)
from .catalogue import Catalogue
from .folder import FolderStore
from .quota import UPLOADS, Quota
from .store import BLOB_BYTES, TICKET_SECONDS, BlobStore

log = logging.getLogger("asman.hub.blobs")

TOUCH_AFTER: Final = 3_600_000
"""Time after which another use of a blob or upload is noted, in milliseconds; less for a short retention."""
VERIFIED_AT_ONCE: Final = 8
"""Largest number of uploads that are verified at the same time."""
PATIENCE: Final = 0.5
"""Time that an answer waits for verification before it reports it as pending, in seconds."""
READER_PATIENCE: Final = 20.0
"""Time that a reader, who can't be told that it is pending, waits for verification, in seconds."""
ASKED_AT_ONCE: Final = 16
"""Largest number of concurrent questions to the store about uploads."""
REMEMBERED_REFUSALS: Final = 10_000
"""Largest number of refused uploads that are remembered until a client asks."""
STALLED_ATTEMPTS: Final = 50
"""Requests for an upload in parts without a new part after which it is restarted."""

Key = tuple[str, str]
"""(queue, sha256)."""


class BlobService:
    """Finds, receives and verifies blobs, while it is `open`.

    Args:
        store: Holds the bytes.
        clock: Tells the time.
        quota: The quota of stored bytes.
        retention: Time that an unused blob is kept, in milliseconds.
    """

    def __init__(self, store: BlobStore, clock: Clock, quota: Quota, retention: int) -> None:
        self.store = store
        self.quota = quota
        self._clock = clock
        self._touch_after = min(TOUCH_AFTER, retention // 4)
        self._places = asyncio.Semaphore(VERIFIED_AT_ONCE)
        self._asking = asyncio.Semaphore(ASKED_AT_ONCE)
        self._settling: dict[Key, asyncio.Task[None]] = {}
        self._refusals: OrderedDict[Key, str] = OrderedDict()
        self._failures: OrderedDict[Key, AsmanError] = OrderedDict()
        self._stalled: OrderedDict[str, tuple[int, int]] = OrderedDict()
        self.catalogue: Catalogue

    @asynccontextmanager
    async def open(self, catalogue: Catalogue) -> AsyncIterator[None]:
        """Opens the store; cancels running verifications at the end of the block."""
        self.catalogue = catalogue
        async with self.store.open():
            try:
                await self.count()
                for row in await self.catalogue.untouched(END_OF_TIME, UPLOADS):
                    self.quota.open(row.place, row.size)
                yield
            finally:
                tasks = list(self._settling.values())
                for task in tasks:
                    task.cancel()
                await asyncio.gather(*tasks, return_exceptions=True)

    async def count(self) -> None:
        """Counts the stored blobs again."""
        self.quota.blobs, self.quota.bytes = await self.catalogue.totals()

    async def adopt(self) -> None:
        """Adds the files of an older hub without a catalogue to an empty catalogue."""
        if not isinstance(self.store, FolderStore) or self.quota.blobs:
            return
        async for rows in self.store.older():
            await self.catalogue.write(*(StoreBlob(row) for row in rows))
        await self.count()
        if self.quota.blobs:
            log.info("files of an older hub added to the blob catalogue", extra={"blobs": self.quota.blobs})

    def stale(self, used: int) -> bool:
        """Returns whether the last noted use is so old that a new one must be noted."""
        return self._clock() - used >= self._touch_after

    def need_room(self, size: int) -> None:
        """Checks that the hub's disk has space, if the blobs are on it.

        Raises:
            QuotaExceeded: The disk has too little space.
        """
        if isinstance(self.store, FolderStore):
            self.store.need_room(size)

    def settling(self, upload: UploadRow) -> bool:
        """Returns whether an upload is being verified now."""
        return (upload.queue, upload.sha256) in self._settling

    # -------------------------------------------------------------------------------------------------- sending

    async def tickets(
        self, queue: str, wanted: Sequence[tuple[str, int]], take: Callable[[dict[str, int]], None] | None = None
    ) -> list[BlobTicket]:
        """A ticket for each (sha256, size): the blob is stored, or how to send its missing bytes; see `BlobTicket`.

        Args:
            queue: The queue that the blobs are for.
            wanted: The blobs.
            take: Called with the sizes of the missing blobs, by sha256; raises an error to refuse them.

        Raises:
            TooLarge: A size is above the limit.
            QuotaExceeded: There is no space for the missing blobs.
            Unavailable: The database or the store can't be used now.
        """
        sizes = dict(wanted)
        largest = max(sizes.values(), default=0)
        if largest > BLOB_BYTES:
            raise TooLarge(f"a blob may have at most {format_size(BLOB_BYTES)}; this one has {format_size(largest)}")
        tickets: dict[str, BlobTicket] = {}
        # Twice: an upload that was verified meanwhile is now stored, or must be sent again.
        for _ in range(2):
            asked = [key for key in sizes if key not in tickets or tickets[key].pending]
            if not asked:
                break
            tickets |= await self._tickets(queue, {key: sizes[key] for key in asked}, take)
            await self._settled([(queue, key) for key in asked])
        return [tickets[key] for key, _ in wanted]

    async def _tickets(
        self, queue: str, sizes: dict[str, int], take: Callable[[dict[str, int]], None] | None
    ) -> dict[str, BlobTicket]:
        stored = await self.used(sizes)
        tickets = {key: BlobTicket(sha256=key, exists=True) for key in stored}
        for key in stored:
            self._refusals.pop((queue, key), None)
        absent = {key: size for key, size in sizes.items() if key not in stored}
        recorded = {key: size for key, size in absent.items() if self.store.recorded(size)}
        direct = {key: size for key, size in absent.items() if key not in recorded}
        begun = {row.sha256: row.size for row in await self.catalogue.uploads([queue], recorded)} if recorded else {}
        fresh = sum(size for key, size in absent.items() if begun.get(key) != size)
        self.quota.need(fresh)  # once for all: uploads are not begun for a request that is then refused
        if fresh:
            self.need_room(fresh)
        if take is not None and absent:
            take(absent)  # last: a request that is refused for another reason costs nothing
        tickets |= {key: self.store.direct(key, size) for key, size in direct.items()}
        uploads = await self._uploads(queue, recorded)
        answers = await asyncio.gather(*(self._ticket(upload, fresh) for upload, fresh in uploads))
        tickets |= {ticket.sha256: ticket for ticket in answers}
        return {key: tickets.get(key) or BlobTicket(sha256=key, pending=True) for key in sizes}

    async def _ticket(self, upload: UploadRow, fresh: bool) -> BlobTicket:
        async with self._asking:
            key = (upload.queue, upload.sha256)
            if key in self._settling:
                return BlobTicket(sha256=upload.sha256, pending=True)
            if (failure := self._failures.pop(key, None)) is not None:
                raise failure
            try:
                ticket = await self.store.ticket(upload, fresh=fresh)
                if ticket is not None and self._is_fruitless(upload, ticket):
                    raise NotFound("no part of it is arriving")
            except NotFound:
                # Storages forget slow uploads, and some refuse every part of an upload that they began.
                await self.end([upload])
                begun = await self.begin(upload.queue, {upload.sha256: upload.size})
                if not begun:
                    return BlobTicket(sha256=upload.sha256, pending=True)
                ticket = await self.store.ticket(begun[0], fresh=True)
            if ticket is None:
                self._settle(upload)
                return BlobTicket(sha256=upload.sha256, pending=True)
            ticket.refused = self._refusals.pop(key, "")
            return ticket

    def _is_fruitless(self, upload: UploadRow, ticket: BlobTicket) -> bool:
        """Counts the requests for an upload since its last new part; true once there are too many."""
        if not upload.store_id:
            return False
        missing, asked = self._stalled.pop(upload.place, (0, 0))
        asked = asked + 1 if missing == ticket.missing else 1
        if asked > STALLED_ATTEMPTS:
            log.warning("no part of an upload is arriving; restarting it", extra={"blob": upload.sha256})
            return True
        self._stalled[upload.place] = ticket.missing, asked
        while len(self._stalled) > UPLOADS:
            self._stalled.popitem(last=False)
        return False

    async def _uploads(self, queue: str, sizes: dict[str, int]) -> list[tuple[UploadRow, bool]]:
        """The upload of each blob, begun if there is none, with whether it was begun just now."""
        known = {row.sha256: row for row in await self.catalogue.uploads([queue], sizes)}
        changed = [row for row in known.values() if row.size != sizes[row.sha256] and not self.settling(row)]
        await self.end(changed)
        for row in changed:
            del known[row.sha256]
        now = self._clock()
        stale = [row for row in known.values() if self.stale(row.touched)]
        if stale:
            await self.catalogue.write(*(TouchUpload(row.queue, row.sha256, now) for row in stale))
            still = await self.catalogue.uploads([queue], [row.sha256 for row in stale])
            known = {key: row for key, row in known.items() if row not in stale} | {row.sha256: row for row in still}
        missing = {key: size for key, size in sizes.items() if key not in known}
        begun = await self.begin(queue, missing)
        return [(row, False) for row in known.values()] + [(row, True) for row in begun]

    async def open_whole(self, sha256: str, size: int) -> UploadRow | None:
        """Begins an upload in one piece over plain HTTP; returns None if the blob is stored.

        Raises:
            QuotaExceeded: There is no space.
            Unavailable: The database or the store can't be used now.
        """
        if await self.look_up("", [sha256]):
            return None
        known = await self.catalogue.uploads([""], [sha256])
        await self.end([row for row in known if row.size != size and not self.settling(row)])
        begun = await self.begin("", {sha256: size}, whole=True)
        return begun[0] if begun else None

    async def begin(self, queue: str, sizes: dict[str, int], *, whole: bool = False) -> list[UploadRow]:
        """Begins uploads, or returns those that another request began at the same moment.

        Blobs that were stored at the same moment are left out; see `store_blob`.

        Raises:
            QuotaExceeded: There is no space.
            Overloaded: Too many uploads are in progress.
        """
        if not sizes:
            return []
        self.quota.need(sum(sizes.values()))
        self.quota.need_uploads(len(sizes))
        now = self._clock()
        rows: list[UploadRow] = []
        for key, size in sizes.items():
            place, store_id = await self.store.begin(key, size, whole=whole)
            rows.append(UploadRow(queue, key, size, place, store_id, now, now))
        await self.catalogue.write(*(OpenUpload(row) for row in rows))
        known = {row.sha256: row for row in await self.catalogue.uploads([queue], sizes)}
        for row in rows:
            if known.get(row.sha256) == row:
                self.quota.open(row.place, row.size)
            else:
                await self.store.abort(row)
        stored = await self.catalogue.stored(sizes)
        await self.end([known[key] for key in stored if key in known])
        return [known[key] for key in sizes if key in known and key not in stored]

    async def end(self, uploads: Collection[UploadRow]) -> None:
        """Ends uploads and removes their bytes."""
        if uploads:
            await self.catalogue.write(*(EndUpload(row.queue, row.sha256, row.place) for row in uploads))
            for row in uploads:
                self.quota.end(row.place)
                self._stalled.pop(row.place, None)
                await self.store.abort(row)

    # ------------------------------------------------------------------------------------------------ verifying

    def _settle(self, upload: UploadRow) -> None:
        key = (upload.queue, upload.sha256)
        if key not in self._settling:
            task = asyncio.get_running_loop().create_task(self._settle_one(upload))
            self._settling[key] = task
            task.add_done_callback(lambda _: self._settling.pop(key))

    async def _settle_one(self, upload: UploadRow) -> None:
        """Verifies an upload, and stores or refuses it. If that fails now, the next request tries again."""
        try:
            try:
                async with self._places:
                    place = await self.store.settle(upload)
            except Unauthentic as error:
                await self.end([upload])
                self._refuse((upload.queue, upload.sha256), error.message)
                return
            except NotFound:
                await self.end([upload])
                return
            ended = EndUpload(upload.queue, upload.sha256, upload.place)
            await self.store_blob(upload.sha256, upload.size, place, ended)
            self.quota.end(upload.place)
            self._stalled.pop(upload.place, None)
            if not upload.store_id:
                await self.store.abort(upload)
        except AsmanError as error:
            log.warning("an upload can't be verified now", extra={"blob": upload.sha256, "error": error.message})
            if not error.retry:
                # Whoever waits for the blob is told, instead of waiting for what does not help.
                self._failures[upload.queue, upload.sha256] = error
                while len(self._failures) > REMEMBERED_REFUSALS:
                    self._failures.popitem(last=False)
        except Exception:
            log.exception("verifying an upload failed", extra={"blob": upload.sha256})

    def _refuse(self, key: Key, sentence: str) -> None:
        self._refusals[key] = sentence
        while len(self._refusals) > REMEMBERED_REFUSALS:
            self._refusals.popitem(last=False)

    async def _settled(self, keys: Collection[Key], patience: float | None = None) -> None:
        """Waits up to `PATIENCE`, or another time in seconds, for running verifications of some uploads."""
        tasks = [self._settling[key] for key in keys if key in self._settling]
        if tasks:
            await asyncio.wait(tasks, timeout=PATIENCE if patience is None else patience)

    async def store_blob(self, sha256: str, size: int, place: str, *more: BlobChange) -> None:
        """Adds the bytes at a place to the catalogue. If the blob is stored already, the place is cleared."""
        now = self._clock()
        row = BlobRow(sha256, size, place, now, now)
        before = (await self.catalogue.stored([sha256])).get(sha256)
        await self.catalogue.write(StoreBlob(row), UseBlob(sha256, now), *more)
        known = (await self.catalogue.stored([sha256])).get(sha256)
        if known is not None and known.place != place:
            await self.store.remove(place)
        elif before is None:  # some storages complete an upload twice: it is counted once
            self.quota.stored(size)
        # Other uploads of the blob can stop. An upload that begins now finds it stored (`begin`).
        others = await self.catalogue.uploads(None, [sha256])
        await self.end([row for row in others if not self.settling(row)])

    async def receive(self, sha256: str, size: int, body: AsyncIterator[bytes]) -> None:
        """Receives a whole blob from a stream, verifies it and makes it durable.

        Raises:
            Unauthentic: The bytes have another sha256; nothing was kept.
            TooLarge: More bytes arrived than announced.
            QuotaExceeded: There is no space.
            Unavailable: The disk or the database can't be used now.
        """
        store = self.local
        with self.quota.receiving(size):
            async with store.received(sha256, size, body) as came:
                place = await store.keep(sha256, size, came.file)
            await self.store_blob(sha256, size, place)

    @property
    def local(self) -> FolderStore:
        """The store, if it is the hub's own folder.

        Raises:
            BadRequest: The store is elsewhere; the bytes do not pass this hub.
        """
        if not isinstance(self.store, FolderStore):
            raise BadRequest("this hub does not transfer bytes itself; ask it for tickets and links")
        return self.store

    # -------------------------------------------------------------------------------------------------- reading

    async def used(self, keys: Collection[str]) -> dict[str, BlobRow]:
        """Finds the stored ones of some blobs, and notes their use."""
        found = await self.catalogue.stored(keys)
        now = self._clock()
        stale = [key for key, row in found.items() if self.stale(row.used)]
        if stale:
            await self.catalogue.write(*(UseBlob(key, now) for key in stale))
            # A blob may have been collected before its use was noted.
            still = await self.catalogue.stored(stale)
            found = {key: row for key, row in found.items() if key not in stale} | still
        return found

    async def look_up(self, queue: str, keys: Collection[str]) -> dict[str, BlobRow]:
        """Finds the stored ones of some blobs; first completes finished uploads of the queue or over plain HTTP."""
        found = await self.used(keys)
        absent = [key for key in keys if key not in found]
        uploads = await self.catalogue.uploads(list({queue, ""}), absent) if absent else []
        if not uploads:
            return found
        await asyncio.gather(*(self._complete(upload) for upload in uploads))
        await self._settled([(upload.queue, upload.sha256) for upload in uploads])
        return found | await self.used([upload.sha256 for upload in uploads])

    async def arrived(self, queue: str, keys: Collection[str]) -> dict[str, BlobRow]:
        """Finds the stored ones of some blobs for a reader, and waits for those that are being verified.

        Raises:
            Unavailable: A verification takes too long: the blob is neither stored nor missing.
        """
        found = await self.look_up(queue, keys)
        verifying = self._verifying(queue, [key for key in keys if key not in found])
        if not verifying:
            return found
        await self._settled(verifying, READER_PATIENCE)
        found |= await self.used([sha256 for _, sha256 in verifying])
        for _, sha256 in self._verifying(queue, [key for key in keys if key not in found]):
            raise Unavailable(f"the blob {sha256[:12]}… has arrived and is being verified; ask again soon")
        return found

    def _verifying(self, queue: str, keys: Collection[str]) -> list[Key]:
        """The running verifications of some blobs, of the queue or over plain HTTP."""
        return [(of, key) for key in keys for of in dict.fromkeys((queue, "")) if (of, key) in self._settling]

    async def _complete(self, upload: UploadRow) -> None:
        async with self._asking:
            try:
                if not self.settling(upload) and await self.store.ticket(upload) is None:
                    self._settle(upload)
            except NotFound:
                log.debug("the storage no longer knows an upload")

    async def links(self, queue: str, keys: Sequence[str]) -> list[BlobLink]:
        """A link for reading each sha256, with an empty url for a missing blob.

        Raises:
            Unavailable: The database or the store can't be used now, or a verification takes too long.
        """
        found = await self.arrived(queue, dict.fromkeys(keys))
        expires = self._clock() + TICKET_SECONDS * 1000
        links: list[BlobLink] = []
        for key in keys:
            row = found.get(key)
            if row is None:
                links.append(BlobLink(sha256=key))
            else:
                url = await self.store.link(row)
                links.append(BlobLink(sha256=key, url=url, size=row.size, expires=expires))
        return links

    async def file(self, sha256: str) -> Path | None:
        """The file of a blob in the hub's own folder; None if the store is elsewhere.

        Raises:
            NotFound: The blob is not stored.
            Unavailable: The database can't be used now.
        """
        row = await self.row(sha256)
        if not isinstance(self.store, FolderStore):
            return None
        path = self.store.path(row.place)
        if not await asyncio.to_thread(path.is_file):
            log.error("a blob's file is gone from the folder", extra={"blob": sha256})
            await self.catalogue.write(LoseBlob(sha256, row.place))
            raise NotFound(f"the file of blob {sha256[:12]}… is gone from the hub's folder; send it again")
        return path

    async def row(self, sha256: str) -> BlobRow:
        """The catalogue's row of a stored blob. A blob that is being verified is waited for.

        Raises:
            NotFound: The blob is not stored.
            Unavailable: The database or the store can't be used now, or the verification takes too long.
        """
        found = (await self.arrived("", [sha256])).get(sha256)
        if found is None:
            raise NotFound(f"the blob {sha256[:12]}… is not stored here")
        return found

    async def missing(self, queue: str, keys: Sequence[str]) -> list[str]:
        """The missing ones of some blobs; those that are being verified have arrived."""
        found = await self.look_up(queue, keys)
        return [key for key in keys if key not in found and not self._verifying(queue, [key])]
