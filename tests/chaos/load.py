"""The load of chaos: clients that submit jobs with the real library and wait, and one that watches the queue."""

from __future__ import annotations

import asyncio
import random
from collections import Counter, defaultdict
from dataclasses import dataclass, field

import asman
from asman_shared.messages import JobState
from asman_shared.states import State
from tests.chaos.runs import SCRIPT, clock
from tests.chaos.stage import QUEUE, Stage

USERS = 20
"""Number of unfinished jobs of each client at any time."""
JOINED = 0.15
"""Share of jobs that a second client submits too; it joins the run or finds the result."""

Ending = tuple[int, str, int | None, int]
"""Identity of a result: attempt, reason, exit code and time of acceptance."""


def ending_of(state: JobState) -> Ending | None:
    """Returns the ending of a finished job, for comparison."""
    if state.state is not State.FINISHED or state.verdict is None:
        return None
    return (state.attempt, state.verdict.reason.value, state.verdict.exit_code, state.finished)


@dataclass
class Seen:
    """The answers that clients got; the judge compares them with the hub's final state.

    Attributes:
        submitted: Jobs that a client tried to submit.
        acknowledged: Jobs that the hub acknowledged.
        endings: The endings of each job, as told to any client at any time.
        backwards: Jobs of which a client was told a lower revision or attempt than before.
        refused: Errors that clients met, by kind.
        waited: Number of waits that ended with a result.
    """

    submitted: set[str] = field(default_factory=set)
    acknowledged: set[str] = field(default_factory=set)
    endings: dict[str, set[Ending]] = field(default_factory=lambda: defaultdict(set))
    backwards: set[str] = field(default_factory=set)
    refused: Counter[str] = field(default_factory=Counter)
    waited: int = 0

    def told(self, state: JobState) -> None:
        """Notes a job's state that a client was told."""
        ending = ending_of(state)
        if ending is not None:
            self.endings[state.id].add(ending)


class Load:
    """Clients that submit jobs with the real library and wait for them, and one that watches the whole queue.

    Args:
        stage: The actors.
        seed: Chooses the durations of jobs, and the second clients.
    """

    def __init__(self, stage: Stage, seed: int) -> None:
        self.seen = Seen()
        self._stage = stage
        self._seed = seed
        self._chance = random.Random(seed)
        self._numbers = 0
        self._stopping = asyncio.Event()
        self._queues: list[asman.Queue] = []
        self._tasks: list[asyncio.Task[None]] = []
        self._watcher: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Opens the clients and starts the load."""
        for proxy in self._stage.clients:
            queue = asman.connect(f"http://127.0.0.1:{proxy.port}/q/{QUEUE}", reconnect=None)
            await queue.open()
            self._queues.append(queue)
        self._tasks = [
            asyncio.create_task(self._user(client)) for client in range(len(self._queues)) for _ in range(USERS)
        ]
        self._watcher = asyncio.create_task(self._watch())

    async def answered(self, client: int) -> float:
        """Sends a request over a client's present connection; returns the time of the answer."""
        while True:
            try:
                await self._queues[client].workers()
                return clock()
            except asman.AsmanError as error:
                self.seen.refused[f"ask: {error.code}"] += 1
                await asyncio.sleep(0.05)

    def stop(self) -> None:
        """Stops submitting new jobs."""
        self._stopping.set()

    async def finish(self, seconds: float) -> int:
        """Waits for all submitted jobs; returns the number of users that still wait after ``seconds``."""
        self.stop()
        _, waiting = await asyncio.wait(self._tasks, timeout=seconds)
        for task in self._tasks:
            if task.done() and not task.cancelled() and (error := task.exception()) is not None:
                raise error
        return len(waiting)

    async def close(self) -> None:
        """Closes the clients."""
        tasks = [*self._tasks, *([self._watcher] if self._watcher else [])]
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)
        for queue in self._queues:
            await queue.close()

    # ---------------------------------------------------------------------------------------------------- users

    def _next(self) -> dict[str, str]:
        self._numbers += 1
        nap = 1.5 if self._chance.random() < 0.05 else self._chance.uniform(0.01, 0.3)
        return {
            "RUNS": str(self._stage.runs.file),
            "NAP": f"{nap:.3f}",
            "NUMBER": f"{self._seed}-{self._numbers}",
        }

    async def _user(self, client: int) -> None:
        while not self._stopping.is_set():
            env = self._next()
            others = [each for each in range(len(self._queues)) if each != client]
            joiner = self._chance.choice(others) if others and self._chance.random() < JOINED else None
            async with asyncio.TaskGroup() as group:
                group.create_task(self._run(client, env))
                if joiner is not None:
                    group.create_task(self._run(joiner, env))

    async def _run(self, client: int, env: dict[str, str]) -> None:
        job = await self._submit(client, env)
        if job is None:
            return
        while True:
            try:
                await job.wait()
                break
            except asman.AsmanError as error:
                self.seen.refused[f"wait: {error.code}"] += 1
                await asyncio.sleep(0.2)
                job = await self._submit(client, env) or job
        self.seen.waited += 1
        self.seen.told(job.state)

    async def _submit(self, client: int, env: dict[str, str]) -> asman.Job | None:
        """Submits a job until it is acknowledged; returns None if the time is up before."""
        definition = asman.Definition(command=["sh", "-c", SCRIPT], env=env)
        self.seen.submitted.add(env["NUMBER"])
        while True:
            try:
                job = await self._queues[client].submit(definition, max_attempts=50)
            except asman.AsmanError as error:
                self.seen.refused[f"submit: {error.code}"] += 1
                if self._stopping.is_set():
                    return None
                await asyncio.sleep(0.2)
                continue
            self.seen.acknowledged.add(job.id)
            return job

    async def _watch(self) -> None:
        """Follows every change of the queue for as long as the load lasts."""
        newest: dict[str, tuple[int, int]] = {}
        while True:
            try:
                async for change in self._queues[0].changes():
                    if isinstance(change, JobState):
                        self.seen.told(change)
                        rev, attempt = newest.get(change.id, (0, 0))
                        if change.attempt < attempt or change.rev < rev:
                            self.seen.backwards.add(change.id)
                        newest[change.id] = (max(rev, change.rev), max(attempt, change.attempt))
            except asman.AsmanError as error:
                self.seen.refused[f"watch: {error.code}"] += 1
                await asyncio.sleep(0.2)
