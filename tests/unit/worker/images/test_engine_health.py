"""Engines that hang or stay away are noticed, and short restarts are not."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from asman_worker.images.engine_health import LOOK_SECONDS, PATIENT_SECONDS, EngineHealth
from tests.simulation.loop import run_virtual


class Engine:
    """An engine that answers, hangs for a while before it says no, or refuses at once."""

    def __init__(self) -> None:
        self.up = True
        self.slow = 0.0

    async def answers(self) -> bool:
        await asyncio.sleep(0.0 if self.up else self.slow)
        return self.up


def watched(play: Callable[[Engine, EngineHealth, list[str]], Awaitable[None]]) -> None:
    """Plays on a virtual clock while the engine is watched."""

    async def run() -> None:
        engine = Engine()
        health = EngineHealth(engine.answers)
        told: list[str] = []
        watching = asyncio.create_task(health.watch(lambda: told.append(health.problem())))
        await play(engine, health, told)
        watching.cancel()
        await asyncio.wait((watching,))

    run_virtual(run)


def test_an_engine_that_hangs_is_told_once_and_within_thirty_seconds() -> None:
    async def play(engine: Engine, health: EngineHealth, told: list[str]) -> None:
        await asyncio.sleep(LOOK_SECONDS / 2)
        engine.up, engine.slow = False, 20.0
        await asyncio.sleep(LOOK_SECONDS / 2 + 20.1)
        assert health.problem() == "the container engine does not answer"
        await asyncio.sleep(300)
        assert told == ["the container engine does not answer"]
        engine.up = True
        await asyncio.sleep(LOOK_SECONDS + 20.1)
        assert health.problem() == ""

    watched(play)


def test_an_engine_that_restarts_is_no_problem_and_one_that_stays_away_is() -> None:
    async def play(engine: Engine, health: EngineHealth, told: list[str]) -> None:
        engine.up = False
        await asyncio.sleep(PATIENT_SECONDS - 1)
        assert health.problem() == ""
        engine.up = True
        await asyncio.sleep(2 * LOOK_SECONDS)
        engine.up = False
        await asyncio.sleep(PATIENT_SECONDS - 1)
        assert told == []
        await asyncio.sleep(2 * LOOK_SECONDS)
        assert told == [health.problem()] != [""]

    watched(play)
