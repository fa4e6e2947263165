"""How often a transfer is tried, and when it is given up."""

from __future__ import annotations

import asyncio

import pytest

from asman_shared.errors import AsmanError, ConnectionFailed, Forbidden, NotFound, Unavailable
from asman_shared.transfer.retry import Retries, RetryPolicy, Stale, UnknownHost


@pytest.fixture(autouse=True)
def waits(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The waits between tries, which take no time here."""
    found: list[float] = []

    async def sleep(seconds: float) -> None:
        found.append(seconds)

    monkeypatch.setattr(asyncio, "sleep", sleep)
    return found


async def failures(retries: Retries, error: AsmanError, most: int = 50) -> int:
    """How often it may fail with an error before that is raised."""
    for count in range(1, most + 1):
        try:
            await retries.failed(error)
        except AsmanError:
            return count
    return most


async def test_an_error_that_trying_again_can_not_help_is_raised_at_once(waits: list[float]) -> None:
    error = NotFound("it is gone")
    with pytest.raises(NotFound) as caught:
        await Retries(RetryPolicy()).failed(error)
    assert caught.value is error
    assert waits == []


@pytest.mark.parametrize("tries", [1, 2, 8])
async def test_so_many_failures_in_a_row_are_enough(tries: int, waits: list[float]) -> None:
    assert await failures(Retries(RetryPolicy(tries=tries)), Unavailable("away")) == tries
    assert len(waits) == tries - 1


async def test_an_unknown_host_is_given_up_soon_whatever_the_patience(waits: list[float]) -> None:
    policy = RetryPolicy(unknown=3, patience=120.0)
    unknown = UnknownHost("there is no host named 'x'")
    retries = Retries(policy)
    assert await failures(retries, unknown) == 3
    assert sum(waits) < 5
    with pytest.raises(NotFound, match="there is no host named 'x'"):
        await Retries(RetryPolicy(unknown=1)).failed(unknown)
    assert await failures(Retries(policy), ConnectionFailed("can't be looked up now"), 20) == 20
    assert await failures(Retries(RetryPolicy(tries=5)), unknown) == 5, "the bound is for names of strangers alone"


async def test_bytes_that_moved_make_failures_count_anew() -> None:
    retries = Retries(RetryPolicy(tries=3, stale=3))
    for _ in range(5):
        for _ in range(2):
            await retries.failed(Unavailable("away"))
            await retries.failed(Stale("expired"))
        retries.moved()
    assert await failures(retries, Unavailable("away")) == 3


async def test_with_patience_the_tries_are_not_enough_and_the_time_is() -> None:
    retries = Retries(RetryPolicy(tries=2, most=0.001, patience=0.2))
    began = asyncio.get_running_loop().time()
    assert await failures(retries, Unavailable("away"), 10**9) > 2
    assert asyncio.get_running_loop().time() - began >= 0.2


async def test_without_a_bound_it_goes_on_for_as_long_as_its_caller_waits() -> None:
    assert await failures(Retries(RetryPolicy(tries=None)), Unavailable("away")) == 50


async def test_addresses_that_are_never_good_are_given_up_even_by_the_patient() -> None:
    retries = Retries(RetryPolicy(tries=None, stale=3))
    for _ in range(2):
        await retries.failed(Stale("expired"))
    with pytest.raises(Forbidden, match="expired") as caught:
        await retries.failed(Stale("expired"))
    assert not caught.value.retry


async def test_waits_grow_up_to_their_bound_and_begin_anew_after_bytes_moved(waits: list[float]) -> None:
    retries = Retries(RetryPolicy(tries=None, most=0.5))
    await failures(retries, Unavailable("away"))
    assert max(waits) <= 0.5
    assert max(waits) > 0.1
    retries.moved()
    waits.clear()
    await retries.failed(Unavailable("away"))
    assert waits[0] <= 0.1
