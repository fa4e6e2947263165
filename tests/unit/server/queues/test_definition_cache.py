"""Definitions are at hand when their jobs are next, and never take more memory than they may."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import pytest

from asman_server.queues import definition_cache
from asman_server.queues.definition_cache import AHEAD, LOW, DefinitionCache
from asman_server.storage.reader import Store
from asman_shared.definition import Definition
from tests.support.core_world import job_id


class Stored(Store):
    """A store that has the definitions of the jobs below a number, and counts how often it is asked."""

    def __init__(self, jobs: int) -> None:
        self.asked: list[int] = []
        self.jobs_stored = jobs

    async def definitions(self, ids: Sequence[str]) -> dict[str, Definition]:
        self.asked.append(len(ids))
        return {each: Definition(command=each) for each in ids if int(each, 16) < self.jobs_stored}


class Line:
    """The jobs that wait, in their order."""

    def __init__(self, jobs: int) -> None:
        self.first = 0
        self.jobs = jobs

    def __call__(self, count: int) -> Iterable[str]:
        return [job_id(number) for number in range(self.first, min(self.first + count, self.jobs))]


async def test_assigning_from_a_stored_queue_seldom_reads() -> None:
    jobs = 1000
    stored, line = Stored(jobs), Line(jobs)
    cache = DefinitionCache(stored, line, "q")
    missed = 0
    for number in range(jobs):
        line.first = number + 1
        found = cache.get(job_id(number))
        if found is None:
            missed += 1
            found = await cache.read(job_id(number))
        elif cache.low:
            await cache.read_ahead()
        assert found is not None
        assert found.command == job_id(number)
        cache.drop(job_id(number))
    assert missed == 1
    assert len(stored.asked) <= jobs / (AHEAD - LOW) + 2
    assert not cache.low or line.jobs > line.first


async def test_a_queue_whose_definitions_are_all_at_hand_is_not_read_again_and_again() -> None:
    stored = Stored(10)
    cache = DefinitionCache(stored, Line(10), "q")
    assert await cache.read(job_id(0)) is not None
    assert cache.low
    await cache.read_ahead()
    assert not cache.low


async def test_a_definition_that_is_not_stored_is_none() -> None:
    cache = DefinitionCache(Stored(0), Line(0), "q")
    assert await cache.read(job_id(7)) is None
    assert cache.get(job_id(7)) is None


def test_what_was_not_needed_for_longest_goes_first(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(definition_cache, "CACHED", 3 * (definition_cache.OVERHEAD + 100))
    cache = DefinitionCache(Stored(0), Line(0), "q")
    for number in range(3):
        cache.remember(job_id(number), Definition(), 100)
    assert cache.get(job_id(0)) is not None
    cache.remember(job_id(3), Definition(), 100)
    assert [cache.get(job_id(number)) is not None for number in range(4)] == [True, False, True, True]
    cache.drop(job_id(2))
    cache.remember(job_id(4), Definition(), 100)
    assert [cache.get(job_id(number)) is not None for number in (0, 3, 4)] == [True, True, True]
