"""Attempts handed to workers with their definitions, which are at hand or read meanwhile."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest

from asman_server.core import Job
from asman_server.core import effects as fx
from asman_server.core import events as ev
from asman_server.queues import dispatch
from asman_server.queues.dispatch import Dispatcher
from asman_server.storage.reader import Store
from asman_shared.definition import Definition
from asman_shared.errors import Unavailable
from asman_shared.states import Fault, Reason
from devtools.patience import PATIENCE
from tests.support.core_world import World, job_id

WORKER = "w".ljust(16, ".")


class Stored(Store):
    """A store that has a definition for every job, answers when it may, and can be away."""

    def __init__(self) -> None:
        self.may = asyncio.Event()
        self.may.set()
        self.away = False
        self.lacks: set[str] = set()
        self.asked: list[str] = []

    async def definitions(self, ids: Sequence[str]) -> dict[str, Definition]:
        self.asked += ids
        await self.may.wait()
        if self.away:
            raise Unavailable("the database is away")
        return {each: Definition(command=each) for each in ids if each not in self.lacks}


class Link:
    """A worker's connection that keeps what it is handed."""

    session = 1

    def __init__(self) -> None:
        self.handed: list[tuple[str, int, str]] = []

    def assign(self, job: Job, attempt: int, definition: Definition) -> None:
        assert definition.command == job.id
        self.handed.append((job.id, attempt, str(definition.command)))

    def abort(self, job: str, attempt: int, why: str) -> None: ...

    def acknowledge(self, job: str, attempt: int, accepted: bool) -> None: ...

    def resumed(self, effect: fx.Resumed) -> None: ...

    def replaced(self) -> None: ...

    def dismissed(self) -> None: ...


class Scene:
    """A queue with one worker, whose assignments go through a dispatcher."""

    def __init__(self) -> None:
        self.world = World()
        self.store = Stored()
        self.link = Link()
        self.applied: list[ev.Event] = []
        self.dispatcher = Dispatcher(self.world.core, self.store, {WORKER: self.link}, self.apply, "q")

    def apply(self, event: ev.Event) -> None:
        self.applied.append(event)
        self.world.send(event)

    def assign(self, number: int) -> None:
        self.world.submit(number)
        for effect in self.world.effects(fx.Assign):
            self.dispatcher.assign(effect)

    def handed(self) -> list[int]:
        return [int(job, 16) for job, _, _ in self.link.handed]


@pytest.fixture
async def scene() -> Scene:
    made = Scene()
    made.world.join("w", cpus=4)
    return made


async def test_a_definition_that_is_at_hand_goes_out_at_once(scene: Scene) -> None:
    scene.dispatcher.definitions.remember(job_id(1), Definition(command=job_id(1)), 10)
    scene.assign(1)
    assert scene.handed() == [1]
    await scene.dispatcher.close()


async def test_one_that_is_not_is_read_and_the_assignment_stands_meanwhile(scene: Scene) -> None:
    scene.store.may.clear()
    scene.assign(1)
    assert (scene.handed(), scene.dispatcher.busy) == ([], True)
    scene.store.may.set()
    await scene.dispatcher.close()
    assert scene.handed() == [1]
    assert scene.applied == []
    await asyncio.sleep(0)
    assert not scene.dispatcher.busy


async def test_a_store_that_is_away_is_asked_again_before_the_assignment_is_given_back(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dispatch, "FETCH_WAIT", 0.001)
    monkeypatch.setattr(dispatch, "FETCH_PATIENCE", 0.005)
    scene.store.away = True
    scene.assign(1)
    scene.world.drain("w")
    async with asyncio.timeout(PATIENCE):
        while not scene.applied:
            await asyncio.sleep(0.001)
    (event,) = scene.applied
    assert isinstance(event, ev.AttemptReleased)
    assert (event.incarnation, event.job, event.attempt, event.lost) == (WORKER, job_id(1), 1, False)
    assert (scene.handed(), scene.world.core.jobs[job_id(1)].losses) == ([], 0)
    assert len(scene.store.asked) >= 2


