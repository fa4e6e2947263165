"""Rates and numbers of things that a hub takes, and the form in which its settings have them."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from enum import StrEnum
from typing import Final, TypeVar

from msgspec import Struct

from asman_shared.errors import BadUnit
from asman_shared.units import format_size, parse_size

T = TypeVar("T")


class Of(StrEnum):
    """The party that a limit counts for."""

    ADDRESS = "address"
    KEY = "key"
    QUEUE = "queue"


class What(StrEnum):
    """The things that are limited."""

    SUBMITS = "submits"
    QUEUED = "queued"
    BYTES = "bytes"
    CONNECTIONS = "connections"
    QUEUES = "queues"


_SECONDS: Final = {"s": 1, "m": 60, "h": 3600, "d": 86_400}
_WORDS: Final = {"s": "a second", "m": "a minute", "h": "an hour", "d": "a day"}
_RATE: Final = re.compile(r"(?a)(?P<amount>[^/:]{1,32})/(?P<unit>[smhd])(?::(?P<burst>[^/:]{1,32}))?")
_COUNT: Final = re.compile(r"(?a)\d{1,12}")
NONE: Final = ("0", "none")
"""Texts that stand for no limit."""
BURST_SECONDS: Final = 60
"""Size of a burst that is not named, in seconds of the rate."""


class Rate(Struct, frozen=True):
    """A number of things in a time, and the number that may come at once.

    Attributes:
        amount: The number in one ``unit``.
        unit: ``s``, ``m``, ``h`` or ``d``.
        burst: The number that may come at once after a long pause.
    """

    amount: float
    unit: str
    burst: float

    @property
    def per_second(self) -> float:
        """The number in a second."""
        return self.amount / _SECONDS[self.unit]

    @property
    def window(self) -> float:
        """Time in which a whole burst comes back, in seconds."""
        return self.burst / self.per_second

    def times(self, factor: int) -> Rate:
        """The same rate for a party that stands for several."""
        return self if factor == 1 else Rate(self.amount * factor, self.unit, self.burst * factor)

    def words(self, what: What) -> str:
        """The rate for people: ``50 submits a second``."""
        return f"{counted(self.amount, what)} {_WORDS[self.unit]}"


_NAMED: Final = {
    What.SUBMITS: ("submit", "submits"),
    What.QUEUED: ("queued job", "queued jobs"),
    What.CONNECTIONS: ("connection", "connections"),
    What.QUEUES: ("new queue", "new queues"),
}


def counted(amount: float, what: What) -> str:
    """A number of things for people: ``1 submit``, ``20 new queues``, ``5 MiB of blobs and logs``."""
    if what is What.BYTES:
        return f"{format_size(amount)} of blobs and logs"
    one, several = _NAMED[what]
    return f"{amount:g} {one if amount == 1 else several}" if amount < 10**6 else f"{amount:.0f} {several}"


class Limits(Struct, frozen=True):
    """All limits of a hub, by the party that they count for; a party that is left out has none.

    Attributes:
        submits: Submissions of jobs.
        queued: Number of jobs that wait at the same time.
        bytes: Bytes of blobs and logs that are stored.
        connections: Number of connections at the same time. A hundredth of them may be opened each second.
        queues: Queues that come into being.
    """

    submits: Mapping[Of, Rate] = {}
    queued: Mapping[Of, int] = {}
    bytes: Mapping[Of, Rate] = {}
    connections: Mapping[Of, int] = {}
    queues: Mapping[Of, Rate] = {}


def parse_rate(text: str, *, size: bool = False) -> Rate | None:
    """Reads a rate such as ``50/s:20000``, or ``256KiB/s:10GiB`` for bytes; None for no limit.

    Args:
        text: The rate; without ``:burst``, a minute of it may come at once.
        size: Whether bytes are counted.

    Raises:
        BadUnit: It can't be read.
    """
    if text.strip().lower() in NONE:
        return None
    sample = "256KiB/s:10GiB" if size else "50/s:20000"
    found = _RATE.fullmatch(text.strip())
    if found is None:
        raise BadUnit(f"'{text[:40]}' is not a rate: write it like {sample}, or 'none'")
    number: Callable[[str], float] = parse_size if size else _number
    amount = number(found["amount"])
    if not amount:
        return None
    burst = number(found["burst"]) if found["burst"] else amount / _SECONDS[found["unit"]] * BURST_SECONDS
    if burst < 1:
        raise BadUnit(f"'{text[:40]}' lets nothing pass: the number after ':' may come at once, such as {sample}")
    return Rate(amount, found["unit"], burst)


def _number(text: str) -> float:
    if _COUNT.fullmatch(text) is None:
        raise BadUnit(f"'{text[:40]}' is not a whole number")
    return int(text)


def parse_count(text: str) -> int | None:
    """Reads a number such as ``1000``; None for no limit.

    Raises:
        BadUnit: It can't be read.
    """
    text = text.strip()
    return None if text.lower() in NONE else int(_number(text)) or None


def rates(text: str, *parties: Of, size: bool = False) -> dict[Of, Rate]:
    """Reads rates of several parties; see `_parties`."""
    return dict(_parties(text, parties, lambda one: parse_rate(one, size=size)))


def counts(text: str, *parties: Of) -> dict[Of, int]:
    """Reads numbers of several parties; see `_parties`."""
    return dict(_parties(text, parties, parse_count))


def _parties(text: str, parties: tuple[Of, ...], read: Callable[[str], T | None]) -> Iterator[tuple[Of, T]]:
    """Reads limits such as ``address=50/s:20000,queue=200/s:50000``; one without a party is that of an address.

    Raises:
        BadUnit: A limit can't be read, or counts for something that it can't count for.
    """
    seen: set[str] = set()
    for part in filter(None, map(str.strip, text.split(","))):
        party, equals, given = part.partition("=")
        if not equals:
            party, given = Of.ADDRESS, part
        party = party.strip()
        if party not in parties or party in seen:
            can = ", ".join(f"{each}=…" for each in parties)
            raise BadUnit(f"'{part[:40]}' is no limit here, or stands there twice: write {can}, with commas between")
        seen.add(party)
        found = read(given)
        if found is not None:
            yield Of(party), found
