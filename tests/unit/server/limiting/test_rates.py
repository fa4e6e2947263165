"""Limits as the settings have them."""

from __future__ import annotations

import pytest

from asman_server.config import NO_LIMITS, HubConfig
from asman_server.limiting.rates import Limits, Of, Rate, What, counts, parse_rate, rates
from asman_shared.errors import BadUnit
from asman_shared.units import GIB, KIB


def test_a_rate_has_a_number_a_unit_and_a_burst() -> None:
    assert parse_rate("50/s:20000") == Rate(50, "s", 20000)
    assert parse_rate("120/h:200") == Rate(120, "h", 200)
    assert parse_rate("256KiB/s:10GiB", size=True) == Rate(256 * KIB, "s", 10 * GIB)


def test_without_a_burst_a_minute_of_the_rate_may_come_at_once() -> None:
    assert parse_rate("50/s") == Rate(50, "s", 3000)
    assert parse_rate("120/m") == Rate(120, "m", 120)


@pytest.mark.parametrize("text", ["0", "none", " None ", "0/s"])
def test_zero_and_none_are_no_limit(text: str) -> None:
    assert parse_rate(text) is None
    assert rates(text, Of.ADDRESS) == {}


@pytest.mark.parametrize("text", ["50", "50/y", "-1/s", "1.5/s", "50/s:", "50/s:x", "fast", "1/h", "50/s:0"])
def test_what_is_no_rate_is_refused_with_an_example(text: str) -> None:
    with pytest.raises(BadUnit):
        parse_rate(text)


def test_each_party_has_a_limit_of_its_own_and_the_first_is_the_address() -> None:
    assert rates("5/s,queue=10/s", Of.ADDRESS, Of.QUEUE) == {
        Of.ADDRESS: Rate(5, "s", 300),
        Of.QUEUE: Rate(10, "s", 600),
    }
    assert counts("address=0,queue=7", Of.ADDRESS, Of.QUEUE) == {Of.QUEUE: 7}


@pytest.mark.parametrize("text", ["key=5/s", "5/s,address=6/s", "planet=5/s"])
def test_a_party_that_does_not_count_or_comes_twice_is_refused(text: str) -> None:
    with pytest.raises(BadUnit, match="no limit here"):
        rates(text, Of.ADDRESS, Of.QUEUE)


def test_a_rate_is_said_in_the_words_of_its_unit() -> None:
    assert Rate(50, "s", 1).words(What.SUBMITS) == "50 submits a second"
    assert Rate(1, "h", 1).words(What.QUEUES) == "1 new queue an hour"
    assert Rate(256 * KIB, "s", 1).words(What.BYTES) == "256 KiB of blobs and logs a second"


def test_a_sweep_of_ten_thousand_jobs_fits_the_limits_of_a_hub_without_settings() -> None:
    found = HubConfig().limits_on_use
    assert found.submits[Of.ADDRESS].burst >= 10_000
    assert found.submits[Of.QUEUE].burst >= 10_000
    assert min(found.queued.values()) >= 10_000


def test_a_hub_can_do_without_any_limit() -> None:
    assert HubConfig(**NO_LIMITS).limits_on_use == Limits()  # type: ignore[arg-type]
