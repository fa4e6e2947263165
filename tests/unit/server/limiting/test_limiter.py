"""The one place that decides what is taken from whom."""

from __future__ import annotations

import pytest

from asman_server.access import ALL_RIGHTS, Access
from asman_server.front import parse_trusted
from asman_server.limiting import Limiter, Limits, unlimited
from asman_server.limiting import limiter as limiter_module
from asman_server.limiting.rates import Of, Rate
from asman_shared.errors import Overloaded

STRANGER = "203.0.113.7"
OTHER = "203.0.113.8"


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def access(sender: str = STRANGER, queue: str = "q", key: str = "") -> Access:
    return Access(queue, ALL_RIGHTS, key, sender)


@pytest.fixture
def clock() -> Clock:
    return Clock()


def taken(limiter: Limiter, who: Access, most: int = 1000) -> int:
    """The number of submissions that are taken until one is refused."""
    for number in range(most):
        try:
            limiter.submit(who, 0)
        except Overloaded:
            return number
    return most


def test_a_refusal_says_how_much_is_taken_from_whom_and_when_to_try_again(clock: Clock) -> None:
    limiter = Limiter(Limits(submits={Of.ADDRESS: Rate(50, "s", 100)}), clock=clock)
    assert taken(limiter, access()) == 100
    with pytest.raises(Overloaded, match="takes 50 submits a second from one address; try again in 20 ms") as refused:
        limiter.submit(access(), 0)
    assert refused.value.retry_after == pytest.approx(0.02)
    assert taken(limiter, access(OTHER)) == 100
    clock.now += 1
    assert taken(limiter, access()) == 50
    assert limiter.refused["submits", "address"] == 4


def test_keys_and_queues_have_limits_beside_those_of_their_senders(clock: Clock) -> None:
    limits = Limits(submits={Of.ADDRESS: Rate(1, "s", 10), Of.KEY: Rate(1, "s", 4), Of.QUEUE: Rate(1, "s", 15)})
    limiter = Limiter(limits, clock=clock)
    assert taken(limiter, access(key="k")) == 4
    assert taken(limiter, access()) == 6
    assert taken(limiter, access(OTHER)) == 5  # of the queue's 15
    assert taken(limiter, access(OTHER, queue="another")) == 5


def test_a_network_of_ipv6_counts_as_one_sender_and_a_wider_one_as_sixteen(clock: Clock) -> None:
    limiter = Limiter(Limits(submits={Of.ADDRESS: Rate(1, "s", 10)}), clock=clock)
    senders = [limiter.sender(f"2001:db8:0:{net:x}::{host:x}") for net in range(40) for host in (1, 2)]
    assert len(set(senders)) == 40
    assert sum(taken(limiter, access(sender, queue=sender)) for sender in senders) == 160
    assert limiter.sender("::ffff:203.0.113.7") == limiter.sender(STRANGER) == STRANGER


def test_exempt_networks_and_a_hub_without_limits_have_senders_without_limits(clock: Clock) -> None:
    limiter = Limiter(Limits(submits={Of.ADDRESS: Rate(1, "s", 1)}), parse_trusted("127.0.0.0/8, ::1"), clock)
    assert limiter.sender("127.0.0.1") == limiter.sender("::1") == limiter.sender("::ffff:127.0.0.1") == ""
    assert limiter.sender("") == "unknown"
    assert taken(limiter, access("")) == 1000
    assert limiter.tracked == 0
    assert unlimited().sender(STRANGER) == ""


def test_many_senders_need_bounded_memory(clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limiter_module, "WAITING", 500)
    monkeypatch.setattr(limiter_module, "CHARGED", 500)
    limits = Limits(
        submits={Of.ADDRESS: Rate(1, "s", 1), Of.QUEUE: Rate(1, "s", 1)},
        queued={Of.ADDRESS: 5},
        bytes={Of.ADDRESS: Rate(1, "s", 10)},
        queues={Of.ADDRESS: Rate(1, "s", 1)},
    )
    limiter = Limiter(limits, clock=clock)
    for number in range(30_000):
        who = access(limiter.sender(f"2001:db8:{number:x}::1"), queue=f"q{number}")
        limiter.submit(who, 0)
        limiter.new_queue(who)
        limiter.store_once(who, {f"{number:064x}": 5})
        limiter.waits(who, who.queue, "job")
        limiter.patience(who.sender)
    assert limiter.tracked <= 6 * 10_000 + 1000
    assert len(limiter.waiting) == 500
    assert len(limiter._charged) == 500


