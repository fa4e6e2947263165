"""One play: a database, a load, faults for a while, and the judgement."""

from __future__ import annotations

import asyncio
import random
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from devtools.postgres import PostgresServer
from tests.chaos.faults import Fault, Faults
from tests.chaos.judge import Judgement, judge
from tests.chaos.load import Load
from tests.chaos.stage import Stage, set_up

DRAIN_SECONDS = 120.0
"""Time limit for everything to end after the last fault, in seconds."""


@dataclass
class Played:
    """The outcome of one play."""

    database: str
    seconds: float
    judgement: Judgement
    refused: Counter[str]
    times: dict[str, list[float]]
    trouble: list[str]

    @property
    def ok(self) -> bool:
        """Whether every promise was kept and everything recovered."""
        return not self.judgement.broken and not self.trouble


async def play(
    folder: Path,
    seed: int,
    seconds: float,
    *,
    postgres: PostgresServer | None = None,
    workers: int = 3,
    clients: int = 3,
    cpus: int = 5,
    silence: bool = True,
) -> Played:
    """Plays once.

    Args:
        folder: Folder for all files of this play.
        seed: Chooses faults and jobs. The interleaving of processes differs from play to play.
        seconds: Time with faults, in seconds; each kind comes at least once.
        postgres: The database's server, which suffers faults too; None for SQLite.
        workers: Number of worker processes.
        clients: Number of client connections.
        cpus: Number of jobs that a worker runs at once.
        silence: Whether connections also fall silent, which takes half a minute to notice; without, all pauses are
            short.
    """
    begun = time.monotonic()
    async with set_up(folder, postgres, workers=workers, clients=clients, cpus=cpus) as stage:
        load = Load(stage, seed)
        try:
            await load.start()
            times, trouble = await _hurt(stage, load, random.Random(seed), seconds, silence=silence)
            unanswered = await load.finish(DRAIN_SECONDS)
            # Only durable data counts: the judge asks a hub that has just restarted.
            await asyncio.to_thread(stage.hub.restart)
            judgement = await judge(stage, load.seen, unanswered)
        finally:
            await load.close()
        trouble += _defects(stage)
    database = "SQLite" if postgres is None else "Postgres"
    return Played(database, time.monotonic() - begun, judgement, load.seen.refused, times, trouble)


async def _hurt(
    stage: Stage, load: Load, chance: random.Random, seconds: float, *, silence: bool
) -> tuple[dict[str, list[float]], list[str]]:
    pause = 1.0 if silence else 0.3
    faults = Faults(stage, load, chance, longest=3 * pause)
    beside, short = faults.all(silence=silence)
    trouble: list[str] = []

    async def inflict(fault: Fault) -> None:
        name = fault.__name__
        try:
            await fault()
        except AssertionError as error:
            trouble.append(f"{name.replace('_', ' ')}: {error}")
            stage.wake_all()

    await faults.ready()
    going = [asyncio.create_task(inflict(fault)) for fault in beside]
    until = time.monotonic() + seconds
    due: list[Fault] = []
    first = True
    while first or time.monotonic() < until:
        if not due:
            due = list(short)
            chance.shuffle(due)
        await inflict(due.pop())
        first = first and bool(due)
        await asyncio.sleep(chance.uniform(0.2, 1) * pause)
    if going:
        await asyncio.wait(going)
    return dict(faults.times), trouble


def _defects(stage: Stage) -> list[str]:
    """Returns the tracebacks that processes printed; no fault is a reason for one."""
    found = []
    for process in stage.processes.started:
        said = process.output()
        if "Traceback" in said:
            at = said.index("Traceback")
            found.append(f"{process.name} ({process.log.name}) printed a traceback: {said[at : at + 1500]}")
    return found
