"""A task that ends by itself is named."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

import pytest

from asman_shared.running.supervisor import Supervisor
from devtools.patience import PATIENCE


async def fails() -> None:
    raise RuntimeError("a bug")


async def ends() -> None:
    pass


@pytest.mark.parametrize("work", [fails, ends])
async def test_a_task_that_ends_by_itself_is_named(work: Callable[[], object]) -> None:
    supervisor = Supervisor(logging.getLogger("asman.hub"), "hub")
    supervisor.start("sweeper", work())  # type: ignore[arg-type]
    async with asyncio.timeout(PATIENCE):
        await supervisor.ended.wait()
    assert supervisor.failed == "sweeper"


async def test_a_task_that_may_end_is_named_only_if_it_fails() -> None:
    supervisor = Supervisor(logging.getLogger("asman.hub"), "hub")
    await supervisor.start("looks once", ends(), may_end=True)
    assert (supervisor.failed, supervisor.ended.is_set()) == ("", False)
    await supervisor.start("looks twice", fails(), may_end=True)
    assert (supervisor.failed, supervisor.ended.is_set()) == ("looks twice", True)


async def test_the_first_that_ended_is_the_one_that_is_named() -> None:
    supervisor = Supervisor(logging.getLogger("asman.hub"), "hub")
    await asyncio.gather(supervisor.start("first", fails()), supervisor.start("second", ends()))
    assert supervisor.failed == "first"


async def test_a_task_may_end_when_the_hub_closes_or_cancels_it() -> None:
    supervisor = Supervisor(logging.getLogger("asman.hub"), "hub")
    waiting = supervisor.start("waiting", asyncio.sleep(PATIENCE))
    await asyncio.sleep(0)
    waiting.cancel()
    await asyncio.wait([waiting])
    supervisor.close()
    await supervisor.start("late", ends())
    assert (supervisor.failed, supervisor.ended.is_set()) == ("", False)
