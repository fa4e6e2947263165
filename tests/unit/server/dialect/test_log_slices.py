"""Logs of one kind by cursors: every line once, gaps shown, and what was read is not read again."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import pytest

from asman_server.core.job_state import state_of
from asman_server.dialect import log_slices as module
from asman_server.dialect.log_slices import Cursors, Kind, Place, Slice, read_slice
from asman_server.queues.shell import QueueShell
from asman_shared.messages import SYSTEM, LogLine
from asman_shared.states import Phase
from tests.support.log_harness import JOB, LogHarness


class Scene:
    """The log of one job, in which lines of both kinds are mixed."""

    def __init__(self) -> None:
        self.harness = LogHarness()
        self.cursors = Cursors()
        harness = self.harness

        async def job(_id: str) -> Any:
            return harness.job

        async def durable(job: Any) -> Any:
            return state_of(job)

        self.shell = cast(QueueShell, SimpleNamespace(name="q", logs=harness.logs, job=job, durable=durable))

    async def add(self, *phases: Phase, first: int = 0) -> None:
        await self.harness.add(
            *(LogLine(seq, 7, 0, f"{phase.value} {seq}", phase) for seq, phase in enumerate(phases, first))
        )

    async def read(self, kind: Kind, since: int = 0) -> Slice:
        return await read_slice(self.shell, self.cursors, JOB, kind, since)


B, R = Phase.BUILDING, Phase.RUNNING


@pytest.fixture
async def scene() -> Scene:
    return Scene()


def texts(found: Slice) -> list[str]:
    return [log[0].removesuffix("\n") for log in found.data]


async def test_each_kind_has_its_own_lines_and_counts_them_from_nought(scene: Scene) -> None:
    await scene.add(B, R, B, R, R)
    build, run = await scene.read("build"), await scene.read("run")
    assert texts(build) == ["building 0", "building 2"]
    assert texts(run) == ["running 1", "running 3", "running 4"]
    assert (build.slice_start, build.next_cursor, run.next_cursor, run.is_final) == (0, 2, 3, False)


@pytest.mark.parametrize("remembered", [True, False])
async def test_the_next_slice_begins_where_the_last_one_ended(scene: Scene, remembered: bool) -> None:
    await scene.add(B, R, R, B)
    first = await scene.read("run")
    await scene.add(R, B, R, first=4)
    if not remembered:
        scene.cursors = Cursors()
    second = await scene.read("run", first.next_cursor)
    assert texts(second) == ["running 4", "running 6"]
    assert (second.slice_start, second.next_cursor) == (2, 4)


async def test_asking_beyond_the_end_gives_nothing_and_stays_there(scene: Scene) -> None:
    await scene.add(R)
    found = await scene.read("run", 5)
    assert (texts(found), found.slice_start, found.next_cursor) == ([], 5, 5)


async def test_a_reader_beyond_the_end_changes_nothing_for_the_readers_after_it(scene: Scene) -> None:
    await scene.add(*[R] * 10)
    await scene.read("run", 20)
    await scene.add(*[R] * 15, first=10)
    found = await scene.read("run", 20)
    assert texts(found) == [f"running {seq}" for seq in range(20, 25)]
    assert (found.slice_start, found.next_cursor) == (20, 25)


async def test_a_slice_ends_before_lines_that_are_no_longer_kept_and_the_next_one_shows_it(scene: Scene) -> None:
    await scene.add(R, R)
    await scene.add(R, R, first=10)
    first = await scene.read("run")
    second = await scene.read("run", first.next_cursor)
    assert (texts(first), first.next_cursor) == (["running 0", "running 1"], 2)
    assert texts(second) == ["running 10", "running 11"]
    assert (second.slice_start, second.next_cursor) == (10, 12)


async def test_a_slice_has_a_largest_number_of_lines_and_of_bytes(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    await scene.add(*[R] * 7)
    monkeypatch.setattr(module, "SLICE_LINES", 3)
    sizes, since = [], 0
    for _ in range(3):
        found = await scene.read("run", since)
        sizes.append(len(found.data))
        since = found.next_cursor
    assert sizes == [3, 3, 1]
    monkeypatch.setattr(module, "SLICE_BYTES", len("running 0") + 1)
    assert len((await scene.read("run")).data) == 2


async def test_the_hubs_own_words_about_a_run_are_of_no_kind(scene: Scene) -> None:
    await scene.harness.add(LogLine(0, 7, SYSTEM, "said"), LogLine(1, 7, 0, "own"))
    assert texts(await scene.read("run")) == ["own"]


def test_places_are_remembered_up_to_a_bound_and_the_oldest_go(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "REMEMBERED", 2)
    cursors = Cursors()
    for number in (1, 2):
        cursors.remember(("q", "a", 1, "run", number), number)
    cursors.remember(("q", "a", 1, "run", 1), 11)
    cursors.remember(("q", "a", 1, "run", 3), 3)
    assert [cursors.get(("q", "a", 1, "run", number)) for number in (1, 2, 3)] == [11, None, 3]


def test_cursors_of_a_deleted_queue_are_forgotten() -> None:
    cursors = Cursors()
    places: list[Place] = [(queue, "a" * 64, 1, "run", 5) for queue in ("q", "r")]
    for place in places:
        cursors.remember(place, 7)
    cursors.queue_deleted("q")
    assert [cursors.get(place) for place in places] == [None, 7]