def test_waiting_jobs_of_a_sender_are_counted_over_all_queues_until_they_run(clock: Clock) -> None:
    limiter = Limiter(Limits(queued={Of.ADDRESS: 2, Of.QUEUE: 100}), clock=clock)
    for queue in ("a", "b"):
        limiter.submit(access(queue=queue), 0)
        limiter.waits(access(queue=queue), queue, "job")
    limiter.waits(access(queue="a"), "a", "job")  # joined
    with pytest.raises(Overloaded, match="takes 2 queued jobs at the same time from one address"):
        limiter.submit(access(queue="c"), 0)
    limiter.submit(access(OTHER, queue="c"), 99)
    with pytest.raises(Overloaded, match="takes 100 queued jobs at the same time for one queue"):
        limiter.submit(access(OTHER, queue="c"), 100)
    limiter.waits_no_more("a", "job")
    limiter.waits_no_more("a", "job")
    limiter.submit(access(queue="c"), 0)


def test_a_blob_is_paid_once_and_a_sender_in_debt_may_not_submit(clock: Clock) -> None:
    limiter = Limiter(
        Limits(bytes={Of.ADDRESS: Rate(10, "s", 100)}, submits={Of.ADDRESS: Rate(1, "s", 9)}), clock=clock
    )
    limiter.store_once(access(), {"blob": 60})
    limiter.store_once(access(), {"blob": 60})
    with pytest.raises(Overloaded, match="10 B of blobs and logs a second") as refused:
        limiter.store_once(access(), {"other": 60})
    assert refused.value.retry_after == pytest.approx(2.0)
    assert limiter.came(access(), 140) == pytest.approx(10.1)
    with pytest.raises(Overloaded, match="blobs and logs"):
        limiter.submit(access(), 0)
    clock.now += 10.2
    limiter.submit(access(), 0)


def test_connections_are_counted_while_they_last(clock: Clock) -> None:
    limiter = Limiter(Limits(connections={Of.ADDRESS: 2, Of.QUEUE: 3}), clock=clock)
    with limiter.connection(STRANGER, "q"), limiter.connection(STRANGER, "q"):
        with (
            pytest.raises(Overloaded, match="2 connections at the same time from one address"),
            limiter.connection(STRANGER, "other"),
        ):
            pass
        with (
            limiter.connection(OTHER, "q"),
            pytest.raises(Overloaded, match=r"3 connections .* for one queue"),
            limiter.connection(OTHER, "q"),
        ):
            pass
        with limiter.connection("", "q"), limiter.connection("", "q"):
            pass
    with limiter.connection(STRANGER, "q"):
        pass
    assert limiter.tracked == 0


def test_a_hundredth_of_the_connections_may_be_opened_each_second(clock: Clock) -> None:
    limiter = Limiter(Limits(connections={Of.ADDRESS: 200}), clock=clock)
    for _ in range(200):
        limiter.opened(STRANGER)
    with pytest.raises(Overloaded):
        limiter.opened(STRANGER)
    clock.now += 1
    limiter.opened(STRANGER)
    limiter.opened(STRANGER)
    with pytest.raises(Overloaded):
        limiter.opened(STRANGER)


def test_who_goes_on_after_a_thousand_refusals_is_answered_late_and_nobody_else(clock: Clock) -> None:
    limiter = Limiter(Limits(submits={Of.ADDRESS: Rate(1, "s", 1)}), clock=clock)
    waits = [limiter.patience(STRANGER) for _ in range(3000)]
    assert max(waits[:999]) == 0
    assert waits[1100] > 0
    assert max(waits) == limiter_module.PATIENCE
    assert limiter.patience(OTHER) == 0
    assert limiter.patience("") == 0


def test_limits_are_told_ahead_to_those_who_have_them(clock: Clock) -> None:
    limits = Limits(submits={Of.ADDRESS: Rate(50, "s", 100), Of.QUEUE: Rate(2, "m", 600)}, connections={Of.ADDRESS: 7})
    limiter = Limiter(limits, clock=clock)
    limiter.submit(access(), 0)
    told = [(rate.what, rate.of, rate.most, rate.rate, rate.left) for rate in limiter.told(access())]
    assert told == [
        ("submits", "address", 100, 50, 99),
        ("submits", "queue", 600, 2 / 60, 599),
        ("connections", "address", 7, None, None),
    ]
    assert limiter.headers(access()) == {
        "RateLimit-Policy": '"submits-address";q=100;w=2, "submits-queue";q=600;w=18000',
        "RateLimit": '"submits-address";r=99;t=1, "submits-queue";r=599;t=30',
    }
    assert limiter.told(access("")) == []
    assert limiter.headers(access("")) == {}
