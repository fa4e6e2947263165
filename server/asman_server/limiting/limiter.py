"""Decides what the hub takes from a sender, and says how long the sender has to wait otherwise."""

from __future__ import annotations

import math
import time
from collections import Counter, OrderedDict
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Final, NamedTuple

from asman_shared.errors import Overloaded
from asman_shared.messages import RateLimit
from asman_shared.units import format_duration

from ..access import Access
from ..front.proxies import Network
from .buckets import Buckets, Counts
from .rates import Limits, Of, Rate, What, counted
from .senders import UNKNOWN, group_of, groups_of, is_within

REFUSALS: Final = Rate(100, "s", 1000)
"""Refusals that a sender is answered without delay."""
PATIENCE: Final = 5.0
"""Longest delay of a refusal, in seconds."""
OPENED: Final = 100
"""Time in which a sender may open as many connections again as it may have, in seconds; one a second at least."""
WAITING: Final = 200_000
"""Number of waiting jobs that are counted for their senders; more than these are no longer counted for anybody."""
CHARGED: Final = 20_000
"""Number of blobs that are remembered as taken, so that asking for them again costs nothing."""
FULL_SECONDS: Final = 5.0
"""Time after which to try again where a number is reached that time alone does not lower, in seconds."""
_PLACES: Final = {Of.ADDRESS: "from one address", Of.KEY: "by one key", Of.QUEUE: "for one queue"}
_WIDER: Final = "from one network"


class _Bucket(NamedTuple):
    """A bucket that something is taken from."""

    of: Of
    party: str
    rate: Rate
    place: str


