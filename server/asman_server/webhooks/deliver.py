"""Delivers webhooks from the outbox table, at least once and with a limited number of tries, without delaying jobs.

A row of the outbox is written in the transaction of its job. So a committed webhook is called even if the hub dies: the
next hub calls it. The deliverer reads rows when they are due, tries them, and removes them after an answer 2xx. After a
failure the pause grows, up to the last try. Only rows that are being tried are in memory: the table is the queue.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections import Counter
from collections.abc import Awaitable, Callable, Collection
from typing import Final, Protocol

from asman_shared.errors import Unavailable

from ..clock import Clock
from ..names import UNKEYED, ShortNames
from ..storage.commit import WebhookRow
from .sender import TIMEOUT, NotDelivered

log = logging.getLogger("asman.hub.webhooks")

CALLS: Final = 16
"""Largest number of concurrent calls."""
CALLS_PER_HOST: Final = 2
"""Largest number of concurrent calls to one host."""
SETTLING: Final = 256
"""Finished and running calls whose rows are not written yet; at this number no new calls begin."""
PAGE: Final = 64
"""Rows that one statement reads."""
TRIES: Final = 12
"""Tries after which a call is given up."""
FIRST_PAUSE: Final = 2.0
"""Pause before the second try, in seconds."""
PAUSE_GROWTH: Final = 2.4
"""Factor between successive pauses: 12 tries take about six hours."""
JITTER: Final = 0.2
"""Largest random change of a pause, as a share of it."""
KEPT: Final = 3 * 24 * 3_600_000
"""Age at which a call is given up, in milliseconds."""
IDLE: Final = 60.0
"""Longest pause between reads of the outbox, in seconds."""
READ_AGAIN: Final = 1.0
"""Pause between tries to read an unavailable outbox, in seconds."""


class Outbox(Protocol):
    """Reads the rows; see `asman_server.storage.reader.Store`."""

    async def webhooks(self, limit: int, ids: Collection[str], hosts: Collection[str]) -> list[WebhookRow]:
        """The rows with the earliest due times, except those of some ids and hosts."""


class Settlement(Protocol):
    """Writes the outcome of a try; see `asman_server.storage.group_commit.GroupCommitter`."""

    def webhook_later(self, row: WebhookRow, tries: int, due: int, done: Callable[[], None]) -> None:
        """Writes that a call is to be tried again."""

    def webhook_done(self, row: WebhookRow, done: Callable[[], None]) -> None:
        """Removes a call that was delivered or given up."""


def pause_after(tries: int, draw: float) -> int:
    """The pause before the next try, in milliseconds.

    Args:
        tries: The number of tries so far, from 1.
        draw: A number from 0 to 1, for the jitter.
    """
    pause = FIRST_PAUSE * PAUSE_GROWTH ** (tries - 1)
    return round(1000 * pause * (1 + JITTER * (2 * draw - 1)))


class Deliverer:
    """Delivers the webhooks of the outbox.

    Args:
        outbox: Reads the rows.
        settlement: Writes the outcome of a try.
        send: Tries one call once; raises `NotDelivered`.
        clock: Tells the time.
        draw: Returns random numbers from 0 to 1.
        short_names: Names queues in log lines.
    """

    def __init__(
        self,
        outbox: Outbox,
        settlement: Settlement,
        send: Callable[[WebhookRow], Awaitable[None]],
        clock: Clock,
        draw: Callable[[], float] = random.random,
        short_names: ShortNames = UNKEYED,
    ) -> None:
        self._outbox = outbox
        self._settlement = settlement
        self._send = send
        self._clock = clock
        self._draw = draw
        self._short_names = short_names
        self._busy: set[str] = set()
        self._calling = 0
        self._hosts: Counter[str] = Counter()
        self._wake = asyncio.Event()

    def wake(self) -> None:
        """Notes that the outbox has new rows."""
        self._wake.set()

    async def run(self) -> None:
        """Delivers until it is cancelled. The next hub repeats calls that were running then."""
        async with asyncio.TaskGroup() as tasks:
            while True:
                self._wake.clear()
                try:
                    pause = await self._begin(tasks)
                except Unavailable:
                    pause = READ_AGAIN
                if pause > 0:
                    try:
                        async with asyncio.timeout(pause):
                            await self._wake.wait()
                    except TimeoutError:
                        pass

    async def _begin(self, tasks: asyncio.TaskGroup) -> float:
        """Begins due calls within the limits; returns the pause until the next read, in seconds."""
        if self._calling >= CALLS or len(self._busy) >= SETTLING:
            return IDLE
        full = [host for host, calls in self._hosts.items() if calls >= CALLS_PER_HOST]
        rows = await self._outbox.webhooks(PAGE, self._busy, full)
        now = self._clock()
        for row in rows:
            if row.due > now:
                return min((row.due - now) / 1000, IDLE)
            if self._calling >= CALLS:
                return IDLE
            if self._hosts[row.host] < CALLS_PER_HOST:
                self._calling += 1
                self._hosts[row.host] += 1
                self._busy.add(row.id)
                tasks.create_task(self._call(row))
        return 0 if len(rows) == PAGE else IDLE

    async def _call(self, row: WebhookRow) -> None:
        try:
            if self._clock() - row.created >= KEPT:
                raise NotDelivered("it is too old", final=True)
            async with asyncio.timeout(TIMEOUT):
                await self._send(row)
        except NotDelivered as error:
            self._failed(row, error.message, final=error.final)
        except TimeoutError:
            self._failed(row, "it did not answer in time")
        except Exception:
            log.exception("a webhook failed unexpectedly", extra=self._about(row))
            self._failed(row, "an error in the hub")
        else:
            self._settlement.webhook_done(row, lambda: self._settled(row))
        finally:
            self._calling -= 1
            self._hosts[row.host] -= 1
            if not self._hosts[row.host]:
                del self._hosts[row.host]
            self.wake()

    def _failed(self, row: WebhookRow, why: str, *, final: bool = False) -> None:
        tries = row.tries + 1
        if final or tries >= TRIES:
            log.warning("gave up on a webhook: %s", why, extra={**self._about(row), "tries": tries})
            self._settlement.webhook_done(row, lambda: self._settled(row))
            return
        log.info("a webhook failed and will be tried again: %s", why, extra={**self._about(row), "tries": tries})
        due = self._clock() + pause_after(tries, self._draw())
        self._settlement.webhook_later(row, tries, due, lambda: self._settled(row))

    def _settled(self, row: WebhookRow) -> None:
        self._busy.discard(row.id)
        self.wake()

    def _about(self, row: WebhookRow) -> dict[str, object]:
        """The fields of a log line about a call, without its URL and the queue's name, which are secrets."""
        return {"delivery": row.id, "event": row.event, "queue": self._short_names(row.queue), "host": row.host}
