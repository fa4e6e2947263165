"""Idle connections: a sender has a number of them, and pays for one more with its oldest."""

from __future__ import annotations

from ipaddress import ip_network

from asman_server.limiting import Limiter, Limits
from asman_server.limiting.idle import IdleConnections
from asman_server.limiting.rates import Of


class Held:
    def __init__(self) -> None:
        self.closed = False

    def give_up(self) -> None:
        self.closed = True


def idle_of(most: int = 2) -> IdleConnections:
    limiter = Limiter(Limits(connections={Of.ADDRESS: most}), (ip_network("10.0.0.0/8"),))
    return IdleConnections(limiter, (ip_network("192.0.2.1/32"),))


def held(idle: IdleConnections, address: str) -> Held:
    made = Held()
    idle.add(made, idle.parties(address))
    return made


def test_one_too_many_costs_its_sender_the_oldest_and_nobody_else_anything() -> None:
    idle = idle_of()
    other = held(idle, "203.0.113.8")
    mine = [held(idle, "203.0.113.7") for _ in range(4)]
    assert [each.closed for each in mine] == [True, True, False, False]
    assert not other.closed


def test_a_connection_that_was_used_is_the_newest_again() -> None:
    idle = idle_of()
    parties = idle.parties("203.0.113.7")
    first, second = held(idle, "203.0.113.7"), held(idle, "203.0.113.7")
    idle.drop(first, parties)
    idle.add(first, parties)
    held(idle, "203.0.113.7")
    assert (first.closed, second.closed) == (False, True)


def test_a_wide_network_has_the_limits_of_sixteen_addresses() -> None:
    idle = idle_of(1)
    many = [held(idle, f"2001:db8:0:{network:x}::1") for network in range(17)]
    assert [each.closed for each in many] == [True] + [False] * 16


def test_nothing_is_remembered_of_connections_that_have_ended() -> None:
    idle = idle_of()
    for address in ("203.0.113.7", "2001:db8::1"):
        for _ in range(3):
            idle.drop(held(idle, address), idle.parties(address))
    assert len(idle) == 0


def test_a_trusted_proxy_and_a_sender_without_limits_are_not_counted() -> None:
    idle = idle_of()
    for address in ("192.0.2.1", "::ffff:192.0.2.1", "10.1.2.3"):
        assert not any(each.closed for each in [held(idle, address) for _ in range(5)])
    assert len(idle) == 0
