"""How far a phase is: told to who follows the job, seldom enough, and never of what is over."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest

from asman_server.delivery.fanout import Fanout
from asman_server.queues.progress import ProgressNews
from asman_shared.encoded import EncodedMessage
from asman_shared.messages import Counts, JobState, PhaseProgress, PhaseReport
from asman_shared.states import Phase
from tests.support.core_world import World, job_id

WORKER = "w".ljust(16, ".")


class Follower:
    """A client that keeps what it is told."""

    def __init__(self) -> None:
        self.told: list[PhaseProgress] = []
        self.something = asyncio.Event()

    def changed(self, encoded: EncodedMessage, state: JobState) -> None:
        raise AssertionError("progress is no change")

    def announce(self, encoded: EncodedMessage) -> None:
        assert isinstance(encoded.message, PhaseProgress)
        self.told.append(encoded.message)
        self.something.set()

    async def next(self) -> PhaseProgress:
        self.something.clear()
        await asyncio.wait_for(self.something.wait(), 10)
        return self.told[-1]


class Scene:
    """A job that is pulled by the worker ``w``, and somebody who follows it."""

    def __init__(self) -> None:
        self.world = World()
        self.world.join("w", cpus=4)
        self.world.submit(1)
        self.world.phase("w", 1, Phase.PULLING)
        self.fanout = Fanout(Counts)
        self.news = ProgressNews(self.world.core, self.fanout)
        self.follower = Follower()
        self.fanout.follow(job_id(1), self.follower)

    def says(
        self, done: int, *, total: int = 100, phase: Phase = Phase.PULLING, attempt: int = 1, job: int = 1
    ) -> None:
        report = PhaseReport(job=job_id(job), attempt=attempt, phase=phase, done=done, total=total, unit="bytes")
        self.news.report(WORKER, report)

    @property
    def told(self) -> list[int]:
        return [news.done for news in self.follower.told]


@pytest.fixture
def scene() -> Iterator[Scene]:
    made = Scene()
    yield made
    made.news.stop()


async def test_the_first_word_goes_at_once_and_then_only_the_newest_now_and_then(scene: Scene) -> None:
    for done in range(100):
        scene.says(done)
    assert scene.told == [0]
    assert await scene.follower.next() == PhaseProgress(job_id(1), 1, Phase.PULLING, 99, 100, "bytes")
    scene.says(100)
    assert scene.told == [0, 99]
    await scene.follower.next()
    assert scene.told == [0, 99, 100]


async def test_it_goes_to_those_who_follow_the_job_and_is_part_of_no_stream(scene: Scene) -> None:
    watcher = Follower()
    scene.fanout.watch(watcher)
    scene.says(1)
    assert (scene.told, watcher.told, scene.fanout.seq) == ([1], [], 0)
    scene.fanout.unfollow(job_id(1), scene.follower)
    scene.world.submit(2)
    scene.world.phase("w", 2, Phase.PULLING)
    scene.says(1, job=2)
    assert scene.told == [1]


async def test_only_the_live_attempt_in_its_phase_is_believed(scene: Scene) -> None:
    scene.says(1, attempt=2)
    scene.says(1, phase=Phase.BUILDING)
    scene.says(1, job=9)
    assert scene.told == []
    scene.says(1)
    scene.says(200)
    scene.world.phase("w", 1, Phase.RUNNING)
    scene.fanout.follow(job_id(2), scene.follower)
    scene.world.submit(2)
    scene.world.phase("w", 2, Phase.PULLING)
    scene.says(3, job=2)
    scene.says(4, job=2)
    assert (await scene.follower.next()).done == 4  # by then what waited of the first has been looked at, and dropped
    assert scene.told == [1, 3, 4]


async def test_what_is_done_is_never_more_than_there_is(scene: Scene) -> None:
    scene.says(500, total=100)
    assert scene.told == [100]


async def test_nothing_is_told_after_the_end(scene: Scene) -> None:
    scene.says(1)
    scene.says(2)
    scene.news.stop()
    scene.says(3)
    assert scene.told == [1, 3]