async def test_a_store_that_never_answers_costs_the_job_no_attempt(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dispatch, "FETCH_PATIENCE", 0.01)
    scene.store.may.clear()
    scene.assign(1)
    scene.world.drain("w")
    async with asyncio.timeout(PATIENCE):
        while not scene.applied:
            await asyncio.sleep(0.001)
    (event,) = scene.applied
    assert isinstance(event, ev.AttemptReleased)
    assert (event.incarnation, event.job, event.attempt, event.lost) == (WORKER, job_id(1), 1, False)
    assert (scene.handed(), scene.world.core.jobs[job_id(1)].losses) == ([], 0)


async def test_a_store_that_comes_back_in_time_lets_the_assignment_stand(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dispatch, "FETCH_WAIT", 0.001)
    scene.store.away = True
    scene.assign(1)
    async with asyncio.timeout(PATIENCE):
        while len(scene.store.asked) < 2:
            await asyncio.sleep(0.001)
        scene.store.away = False
        while not scene.handed():
            await asyncio.sleep(0.001)
    assert (scene.handed(), scene.applied) == ([1], [])


async def test_closing_waits_for_no_further_try(scene: Scene) -> None:
    scene.store.away = True
    scene.store.may.clear()
    scene.assign(1)
    closing = asyncio.create_task(scene.dispatcher.close())
    await asyncio.sleep(0)
    scene.store.may.set()
    await closing
    assert scene.store.asked == [job_id(1)]
    assert isinstance(scene.applied[0], ev.AttemptReleased)


async def test_a_job_whose_definition_is_not_stored_ends_with_an_error_of_the_hub(scene: Scene) -> None:
    scene.store.lacks = {job_id(1)}
    scene.assign(1)
    async with asyncio.timeout(PATIENCE):
        while not scene.applied:
            await asyncio.sleep(0.001)
    verdict = scene.world.core.jobs[job_id(1)].verdict
    assert verdict is not None
    assert (verdict.reason, verdict.fault, verdict.message) == (
        Reason.ERROR,
        Fault.HUB,
        "the hub has lost the definition of this job",
    )
    assert scene.handed() == []


async def test_an_attempt_that_ended_while_its_definition_was_read_is_not_handed_out(scene: Scene) -> None:
    scene.store.may.clear()
    scene.assign(1)
    scene.world.cancel(1)
    scene.store.may.set()
    await scene.dispatcher.close()
    assert (scene.handed(), scene.applied) == ([], [])


async def test_a_worker_that_left_meanwhile_is_handed_nothing(scene: Scene) -> None:
    links: dict[str, Link] = {}
    dispatcher = Dispatcher(scene.world.core, scene.store, links, scene.apply, "q")  # type: ignore[arg-type]
    scene.world.submit(1)
    (effect,) = scene.world.effects(fx.Assign)
    dispatcher.assign(effect)
    await dispatcher.close()
    assert scene.applied == []


async def test_definitions_of_the_jobs_that_are_next_are_read_ahead(scene: Scene) -> None:
    for number in range(1, 9):
        scene.world.submit(number)
    job = scene.world.core.jobs[job_id(1)]
    await scene.dispatcher.definitions.read(job.id)
    worker = scene.world.core.workers[WORKER]
    scene.dispatcher.assign(fx.Assign(worker, job, job.attempt))
    await scene.dispatcher.close()
    assert {job_id(number) for number in range(5, 9)} <= set(scene.store.asked)


async def test_reading_ahead_may_fail_and_harms_nothing(scene: Scene) -> None:
    for number in range(1, 9):
        scene.world.submit(number)
    scene.dispatcher.definitions.remember(job_id(1), Definition(command=job_id(1)), 10)
    scene.store.away = True
    job = scene.world.core.jobs[job_id(1)]
    scene.dispatcher.assign(fx.Assign(scene.world.core.workers[WORKER], job, job.attempt))
    await scene.dispatcher.close()
    assert (scene.handed(), scene.applied) == ([1], [])
