"""Removes abandoned uploads, definitions without jobs, unused and unnamed blobs, and strays in the store.

With a definition its other ids go.

A row is removed first, by a change that checks again inside its transaction that nothing needs the blob. The bytes are
removed once the row is gone. A place in the store is used once only, so late removal of bytes can't hit a blob that was
sent again meanwhile.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Sequence
from typing import Final

from asman_shared.errors import AsmanError

from ..clock import Clock
from ..storage.blob_changes import BlobRow, DropAlias, DropBlob, DropDefinition, DropFile, EndUpload, UploadRow
from .service import BlobService

log = logging.getLogger("asman.hub.blobs")

ROUND_SECONDS: Final = 300.0
"""Pause between two rounds, in seconds."""
AT_ONCE: Final = 500
"""Largest number of rows that are read or removed in one step."""
UPLOAD_KEPT: Final = 24 * 3_600_000
"""Time that an upload is kept after the last request for it, in milliseconds."""
STRAY_SECONDS: Final = 24 * 3600.0
"""Age from which an object in the store that the catalogue does not know is a stray, in seconds."""
STRAYS_EVERY: Final = 6 * 3600.0
"""Pause between two searches for strays, in seconds."""


class Collector:
    """Removes blobs, files, uploads, definitions and their other ids that are not needed any more.

    Args:
        service: The blob service, which is open.
        clock: Tells the time.
        retention: Time that an unused blob is kept, in milliseconds.
    """

    def __init__(self, service: BlobService, clock: Clock, retention: int) -> None:
        self._service = service
        self._clock = clock
        self._retention = retention
        self._strays_at = float("-inf")

    async def run(self) -> None:
        """Collects in rounds, until it is cancelled."""
        while True:
            await asyncio.sleep(ROUND_SECONDS)
            try:
                await self.round()
            except AsmanError as error:
                log.warning("blob collection was interrupted; the next round continues", extra={"error": error.message})
            except Exception:
                log.exception("blob collection failed; the next round tries again")

    async def round(self) -> None:
        """Runs one round.

        Raises:
            Unavailable: The database or the store can't be used now.
        """
        await self._uploads()
        await self._definitions()
        await self._aliases()
        await self._files()
        await self._blobs()
        now = asyncio.get_running_loop().time()
        if now - self._strays_at >= STRAYS_EVERY:
            await self.strays(time.time() - STRAY_SECONDS)
            self._strays_at = now
        await self._service.count()

    async def _uploads(self) -> None:
        before = self._clock() - UPLOAD_KEPT
        while True:
            found = await self._service.catalogue.untouched(before, AT_ONCE)
            old = [row for row in found if not self._service.settling(row)]
            if not old:
                return
            await self._service.catalogue.write(*(EndUpload(row.queue, row.sha256, row.place, before) for row in old))
            for row in await self._gone(old):
                await self._service.store.abort(row)
                self._service.quota.end(row.place)
            log.info("abandoned uploads ended", extra={"uploads": len(old)})
            if len(found) < AT_ONCE:
                return

    async def _gone(self, uploads: Sequence[UploadRow]) -> list[UploadRow]:
        queues = list({row.queue for row in uploads})
        left = await self._service.catalogue.uploads(queues, {row.sha256 for row in uploads})
        places = {row.place for row in left}
        return [row for row in uploads if row.place not in places]

    async def _definitions(self) -> None:
        after: str | None = ""
        while after is not None:
            found, after = await self._service.catalogue.jobless(after, AT_ONCE)
            await self._service.catalogue.write(*(DropDefinition(job_id) for job_id in found))

    async def _aliases(self) -> None:
        after: str | None = ""
        while after is not None:
            found, after = await self._service.catalogue.jobless_aliases(after, AT_ONCE)
            await self._service.catalogue.write(*(DropAlias(alias) for alias in found))

    async def _files(self) -> None:
        before = self._clock() - self._retention
        while found := await self._service.catalogue.unused_files(before, AT_ONCE):
            await self._service.catalogue.write(*(DropFile(row.name, before) for row in found))

    async def _blobs(self) -> None:
        before = self._clock() - self._retention
        after: BlobRow | None = None
        while True:
            found, after = await self._service.catalogue.unused(before, after, AT_ONCE)
            await self._drop(found, before)
            if after is None:
                return

    async def _drop(self, rows: Sequence[BlobRow], before: int) -> None:
        if not rows:
            return
        await self._service.catalogue.write(*(DropBlob(row.sha256, row.place, before) for row in rows))
        left = await self._service.catalogue.places(row.sha256 for row in rows)
        gone = [row for row in rows if row.place not in left]
        for row in gone:
            await self._service.store.remove(row.place)
            self._service.quota.removed(row.size)
        if gone:
            log.info("unused blobs removed", extra={"blobs": len(gone), "bytes": sum(row.size for row in gone)})

    async def strays(self, before: float) -> None:
        """Removes objects that the catalogue does not know and that were last written before a time (epoch seconds)."""
        removed = 0
        async for found in self._service.store.strays(before):
            known = await self._service.catalogue.places(stray.sha256 for stray in found if stray.sha256)
            for stray in found:
                if stray.place not in known:
                    await self._service.store.discard(stray)
                    removed += 1
        if removed:
            log.info("removed unreferenced files from the blob store", extra={"strays": removed})
