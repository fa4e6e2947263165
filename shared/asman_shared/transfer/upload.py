"""Uploads blobs: asks for the missing bytes, sends them, and asks again until none are missing."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Final

from asman_shared import limits
from asman_shared.errors import AsmanError, ConnectionFailed, ProtocolError, TimedOut, Unauthentic, Unavailable
from asman_shared.messages import BlobTicket
from asman_shared.running.backoff import Backoff

from .http import Http
from .locator import Locator
from .retry import Retries, RetryPolicy
from .source import CHUNK, Blob, Progress, Reading

_PENDING_FIRST: Final = 0.1
_PENDING_MOST: Final = 2.0
_REFUSALS: Final = 2
"""Times that a store reports other bytes for one blob before the upload fails."""
_TAKEN: Final = 4
"""Times that a store may accept the same bytes and ask for them again."""


@dataclass(frozen=True, slots=True)
class _Sending:
    """One request: ``size`` bytes of a blob from ``offset`` on."""

    blob: Blob
    ticket: BlobTicket
    url: str
    offset: int
    size: int


@dataclass(slots=True)
class _Round:
    """The result of sending all bytes that one set of tickets asked for.

    Attributes:
        taken: Sendings that a store accepted.
        error: The first failure after which another try may succeed; no more sendings begin after it.
        refused: Blobs, by sha256, for which a store reported other bytes.
    """

    taken: list[_Sending] = field(default_factory=list)
    error: AsmanError | None = None
    refused: list[tuple[str, Unauthentic]] = field(default_factory=list)


class Uploader:
    """Sends missing bytes, with several requests at a time.

    Args:
        locator: Finds the missing bytes and their addresses.
        http: Reaches the addresses.
        places: Limits the concurrent transfers of this client or worker.
        retry_policy: The limits of each batch of `limits.BLOBS_PER_REQUEST` blobs.
    """

    def __init__(
        self, locator: Locator, http: Http, places: asyncio.Semaphore, retry_policy: RetryPolicy | None = None
    ) -> None:
        self._locator = locator
        self._http = http
        self._places = places
        self._retry_policy = retry_policy or RetryPolicy()

    async def send(
        self,
        blobs: Iterable[Blob],
        progress: Progress | None = None,
        there: Progress | None = None,
        stored: Callable[[str], None] | None = None,
    ) -> int:
        """Returns once all blobs are stored and verified.

        Args:
            blobs: The blobs; of two with the same bytes one is sent.
            progress: Called with the number of bytes that were sent.
            there: Called with the number of bytes that the store has already.
            stored: Called with the sha256 of each blob that is stored and verified, also before a failure.

        Returns:
            The number of bytes that were sent.

        Raises:
            Conflict: A file changed while it was sent.
            Unauthentic: The store repeatedly received other bytes than were hashed.
            TimedOut: The upload took longer than allowed.
            AsmanError: The hub or the store refuses the upload, or could not be reached for too long.
        """
        unique = list({blob.sha256: blob for blob in blobs}.values())
        sent = 0
        try:
            async with asyncio.timeout(self._retry_policy.total) as scope:
                for start in range(0, len(unique), limits.BLOBS_PER_REQUEST):
                    batch = _Batch(
                        unique[start : start + limits.BLOBS_PER_REQUEST], there or _nobody, stored or _nobody
                    )
                    sent += await self._send(batch, progress or _nobody)
        except TimeoutError:
            if scope.expired():
                raise TimedOut(f"uploading took longer than {self._retry_policy.total:g} seconds") from None
            raise
        return sent

    async def _send(self, batch: _Batch, progress: Progress) -> int:
        retries = Retries(self._retry_policy)
        pending = Backoff(_PENDING_FIRST, _PENDING_MOST)
        sent = 0
        waited = 0.0
        while True:
            try:
                tickets = await self._locator.tickets([(blob.sha256, blob.size) for blob in batch.waiting.values()])
                work = batch.read(tickets)
            except AsmanError as error:
                await retries.failed(error)
                continue
            if not batch.waiting:
                return sent
            if not work:
                delay = pending.next()
                waited += delay
                if waited > self._retry_policy.pending:
                    raise Unavailable(f"the store has been verifying the upload for {waited:.0f} seconds")
                await asyncio.sleep(delay)
                continue
            done = await self._round(work, progress)
            if done.taken:
                retries.moved()
                pending.reset()
                waited = 0.0
            for item in done.taken:
                sent += item.size
                batch.taken(item)
            for sha256, refusal in done.refused:
                batch.refused(sha256, refusal.message)
            if done.error is not None:
                await retries.failed(done.error)

    async def _round(self, work: list[_Sending], progress: Progress) -> _Round:
        done = _Round()

        async def one(item: _Sending) -> None:
            async with self._places:
                if done.error is not None:
                    return
                try:
                    await self._put(item, progress)
                except Unauthentic as error:
                    done.refused.append((item.blob.sha256, error))
                except AsmanError as error:
                    if not error.retry:
                        raise
                    done.error = error
                else:
                    done.taken.append(item)

        try:
            async with asyncio.TaskGroup() as group:
                for item in work:
                    group.create_task(one(item))
        except* AsmanError as errors:
            raise errors.exceptions[0] from None
        return done

    async def _put(self, item: _Sending, progress: Progress) -> None:
        """Sends one request; the progress that it reported is taken back if it fails."""
        stall = self._retry_policy.stall
        loop = asyncio.get_running_loop()
        moved = 0
        going = True

        def count(size: int) -> None:
            nonlocal moved
            if going:
                moved += size
                progress(size)
                scope.reschedule(loop.time() + stall)

        headers = {**item.ticket.headers, "Content-Length": str(item.size)}
        url = self._locator.absolute(item.url)
        reading = Reading(item.blob, item.offset, item.size)
        try:
            async with asyncio.timeout(stall) as scope:
                # A file of one chunk is read before its request begins, in one call in a thread.
                body = await reading.next() if item.size <= CHUNK else reading.chunks(count)
                await self._http.put(item.ticket.method, url, headers, body, stall)
                count(item.size - moved)
        except TimeoutError:
            going = False
            progress(-moved)
            raise ConnectionFailed(f"the upload broke off (nothing moved for {stall:g} seconds)") from None
        except BaseException:
            going = False
            progress(-moved)
            raise
        finally:
            reading.close()


class _Batch:
    """The blobs of one request for tickets, and the state of each.

    Attributes:
        waiting: The blobs that are not stored yet, by sha256.
    """

    def __init__(self, blobs: list[Blob], there: Progress, stored: Callable[[str], None]) -> None:
        self.waiting = {blob.sha256: blob for blob in blobs}
        self._there = there
        self._stored = stored
        self._unseen = set(self.waiting)
        self._refusals: Counter[str] = Counter()
        self._takings: Counter[tuple[str, int]] = Counter()

    def read(self, tickets: list[BlobTicket]) -> list[_Sending]:
        """Reads the sendings that the tickets ask for.

        Raises:
            Unavailable: A ticket is missing.
            Unauthentic: The store repeatedly received other bytes than were hashed.
            ProtocolError: A ticket makes no sense.
        """
        found = {ticket.sha256: ticket for ticket in tickets}
        work: list[_Sending] = []
        for sha256, blob in list(self.waiting.items()):
            ticket = found.get(sha256)
            if ticket is None:
                raise Unavailable(f"the hub did not say how to store {blob.label}")
            if sha256 in self._unseen:
                # Bytes that are refused before anything was sent came from another sender.
                self._unseen.discard(sha256)
                self._note(ticket, blob)
            elif ticket.refused:
                self.refused(sha256, ticket.refused)
            if ticket.exists:
                del self.waiting[sha256]
                self._stored(sha256)
            elif not ticket.pending:
                work += self._sendings(ticket, blob)
        return work

    def _note(self, ticket: BlobTicket, blob: Blob) -> None:
        """Reports the bytes that were stored before anything was sent."""
        if ticket.exists or ticket.pending:
            self._there(blob.size)
        elif ticket.parts:
            self._there(blob.size - ticket.missing)

    def refused(self, sha256: str, why: str) -> None:
        """Notes that the store received other bytes than the sha256 says.

        Raises:
            Unauthentic: That has happened too often.
        """
        self._refusals[sha256] += 1
        if self._refusals[sha256] >= _REFUSALS:
            raise Unauthentic(f"{self.waiting[sha256].label} arrived with other bytes than were hashed ({why})")

    def taken(self, item: _Sending) -> None:
        """Notes that a store accepted some bytes.

        Raises:
            ProtocolError: The store has accepted them too often.
        """
        self._takings[item.blob.sha256, item.offset] += 1
        if self._takings[item.blob.sha256, item.offset] > _TAKEN:
            raise ProtocolError(f"the store accepted {item.blob.label} and then asked for it again")

    def _sendings(self, ticket: BlobTicket, blob: Blob) -> list[_Sending]:
        if ticket.parts:
            for part in ticket.parts:
                if part.offset < 0 or part.size < 0 or part.offset + part.size > blob.size:
                    raise ProtocolError(f"the hub asked for bytes that {blob.label} does not have")
            return [_Sending(blob, ticket, part.url, part.offset, part.size) for part in ticket.parts]
        if not ticket.url:
            raise ProtocolError(f"the hub did not say where to send {blob.label}")
        return [_Sending(blob, ticket, ticket.url, 0, blob.size)]


def _nobody(_news: object) -> None:
    """Ignores the progress."""
