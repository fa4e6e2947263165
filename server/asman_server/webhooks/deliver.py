"""Delivering webhooks from the outbox: at least once, a bounded number of times, and never in the way of a job.

A row in the outbox is written in the transaction of the job that it tells of, so what was committed is called, also
by the next hub when this one dies. Here rows are read when they are due, tried, and removed after an answer 2xx; after
a failure they wait longer each time, until they have been tried often enough. Only rows being tried are in memory: the
table is the queue.
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
from ..names import short_name
from ..storage.commit import WebhookRow
from .sender import TIMEOUT, NotDelivered

log = logging.getLogger("asman.hub.webhooks")

CALLS: Final = 16
"""Largest number of concurrent calls."""
CALLS_PER_HOST: Final = 2
"""Largest number of concurrent calls to one host."""
SETTLING: Final = 256
"""Calls that were made and whose rows are still to be written; at this bound no new ones are begun."""
PAGE: Final = 64
"""Number of rows read at a time."""
TRIES: Final = 12
"""Attempts after which a call is given up."""
FIRST_PAUSE: Final = 2.0
PAUSE_GROWTH: Final = 2.4
"""Seconds before the second try, and how much longer each further pause is: 12 tries take about six hours."""
JITTER: Final = 0.2
"""Largest random change of a pause, as a fraction of it."""
KEPT: Final = 3 * 24 * 3_600_000
"""Milliseconds after which a call is given up, tried or not."""
IDLE: Final = 60.0
"""Seconds after which the outbox is looked at although nothing is known to be due."""
READ_AGAIN: Final = 1.0
"""Seconds between looks at an outbox that can't be read."""


class Outbox(Protocol):
    """Source of the rows to deliver; see `asman_server.storage.reader.Store`."""

    async def webhooks(self, limit: int, ids: Collection[str], hosts: Collection[str]) -> list[WebhookRow]:
        """Returns the rows ordered by due time, without the given ids and hosts."""


class Settlement(Protocol):
    """Records the result of a call; see `asman_server.storage.group_commit.GroupCommitter`."""

    def webhook_later(self, row: WebhookRow, tries: int, due: int, done: Callable[[], None]) -> None:
        """Records that a call is to be tried again."""

    def webhook_done(self, row: WebhookRow, done: Callable[[], None]) -> None:
        """Records that a call was made or given up."""


def pause_after(tries: int, draw: float) -> int:
    """Returns the pause before the next attempt, in milliseconds.

    Args:
        tries: How often it was tried, from 1 on.
        draw: From 0 to 1, for the jitter.
    """
    pause = FIRST_PAUSE * PAUSE_GROWTH ** (tries - 1)
    return round(1000 * pause * (1 + JITTER * (2 * draw - 1)))


class Deliverer:
    """Delivers the calls of the outbox, with retries and with bounds on concurrency.

    Args:
        outbox: Where rows are read.
        settlement: Where their fate is written.
        send: Tries one call once; raises `NotDelivered`.
        clock: Now.
        draw: Gives numbers from 0 to 1.
    """

    def __init__(
        self,
        outbox: Outbox,
        settlement: Settlement,
        send: Callable[[WebhookRow], Awaitable[None]],
        clock: Clock,
        draw: Callable[[], float] = random.random,
    ) -> None:
        self._outbox = outbox
        self._settlement = settlement
        self._send = send
        self._clock = clock
        self._draw = draw
        self._busy: set[str] = set()
        self._calling = 0
        self._hosts: Counter[str] = Counter()
        self._wake = asyncio.Event()

    def wake(self) -> None:
        """Makes `run` read the outbox now."""
        self._wake.set()

    async def run(self) -> None:
        """Delivers until it is cancelled; calls that are being tried then are tried again by the next hub."""
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
        """Begins the calls that are due and have room; returns the seconds until it is worth looking again."""
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
            log.exception("a webhook failed in an unforeseen way", extra=_about(row))
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
            log.warning("a webhook was given up: %s", why, extra={**_about(row), "tries": tries})
            self._settlement.webhook_done(row, lambda: self._settled(row))
            return
        log.info("a webhook failed and is tried again: %s", why, extra={**_about(row), "tries": tries})
        due = self._clock() + pause_after(tries, self._draw())
        self._settlement.webhook_later(row, tries, due, lambda: self._settled(row))

    def _settled(self, row: WebhookRow) -> None:
        self._busy.discard(row.id)
        self.wake()


def _about(row: WebhookRow) -> dict[str, object]:
    """Returns the log fields of a call, without its URL and the queue's name, which are secrets."""
    return {"delivery": row.id, "event": row.event, "queue": short_name(row.queue), "host": row.host}
