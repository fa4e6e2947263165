"""Bounds the connections of a sender on which no request is being answered, which no other count has."""

from __future__ import annotations

from typing import Final, Protocol

from ..front.proxies import Network
from .limiter import Limiter
from .rates import Of, What
from .senders import groups_of, is_within

Parties = tuple[tuple[str, int], ...]
"""The parties that a connection counts for, each with the largest number of its idle connections."""
NOBODY: Final[Parties] = ()


class Connection(Protocol):
    """A connection that waits for a request, or for the rest of its head."""

    def give_up(self) -> None:
        """Closes the connection."""


class IdleConnections:
    """The idle connections of each sender: there may be as many as connections at the same time.

    One more costs its sender the one that is idle for longest. A client that sends a request at once after it has
    connected is not idle for long, so whoever holds half requests takes the place of nobody else. Connections of
    trusted proxies are not counted, as they carry the requests of many.

    Args:
        limiter: The hub's limits.
        proxies: The networks of trusted proxies.
    """

    def __init__(self, limiter: Limiter, proxies: tuple[Network, ...] = ()) -> None:
        self._limiter = limiter
        self._proxies = proxies
        self._idle: dict[str, dict[Connection, None]] = {}

    def __len__(self) -> int:
        """Number of parties that have any."""
        return len(self._idle)

    def parties(self, address: str) -> Parties:
        """Returns the parties that a connection from an address counts for, for the other methods."""
        most = self._limiter.limits.connections.get(Of.ADDRESS)
        if not most or is_within(address, self._proxies):
            return NOBODY
        sender = self._limiter.sender(address)
        return tuple((party, most * factor) for party, factor in groups_of(sender)) if sender else NOBODY

    def add(self, connection: Connection, parties: Parties) -> None:
        """Counts a connection that has become idle, as the newest, and closes the oldest if it is one too many."""
        for party, most in parties:
            idle = self._idle.setdefault(party, {})
            idle.pop(connection, None)
            idle[connection] = None
            if len(idle) > most:
                oldest = next(iter(idle))
                self.drop(oldest, parties)
                self._limiter.refused[What.CONNECTIONS.value, Of.ADDRESS.value] += 1
                oldest.give_up()

    def drop(self, connection: Connection, parties: Parties) -> None:
        """Counts a connection no longer, which has a request now or has ended. Calling it again does no harm."""
        for party, _ in parties:
            idle = self._idle.get(party)
            if idle is not None:
                idle.pop(connection, None)
                if not idle:
                    del self._idle[party]
