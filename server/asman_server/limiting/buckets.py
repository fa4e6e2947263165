"""Token buckets and counts of many parties, in bounded memory."""

from __future__ import annotations

from collections import OrderedDict
from typing import Final

from .rates import Rate

PARTIES: Final = 10_000
"""Number of buckets that are remembered. A full bucket needs no memory, and of more than these the one that was used
longest ago is forgotten: an attacker with many addresses gets no more than each of them may have anyway."""


class Buckets:
    """A token bucket for each party. A bucket holds up to a burst of tokens, and refills at its rate.

    Of each bucket only the time is remembered at which it will be full.

    Args:
        most: Number of buckets that are remembered.
    """

    def __init__(self, most: int = PARTIES) -> None:
        self._full_at: OrderedDict[str, float] = OrderedDict()
        self._most = most

    def __len__(self) -> int:
        return len(self._full_at)

    def wait(self, party: str, amount: float, rate: Rate, now: float) -> float:
        """Returns the time until a bucket has an amount, in seconds; 0 if it has it now.

        More than a whole burst is let through by a full bucket, which then owes the rest.
        """
        missing = max(0.0, self._full_at.get(party, now) - now)
        spare = max(0.0, rate.burst - amount) / rate.per_second
        # Times of a clock are inexact: what is missing less than a millionth of a token is there.
        return wait if (wait := missing - spare) > 1e-6 / rate.per_second else 0.0

    def take(self, party: str, amount: float, rate: Rate, now: float) -> None:
        """Takes an amount out of a bucket, which may owe it afterwards."""
        self._full_at[party] = max(self._full_at.get(party, now), now) + amount / rate.per_second
        self._full_at.move_to_end(party)
        while len(self._full_at) > self._most or self._full_at[next(iter(self._full_at))] <= now:
            self._full_at.popitem(last=False)

    def left(self, party: str, rate: Rate, now: float) -> float:
        """Returns the number of tokens in a bucket; 0 for one that owes some."""
        missing = max(0.0, self._full_at.get(party, now) - now)
        return max(0.0, rate.burst - missing * rate.per_second)


class Counts:
    """A number for each party that has any."""

    def __init__(self) -> None:
        self._numbers: dict[str, int] = {}

    def __len__(self) -> int:
        return len(self._numbers)

    def of(self, party: str) -> int:
        """Returns the number of a party."""
        return self._numbers.get(party, 0)

    def add(self, party: str) -> None:
        """Counts one more."""
        self._numbers[party] = self._numbers.get(party, 0) + 1

    def drop(self, party: str) -> None:
        """Counts one less."""
        left = self._numbers.get(party, 0) - 1
        if left > 0:
            self._numbers[party] = left
        else:
            self._numbers.pop(party, None)
