"""The faults of chaos: each does its harm, repairs what an operator would repair, and measures the recovery."""

from __future__ import annotations

import asyncio
import random
import signal
from collections import defaultdict
from collections.abc import Awaitable, Callable, Sequence
from functools import partial

from tests.chaos.load import Load
from tests.chaos.runs import Begun, clock
from tests.chaos.stage import GRACE, Stage, WorkerPlace

PATIENCE = 60.0
"""Time limit of every recovery, in seconds."""

Fault = Callable[[], Awaitable[None]]


class Faults:
    """Does the harm of each fault, repairs what an operator would repair, and measures the recovery.

    Args:
        stage: The actors.
        load: The clients and their jobs.
        chance: Chooses the victim and the moment.
        longest: Longest time that something stays frozen, in seconds.

    Attributes:
        times: Recovery times in seconds, by kind of recovery.
    """

    def __init__(self, stage: Stage, load: Load, chance: random.Random, longest: float) -> None:
        self.times: dict[str, list[float]] = defaultdict(list)
        self._stage = stage
        self._load = load
        self._chance = chance
        self._longest = longest
        self._hurt: set[str] = set()

    def all(self, *, silence: bool) -> tuple[Sequence[Fault], Sequence[Fault]]:
        """Returns the faults that take half a minute and run beside the others, and the others."""
        short: list[Fault] = [
            self.kill_hub,
            self.freeze_hub,
            self.kill_worker,
            self.lose_worker,
            self.freeze_worker,
            self.freeze_and_cut_worker,
            self.reset_worker,
            self.reset_client,
            self.reset_all,
        ]
        if self._stage.postgres is not None:
            short += [self.kill_postgres, self.freeze_postgres]
        return ([self.silence_worker, self.silence_client] if silence else []), short

    async def ready(self) -> None:
        """Waits until every worker runs jobs."""
        for worker in self._stage.workers:
            await self._begins(worker, 0)

    # ------------------------------------------------------------------------------------------------------ hub

    async def kill_hub(self) -> None:
        """Kills the hub (SIGKILL) and starts it again at once."""
        since = clock()
        await asyncio.to_thread(self._stage.hub.kill)
        starting = asyncio.create_task(asyncio.to_thread(self._stage.hub.start))
        self.times["hub killed: next answer"].append(await self._stage.answered(since))
        await starting
        self.times["hub killed: next result"].append(await self._result_after(clock()) - since)

    async def freeze_hub(self) -> None:
        """Freezes the hub (SIGSTOP) for a while."""
        self._stage.signal(self._stage.hub, signal.SIGSTOP)
        await asyncio.sleep(self._chance.uniform(0.2, 1) * self._longest)
        since = clock()
        self._stage.signal(self._stage.hub, signal.SIGCONT)
        self.times["hub frozen, from its waking: next answer"].append(await self._stage.answered(since))

    async def reset_all(self) -> None:
        """Resets all connections of all actors at once."""
        since = clock()
        for proxy in [*self._stage.clients, *(worker.proxy for worker in self._stage.workers)]:
            proxy.reset()
        self.times["all connections reset: next result"].append(await self._result_after(since) - since)

    # -------------------------------------------------------------------------------------------------- workers

    async def kill_worker(self) -> None:
        """Kills a worker (SIGKILL); the same machine starts it again at once."""
        worker = self._choose()
        since, running = await self._kill(worker)
        renewed = self._stage.start_worker(worker.name, worker.proxy, worker.cpus, worker.data)
        self._stage.workers[self._stage.workers.index(worker)] = renewed
        self.times["worker killed and started: its jobs re-run"].append(await self._run_again(running) - since)

    async def lose_worker(self) -> None:
        """Kills a worker (SIGKILL) whose machine never returns; another machine takes its place."""
        worker = self._choose()
        since, running = await self._kill(worker)
        another = self._stage.start_worker(worker.name, worker.proxy, worker.cpus)
        self._stage.workers[self._stage.workers.index(worker)] = another
        again = await self._run_again(running)
        self.times[f"worker gone (grace {GRACE} s): its jobs re-run"].append(again - since)

    async def freeze_worker(self) -> None:
        """Freezes a worker (SIGSTOP) too briefly for the hub to notice."""
        worker = self._choose()
        self._stage.signal(worker.process, signal.SIGSTOP)
        await asyncio.sleep(self._chance.uniform(0.2, 1) * self._longest)
        since = clock()
        self._stage.signal(worker.process, signal.SIGCONT)
        self.times["worker frozen, from its waking: next job"].append(await self._begins(worker, since) - since)

    async def freeze_and_cut_worker(self) -> None:
        """Freezes a worker and resets its connection: its jobs go to others before it wakes with its results."""
        worker = self._choose()
        self._stage.signal(worker.process, signal.SIGSTOP)
        worker.proxy.reset()
        await asyncio.sleep(GRACE + self._chance.uniform(1.5, 2.5))
        since = clock()
        self._stage.signal(worker.process, signal.SIGCONT)
        self.times["worker frozen past its grace, from its waking: next job"].append(
            await self._returns(worker, since) - since
        )

    async def reset_worker(self) -> None:
        """Resets the connections of a worker."""
        worker = self._choose()
        since = clock()
        worker.proxy.reset()
        self.times["worker's connection reset: next job"].append(await self._returns(worker, since) - since)

    async def silence_worker(self) -> None:
        """Silences a worker's open connection: no data passes any more, and both sides must notice by themselves."""
        worker = self._choose()
        self._hurt.add(worker.name)
        since = clock()
        worker.proxy.silence()
        try:
            self.times["worker's connection silent: next job"].append(await self._returns(worker, since) - since)
        finally:
            self._hurt.discard(worker.name)

    # -------------------------------------------------------------------------------------------------- clients

    async def reset_client(self) -> None:
        """Resets the connection of a client."""
        client = self._chance.randrange(len(self._stage.clients))
        since = clock()
        self._stage.clients[client].reset()
        self.times["client's connection reset: next answer"].append(await self._load.answered(client) - since)

    async def silence_client(self) -> None:
        """Silences a client's open connection: no data passes any more."""
        client = len(self._stage.clients) - 1
        since = clock()
        self._stage.clients[client].silence()
        self.times["client's connection silent: next answer"].append(await self._load.answered(client) - since)

    # -------------------------------------------------------------------------------------------------- Postgres

    async def kill_postgres(self) -> None:
        """Kills Postgres (SIGKILL) and starts it again at once."""
        postgres = self._stage.postgres
        assert postgres is not None
        since = clock()
        await asyncio.to_thread(postgres.kill)
        starting = asyncio.create_task(asyncio.to_thread(postgres.start))
        self.times["Postgres killed: next answer"].append(await self._stage.answered(since))
        await starting

    async def freeze_postgres(self) -> None:
        """Freezes Postgres (SIGSTOP) for a while."""
        postgres = self._stage.postgres
        assert postgres is not None
        postgres.freeze()
        await asyncio.sleep(self._chance.uniform(0.2, 1) * self._longest)
        since = clock()
        postgres.thaw()
        self.times["Postgres frozen, from its waking: next answer"].append(await self._stage.answered(since))

    # --------------------------------------------------------------------------------------------------- waiting

    def _choose(self) -> WorkerPlace:
        return self._chance.choice([worker for worker in self._stage.workers if worker.name not in self._hurt])

    async def _kill(self, worker: WorkerPlace) -> tuple[float, list[Begun]]:
        since = clock()
        await asyncio.to_thread(worker.process.kill)
        return since, self._stage.runs.look().live(worker.data)

    async def _run_again(self, running: list[Begun]) -> float:
        """Returns the time when the last of some lost attempts was replaced, or turned out to be finished."""

        def over(begun: Begun) -> float | None:
            newer = [each.at for each in self._stage.runs.by_job[begun.job] if each.attempt > begun.attempt]
            if newer:
                return min(newer)
            return clock() if self._load.seen.endings.get(begun.job) else None

        return max([await self._until(partial(over, begun)) for begun in running], default=clock())

    async def _begins(self, worker: WorkerPlace, after: float) -> float:
        return await self._until(lambda: self._stage.runs.first_after(worker.data, after))

    async def _returns(self, worker: WorkerPlace, after: float) -> float:
        """Returns the time when a worker began a job on a new connection."""
        proxy = worker.proxy
        dialled = await self._until(lambda: proxy.dialled if proxy.dialled > after else None)
        return await self._begins(worker, dialled)

    async def _result_after(self, after: float) -> float:
        before = self._load.seen.waited
        return await self._until(lambda: clock() if self._load.seen.waited > before and clock() > after else None)

    async def _until(self, found: Callable[[], float | None]) -> float:
        """Waits for a moment and returns it.

        Raises:
            AssertionError: Nothing recovered in time.
        """
        deadline = clock() + PATIENCE
        while True:
            self._stage.runs.look()
            at = found()
            if at is not None:
                return at
            assert clock() < deadline, "it did not recover"
            await asyncio.sleep(0.02)