class Limiter:
    """The limits of one hub.

    A sender is a group of addresses (`senders`), or empty for one that has no limits: its requests pass at once. Limits
    of a key are those of its own and hold for all senders.

    Args:
        limits: The limits.
        exempt: Networks whose addresses have no limits.
        clock: Returns monotonic seconds.

    Attributes:
        refused: Number of refusals, by what was refused and the party whose limit it was.
        waiting: The parties for which each waiting job counts, by queue and job; at most `WAITING` jobs.
    """

    def __init__(
        self, limits: Limits, exempt: tuple[Network, ...] = (), clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.limits = limits
        self._exempt = exempt
        self._clock = clock
        self._buckets: dict[tuple[What, Of], Buckets] = {}
        self._refusals = Buckets()
        self._counts: dict[tuple[What, Of], Counts] = {}
        self.refused: Counter[tuple[str, str]] = Counter()
        self.waiting: dict[tuple[str, str], tuple[str, ...]] = {}
        self._charged: OrderedDict[tuple[str, str], int] = OrderedDict()
        self._any = limits != Limits()

    def sender(self, address: str) -> str:
        """Returns the party for which an address counts; empty if it has no limits.

        Args:
            address: As `asman_server.front.sender` returns it; empty if nobody has named it.
        """
        if not self._any:
            return ""
        if not address:
            return UNKNOWN
        return "" if is_within(address, self._exempt) else group_of(address)

    @property
    def tracked(self) -> int:
        """Number of parties that are remembered."""
        buckets = sum(map(len, self._buckets.values()))
        return buckets + sum(map(len, self._counts.values())) + len(self._refusals)

    # ------------------------------------------------------------------------------------------------ what comes in

    def submit(self, access: Access, queued: int) -> None:
        """Takes one submission.

        Args:
            access: The key that it came with.
            queued: Number of jobs that wait in its queue.

        Raises:
            Overloaded: It is one too many for now.
        """
        if access.sender:
            self._check_queued(access, queued)
            self._check(What.BYTES, self.limits.bytes, access, 1)
            self._take(What.SUBMITS, self.limits.submits, access, 1)

    def check_submit(self, access: Access) -> None:
        """Checks that a submission would be taken, as far as that is known before it is read.

        Raises:
            Overloaded: It would be one too many.
        """
        if access.sender:
            self._check(What.SUBMITS, self.limits.submits, access, 1)

    def new_queue(self, access: Access) -> None:
        """Takes one queue that comes into being.

        Raises:
            Overloaded: It is one too many for now.
        """
        if access.sender:
            self._take(What.QUEUES, self.limits.queues, access, 1)

    def store(self, access: Access, size: int) -> None:
        """Takes bytes of blobs to store.

        Raises:
            Overloaded: They are too many for now.
        """
        if access.sender and size:
            self._take(What.BYTES, self.limits.bytes, access, size)

    def store_once(self, access: Access, blobs: Mapping[str, int]) -> None:
        """Takes the bytes of blobs (sizes by sha256) that a sender will send; those asked for before cost nothing.

        Raises:
            Overloaded: They are too many for now.
        """
        if not access.sender:
            return
        charged = {key: self._charged.get((access.queue, key), 0) for key in blobs}
        fresh = {key: size for key, size in blobs.items() if size > charged[key]}
        self.store(access, sum(size - charged[key] for key, size in fresh.items()))
        for key, size in fresh.items():  # the size, too: a sha256 alone may be announced with one byte
            self._charged[access.queue, key] = size
        while len(self._charged) > CHARGED:
            self._charged.popitem(last=False)

    def came(self, access: Access, size: int) -> float:
        """Takes bytes that have come already, of a log or of a definition.

        Returns:
            The time to wait with taking more, in seconds.
        """
        if not access.sender or not size:
            return 0.0
        now, wait = self._clock(), 0.0
        for bucket in self._of(What.BYTES, self.limits.bytes, access):
            buckets = self._bucket(What.BYTES, bucket.of)
            buckets.take(bucket.party, size, bucket.rate, now)
            # What is owed for other things, such as blobs, delays no lines: behind them comes the result.
            own = size / bucket.rate.per_second
            wait = max(wait, min(own, buckets.wait(bucket.party, 1, bucket.rate, now)))
        return wait

    def patience(self, sender: str) -> float:
        """Counts a refusal; returns the time to wait before the next one of the same sender, in seconds.

        So a sender that does not wait by itself is read and answered slowly.
        """
        if not sender:
            return 0.0
        now = self._clock()
        self._refusals.take(sender, 1, REFUSALS, now)
        return min(PATIENCE, self._refusals.wait(sender, 1, REFUSALS, now))

    # ----------------------------------------------------------------------------------------------- numbers at once

    @contextmanager
    def connection(self, sender: str, queue: str = "") -> Iterator[None]:
        """Counts a connection or request, until the end of the block.

        Args:
            sender: The sender.
            queue: The queue that it is for, if that counts.

        Raises:
            Overloaded: It is one too many.
        """
        if not sender:
            yield
            return
        parties = [(Of.ADDRESS, party, factor) for party, factor in groups_of(sender)]
        if queue:
            parties.append((Of.QUEUE, queue, 1))
        for of, party, factor in parties:
            most = self.limits.connections.get(of, 0) * factor
            if most and self._count(What.CONNECTIONS, of).of(party) >= most:
                raise self._full(What.CONNECTIONS, of, most, _WIDER if factor > 1 else _PLACES[of])
        for of, party, _ in parties:
            self._count(What.CONNECTIONS, of).add(party)
        try:
            yield
        finally:
            for of, party, _ in parties:
                self._count(What.CONNECTIONS, of).drop(party)

    def opened(self, sender: str) -> None:
        """Takes a websocket that is opened, as each costs the hub some time.

        Raises:
            Overloaded: It is one too many for now.
        """
        most = self.limits.connections.get(Of.ADDRESS)
        if sender and most:
            rate = Rate(max(most, OPENED) * 60 / OPENED, "m", max(most, OPENED))
            self._take(What.CONNECTIONS, {Of.ADDRESS: rate}, Access("", frozenset(), sender=sender), 1)

    def waits(self, access: Access, queue: str, job: str) -> None:
        """Counts a job that waits from now on."""
        if not access.sender or not self.limits.queued or (queue, job) in self.waiting:
            return
        parties = [f"{Of.ADDRESS}:{party}" for party, _ in groups_of(access.sender)]
        if access.key:
            parties.append(f"{Of.KEY}:{access.key}")
        self.waiting[queue, job] = tuple(parties)
        for party in parties:
            self._count(What.QUEUED, Of.ADDRESS).add(party)
        if len(self.waiting) > WAITING:
            self.waits_no_more(*next(iter(self.waiting)))

    def waits_no_more(self, queue: str, job: str) -> None:
        """Counts a job no longer that has waited."""
        for party in self.waiting.pop((queue, job), ()):
            self._count(What.QUEUED, Of.ADDRESS).drop(party)

    def _check_queued(self, access: Access, queued: int) -> None:
        queue_most = self.limits.queued.get(Of.QUEUE)
        if queue_most and queued >= queue_most:
            raise self._full(What.QUEUED, Of.QUEUE, queue_most, _PLACES[Of.QUEUE])
        parties = [(Of.ADDRESS, party, factor) for party, factor in groups_of(access.sender)]
        if access.key:
            parties.append((Of.KEY, access.key, 1))
        for of, party, factor in parties:
            most = self.limits.queued.get(of, 0) * factor
            if most and self._count(What.QUEUED, Of.ADDRESS).of(f"{of}:{party}") >= most:
                raise self._full(What.QUEUED, of, most, _WIDER if factor > 1 else _PLACES[of])

    # --------------------------------------------------------------------------------------------------- what is told

    def told(self, access: Access) -> list[RateLimit]:
        """Returns the limits of a key and its sender, for a client that wants to know them ahead."""
        if not access.sender:
            return []
        now = self._clock()
        found: list[RateLimit] = []
        for what, by_party in (
            (What.SUBMITS, self.limits.submits),
            (What.BYTES, self.limits.bytes),
            (What.QUEUES, self.limits.queues),
        ):
            for of, party, rate, place in self._of(what, by_party, access):
                if place != _WIDER:
                    left = self._bucket(what, of).left(party, rate, now)
                    told = RateLimit(what.value, of.value, int(rate.burst), rate.per_second, int(left))
                    found.append(told)
        for what, numbers in ((What.QUEUED, self.limits.queued), (What.CONNECTIONS, self.limits.connections)):
            found += [RateLimit(what.value, of.value, most) for of, most in numbers.items()]
        return found

    def headers(self, access: Access) -> dict[str, str]:
        """Returns the headers ``RateLimit-Policy`` and ``RateLimit`` about submissions; none without limits.

        Fields as in draft-ietf-httpapi-ratelimit-headers-10: a quota of ``q`` in a window of ``w`` seconds, of which
        ``r`` are left, and all of it again in ``t`` seconds.
        """
        if not access.sender:
            return {}
        now = self._clock()
        policies, states = [], []
        for of, party, rate, place in self._of(What.SUBMITS, self.limits.submits, access):
            if place == _WIDER:
                continue
            left = self._bucket(What.SUBMITS, of).left(party, rate, now)
            name = f'"{What.SUBMITS}-{of}"'
            policies.append(f"{name};q={int(rate.burst)};w={math.ceil(rate.window)}")
            states.append(f"{name};r={int(left)};t={math.ceil((rate.burst - left) / rate.per_second)}")
        return {"RateLimit-Policy": ", ".join(policies), "RateLimit": ", ".join(states)} if policies else {}

    # --------------------------------------------------------------------------------------------------------- within

    def _of(self, what: What, rates: Mapping[Of, Rate], access: Access) -> Iterator[_Bucket]:
        """Yields the buckets that something of a sender is taken from."""
        if (rate := rates.get(Of.ADDRESS)) is not None:
            for party, factor in groups_of(access.sender):
                place = _WIDER if factor > 1 else _PLACES[Of.ADDRESS]
                yield _Bucket(Of.ADDRESS, party, rate.times(factor), place)
        if (rate := rates.get(Of.KEY)) is not None and access.key:
            yield _Bucket(Of.KEY, access.key, rate, _PLACES[Of.KEY])
        if (rate := rates.get(Of.QUEUE)) is not None and access.queue:
            yield _Bucket(Of.QUEUE, access.queue, rate, _PLACES[Of.QUEUE])

    def _take(self, what: What, rates: Mapping[Of, Rate], access: Access, amount: float) -> None:
        now = self._check(what, rates, access, amount)
        for bucket in self._of(what, rates, access):
            self._bucket(what, bucket.of).take(bucket.party, amount, bucket.rate, now)

    def _check(self, what: What, rates: Mapping[Of, Rate], access: Access, amount: float) -> float:
        """Checks that all buckets have an amount; returns the present time.

        Raises:
            Overloaded: One has not.
        """
        now, longest = self._clock(), 0.0
        short: _Bucket | None = None
        for bucket in self._of(what, rates, access):
            wait = self._bucket(what, bucket.of).wait(bucket.party, amount, bucket.rate, now)
            if wait > longest:
                longest, short = wait, bucket
        if short is not None:
            self.refused[what.value, short.of.value] += 1
            words, after = short.rate.words(what), format_duration(longest * 1000)
            raise Overloaded(f"this hub takes {words} {short.place}; try again in {after}", retry_after=longest)
        return now

    def _full(self, what: What, of: Of, most: int, place: str) -> Overloaded:
        self.refused[what.value, of.value] += 1
        return Overloaded(
            f"this hub takes {counted(most, what)} at the same time {place}; try again when there are fewer",
            retry_after=FULL_SECONDS,
        )

    def _bucket(self, what: What, of: Of) -> Buckets:
        found = self._buckets.get((what, of))
        if found is None:
            found = self._buckets[what, of] = Buckets()
        return found

    def _count(self, what: What, of: Of) -> Counts:
        found = self._counts.get((what, of))
        if found is None:
            found = self._counts[what, of] = Counts()
        return found


def unlimited(**others: Any) -> Limiter:
    """Returns a limiter that lets everything pass."""
    return Limiter(Limits(), **others)
