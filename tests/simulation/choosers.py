"""Workers of the JSON dialect in the simulation: they choose jobs from lists, sometimes badly."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import msgspec

from asman_server.dialect.worker_session import DialectWorker
from asman_shared.definition import Definition
from tests.simulation.actors import Actor

if TYPE_CHECKING:
    from tests.simulation.world import World

BELIEVE_SECONDS = (1.0, 6.0)
"""Times that such workers continue a job that a whole list does not give them, in seconds; each has one of them."""
PING_SECONDS = 5.0
ANSWERING = 0.8
"""Share of such workers that answer status requests."""
EAGER = 0.5
"""Share of the runs that write a line at once."""
CURIOUS = 0.3
"""Share of the lists after which such a worker asks for the definition of a job that is over."""


class _Chosen:
    """A job that a worker has claimed; the hub may not have granted the claim."""

    def __init__(self, since: float) -> None:
        self.since = since
        self.task: asyncio.Task[None] | None = None


class Chooser(Actor):
    """A worker that chooses its jobs from lists.

    Its jobs are in memory alone. A result that is lost in transit stays lost."""

    kind = DialectWorker
    beat_seconds = PING_SECONDS

    def __init__(self, world: World, name: str, cpus: int) -> None:
        super().__init__(world, name)
        self.cpus = cpus
        self.life = 0
        self.runs: dict[str, _Chosen] = {}
        self.claimed: set[str] = set()
        self.jobs: dict[str, dict[str, Any]] = {}
        self._ends_at_claim = False
        self._answers = self.random.random() < ANSWERING
        self._believes = self.random.choice(BELIEVE_SECONDS)
        self._known: dict[str, Definition] = {}

    @property
    def id(self) -> str:
        return f"{self.name}-{self.life}"

    def tell(self, kind: str, payload: Any) -> None:
        if self.connection is not None:
            self.connection.to_hub.put(msgspec.json.encode({"type": kind, "payload": payload}))

    def change(self, state: str, job: str, **value: Any) -> None:
        self.tell("StateChange", {"state": state, "job": job, "value": value})

    def greet(self) -> None:
        self.jobs = {}
        self.ready = True
        self._register()
        for job, run in list(self.runs.items()):
            self.change("Running", job, worker=self.id)
            if run.task is None:
                self.tell("RequestJobDefinitions", {"jobIds": [job]})

    def _register(self) -> None:
        self.tell("WorkerRegistration", {"id": self.id, "version": "1", "cpus": self.cpus, "gpus": 0, "time": 0})

    def beat(self) -> None:
        if self.connection is not None:
            self.connection.to_hub.put(b"PING")
            self._register()

    def die(self) -> None:
        """Dies as by kill -9 and loses all its jobs. Sometimes it comes back under the same name."""
        if self.connection is not None:
            self.connection.sever()
        for job in list(self.runs):
            self._drop(job)
        if self.random.random() < 0.5:
            self.life += 1
            self.claimed.clear()

    def come_back(self) -> None:
        """Dies when it next claims jobs and has no others.

        It loses all of them, and starts again under its name before the hub notices.
        """
        self._ends_at_claim = True

    def _come_back(self) -> None:
        self._ends_at_claim = False
        self.vanish()
        for job in list(self.runs):
            self._drop(job)

    def _drop(self, job: str) -> None:
        run = self.runs.pop(job, None)
        if run is not None and run.task is not None:
            run.task.cancel()

    def hear(self, frame: bytes) -> None:
        if not frame.startswith(b"{"):
            assert frame in (b"PONG unknown", f"PONG {self.id}".encode())
            return
        message = msgspec.json.decode(frame)
        payload = message.get("payload")
        if message["type"] == "JobStates":
            self.jobs = payload["state"]["jobs"]
            self._obey()
            self._choose()
        elif message["type"] == "JobStateUpdates":
            self.jobs.update(payload["state"]["jobs"])
            self._choose()
        elif message["type"] == "StatusRequest" and self._answers:
            self.tell("WorkerStatusResponse", {})
        elif message["type"] == "BroadcastJobDefinitions":
            for job, definition in payload["definitions"].items():
                self._start(job, msgspec.convert(definition, Definition))

    def _obey(self) -> None:
        """Stops the jobs that a whole list has not given to it."""
        now = asyncio.get_running_loop().time()
        for job, shown in self.jobs.items():
            mine = shown["state"] == "Running" and shown.get("worker") == self.id
            assert not mine or job in self.claimed, "a worker that chooses was handed a job"
        for job, run in list(self.runs.items()):
            shown = self.jobs.get(job, {})
            mine = shown.get("state") == "Running" and shown.get("worker") == self.id
            if not mine and now - run.since >= self._believes:
                self._drop(job)

    def _choose(self) -> None:
        waiting = [job for job, shown in self.jobs.items() if shown["state"] == "Queued" and job not in self.runs]
        running = ((job, shown.get("worker")) for job, shown in self.jobs.items() if shown["state"] == "Running")
        taken = [job for job, worker in running if worker != self.id and job not in self.runs]
        room = self.cpus - sum(_cpus(self.jobs.get(job, {})) for job in self.runs)
        greedy = self.random.random() < 0.2
        ends = self._ends_at_claim and bool(waiting) and not self.runs
        if ends or self.random.random() < CURIOUS:
            self._ask()
        for job in waiting:
            if _cpus(self.jobs[job]) <= room or greedy:
                room -= _cpus(self.jobs[job])
                self._claim(job)
        if taken and self.random.random() < 0.1:
            self._claim(self.random.choice(taken))
        if ends:
            self._come_back()

    def _ask(self) -> None:
        """Asks for the definition of a job that is over; the hub has to read it, and meanwhile no other message."""
        over = [job for job, shown in self.jobs.items() if shown["state"] == "Finished"]
        if over:
            self.tell("RequestJobDefinitions", {"jobIds": [self.random.choice(over)]})

    def _claim(self, job: str) -> None:
        self.claimed.add(job)
        self.runs[job] = _Chosen(asyncio.get_running_loop().time())
        self.change("Running", job, worker=self.id)
        if job in self._known:
            self._start(job, self._known[job])
        else:
            self.tell("RequestJobDefinitions", {"jobIds": [job]})

    def _start(self, job: str, definition: Definition) -> None:
        self._known[job] = definition
        run = self.runs.get(job)
        if run is not None and run.task is None:
            run.task = asyncio.get_running_loop().create_task(self._work(job, self.world.kind_of(definition)))

    async def _work(self, job: str, kind: str) -> None:
        if self.random.random() < EAGER:
            self.tell("JobStatusLogs", {"jobId": job, "step": "Running", "logs": [[f"{self.id}:begun", 1]]})
        await asyncio.sleep(self.random.expovariate(1 / 0.5))
        if kind == "poison":
            self.die()
            return
        if kind == "long":
            await asyncio.sleep(40)
        for number in range(self.random.randrange(4)):
            self.tell("JobStatusLogs", {"jobId": job, "step": "Running", "logs": [[f"{self.id}:{number}", 1]]})
            await asyncio.sleep(self.random.expovariate(1 / 0.1))
        result: dict[str, Any] = {"StatusCode": 1 if kind == "fails" else 0, "outputs": {}}
        if self.random.random() < 0.5:
            # The hub looks then whether it has these lines already.
            result["logs"] = [[f"{self.id}:end", 1, False]]
        self.change("Finished", job, reason="Success", message=f"chosen by {self.id}", result=result)
        self.runs.pop(job, None)


def _cpus(shown: dict[str, Any]) -> int:
    return int(shown.get("requirements", {}).get("cpus", 1))
