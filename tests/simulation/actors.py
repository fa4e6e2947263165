"""Workers and clients that follow the protocol on bad connections, die, and come back."""

from __future__ import annotations

import asyncio
from random import Random
from typing import TYPE_CHECKING, Any

from asman_server.dialect.worker_session import DialectWorker
from asman_server.sessions.client import ClientSession
from asman_server.sessions.worker import WorkerSession
from asman_shared.codec import HUB_TO_CLIENT_FRAMES, HUB_TO_WORKER_FRAMES, Broken, encode
from asman_shared.definition import Definition, Requirements, Source
from asman_shared.encoded import Language
from asman_shared.messages import (
    Abort,
    Accepted,
    Acknowledged,
    Assign,
    Cancel,
    Cancelled,
    Changed,
    Delete,
    Deleted,
    Error,
    Finished,
    Follow,
    Following,
    Held,
    Hello,
    JobState,
    LogBatch,
    LogLine,
    LogLines,
    Outcome,
    PhaseReport,
    Ping,
    Register,
    Registered,
    Released,
    Submit,
)
from asman_shared.running.backoff import Backoff
from asman_shared.states import Phase
from tests.simulation.errors import Cut
from tests.simulation.network import Connection

if TYPE_CHECKING:
    from tests.simulation.world import World

HEARTBEAT = 10.0
LONG_SECONDS = 30.0
"""Silence of a long job after its first lines, in seconds."""
EAGER_SECONDS = 0.5
"""Mean time after which an eager client submits a job again, in seconds."""
PADDING = "." * 60
"""Padding that makes each line long enough to overflow a small log."""
PATIENCE = 25.0


class Actor:
    """A client or worker with one connection at a time, which reconnects by itself."""

    kind: type[ClientSession] | type[WorkerSession] | type[DialectWorker]
    beat_seconds = HEARTBEAT

    def __init__(self, world: World, name: str) -> None:
        self.world = world
        self.random: Random = world.stream(name)
        self.name = name
        self.connection: Connection | None = None
        self.ready = False
        self._vanishes = False
        self._heard = 0.0
        self._ended: asyncio.Future[None]

    def say(self, *messages: Any) -> None:
        if self.connection is not None:
            self.connection.to_hub.put(encode(messages))

    async def live(self) -> None:
        """Connects, talks until the connection ends, and starts over."""
        while True:
            vanished = False
            self.connection = self.world.host.connect(self.kind, self.name)
            if self.connection is not None:
                try:
                    await self._talk(self.connection)
                except (Cut, TimeoutError):
                    pass
                finally:
                    if vanished := self._vanishes:
                        self.connection.leave()
                    elif self.random.random() < 0.3:
                        self.connection.abandon()
                    else:
                        self.connection.sever()
                    self.connection = None
                    self.ready = self._vanishes = False
                    self.left()
            if vanished:
                await asyncio.sleep(0.1)
            else:
                await asyncio.sleep(0.1 + self.random.expovariate(1 / 0.5))

    def vanish(self) -> None:
        """Leaves the connection half-open: the hub reads what was sent before, and is told of no end."""
        if self.connection is not None:
            self._vanishes = True
            self.connection.leave()

    async def _talk(self, connection: Connection) -> None:
        """Handles incoming frames, without a task for each, until the connection ends or is silent."""
        loop = asyncio.get_running_loop()
        ended = self._ended = loop.create_future()
        self._heard = loop.time()
        connection.to_actor.listener = self._arrived
        self.greet()
        beat = loop.call_later(self.beat_seconds, self._beats, connection)
        watch = loop.call_later(PATIENCE, self._watches, connection)
        try:
            await ended
        finally:
            connection.to_actor.listener = _unheard
            beat.cancel()
            watch.cancel()

    def _arrived(self, frame: bytes | None) -> None:
        if self._ended.done():
            return
        if frame is None:
            self._ended.set_exception(Cut())
            return
        self._heard = asyncio.get_running_loop().time()
        try:
            self.hear(frame)
        except Exception as error:
            if not self._ended.done():
                self._ended.set_exception(error)
            self.world.fail(error)

    def _beats(self, connection: Connection) -> None:
        if self.connection is connection:
            self.beat()
            asyncio.get_running_loop().call_later(self.beat_seconds, self._beats, connection)

    def _watches(self, connection: Connection) -> None:
        """Leaves a connection that was silent for too long."""
        if self.connection is not connection or self._ended.done():
            return
        loop = asyncio.get_running_loop()
        left = self._heard + PATIENCE - loop.time()
        if left > 0:
            loop.call_later(left, self._watches, connection)
        else:
            self._ended.set_exception(TimeoutError())

    def beat(self) -> None:
        """Shows the hub that this actor is alive."""
        if self.ready:
            self.say(Ping())

    def greet(self) -> None: ...

    def hear(self, frame: bytes) -> None: ...

    def left(self) -> None: ...


def _unheard(_frame: bytes | None) -> None:
    """Drops data that arrives after its reader has gone."""


class _Run:
    """An attempt on a worker."""

    def __init__(self, assign: Assign) -> None:
        self.assign = assign
        self.phase = Phase.ASSIGNED
        self.seq = assign.log_next
        self.lines: list[LogLine] = []
        self.done: Outcome | None = None
        self.task: asyncio.Task[None] | None = None

    @property
    def held(self) -> Held:
        return Held(self.assign.job, self.assign.attempt, self.phase, self.done is not None)


class SimWorker(Actor):
    """A worker; its outcomes are on its disk until they are acknowledged."""

    kind = WorkerSession

    def __init__(self, world: World, name: str, cpus: int) -> None:
        super().__init__(world, name)
        self.cpus = cpus
        self.life = 0
        self.runs: dict[tuple[str, int], _Run] = {}
        self.draining = False
        self.forgetful = name in world.plan.setting.forgetful
        self.sources: list[Source] = []
        if world.plan.setting.plain:
            self.sources = ["machine"] if name in world.plan.setting.plain else ["image"]

    @property
    def incarnation(self) -> str:
        return f"{self.name}-{self.life}".ljust(16, ".")

    def greet(self) -> None:
        holding = [run.held for run in self.runs.values()]
        said = Register(incarnation=self.incarnation, name=self.name, cpus=self.cpus, sources=self.sources)
        said.holding = holding
        self.say(said)

    def die(self) -> None:
        """Dies as by kill -9. Sometimes its containers and its name survive, as if its data folder were found again."""
        if self.connection is not None:
            self.connection.sever()
        if self.random.random() < 0.5:
            self._stop_all()
        else:
            self.life += 1
            for key in list(self.runs):
                self._drop(key)

    def come_back(self) -> None:
        """Dies and starts again with its name and its data folder, before the hub notices."""
        self.vanish()
        self._stop_all()

    def _stop_all(self) -> None:
        for key in [key for key, run in self.runs.items() if run.done is None]:
            self._drop(key)

    def _drop(self, key: tuple[str, int]) -> None:
        run = self.runs.pop(key, None)
        if run is not None and run.task is not None:
            run.task.cancel()

    def hear(self, frame: bytes) -> None:
        for message in HUB_TO_WORKER_FRAMES.decode(frame, Language.MSGPACK):
            assert not isinstance(message, Broken), f"the hub sent what can't be read: {message}"
            self._take(message)

    def _take(self, message: Any) -> None:
        if isinstance(message, Registered):
            self._resume(message)
        elif isinstance(message, Assign):
            key = (message.job, message.attempt)
            assert self.ready, "an assignment before the registration was answered"
            self.world.judge.given(self.sources, message.definition)
            same = [other for (job, _), other in self.runs.items() if job == message.job and other.done is None]
            assert not same or key in self.runs, "a job is given to the worker that runs it already"
            if key not in self.runs:
                run = self.runs[key] = _Run(message)
                run.task = asyncio.get_running_loop().create_task(self._work(key, run))
        elif isinstance(message, Abort):
            self._drop((message.job, message.attempt))
            self.say(Released(job=message.job, attempt=message.attempt))
        elif isinstance(message, Acknowledged):
            self._drop((message.job, message.attempt))
            if message.accepted:
                self.world.judge.accepted(message.job, message.attempt)

    def _resume(self, message: Registered) -> None:
        self.ready = True
        keep = {(k.job, k.attempt): k.log_next for k in message.keep}
        abort = [(h.job, h.attempt) for h in message.abort]
        assert {*keep, *abort} >= self.runs.keys(), "the hub did not say what becomes of an attempt"
        assert not keep.keys() & set(abort)
        for key in abort:
            self._drop(key)
            self.say(Released(job=key[0], attempt=key[1]))
        for key, log_next in keep.items():
            run = self.runs.get(key)
            if run is None:
                continue
            if self.random.random() < 0.5:
                log_next = max(0, log_next - 2)
            again = [line for line in run.lines if line.seq >= log_next]
            if again:
                self.say(LogBatch(job=key[0], attempt=key[1], lines=again))
            self.say(PhaseReport(job=key[0], attempt=key[1], phase=run.phase))
            if run.done is not None:
                self._report(key, run)

    async def _work(self, key: tuple[str, int], run: _Run) -> None:
        job, attempt = key
        kind = self.world.kind_of(run.assign.definition)
        random = self.world.stream(f"{self.name} {job} {attempt}")
        for phase in (Phase.STAGING, Phase.RUNNING):
            run.phase = phase
            if self.ready:
                self.say(PhaseReport(job=job, attempt=attempt, phase=phase))
            await asyncio.sleep(random.expovariate(1 / 0.5))
            if kind == "stuck":
                await asyncio.Event().wait()
        if kind == "poison":
            self.die()
            return
        for number in range(random.randrange(8)):
            if number == 1 and kind == "long":
                await asyncio.sleep(LONG_SECONDS)
            batch = self._write(run, random)
            if self.ready and batch:
                self.say(LogBatch(job=job, attempt=attempt, lines=batch))
                if random.random() < 0.05:
                    # A worker may not know that its lines have arrived, and send them again.
                    self.say(LogBatch(job=job, attempt=attempt, lines=batch))
            await asyncio.sleep(random.expovariate(1 / 0.1))
        run.done = Outcome(
            kind="exited",
            exit_code=1 if kind == "fails" else 0,
            message=f"{self.incarnation}/{attempt}",
            lines=run.seq,
        )
        if self.ready:
            self._report(key, run)

    def _write(self, run: _Run, random: Random) -> list[LogLine]:
        """Writes a few lines of a log; a forgetful worker loses some of them for good."""
        batch = []
        for _ in range(random.choice([1, 1, 1, 4])):
            line = LogLine(run.seq, 0, 0, f"{run.assign.attempt}:{run.seq}{PADDING}")
            run.seq += 1
            if not self.forgetful or random.random() < 0.6:
                batch.append(line)
        run.lines += batch
        return batch

    def _report(self, key: tuple[str, int], run: _Run) -> None:
        assert run.done is not None
        self.say(Finished(job=key[0], attempt=key[1], outcome=run.done))
        if self.random.random() < 0.1:
            self.say(Finished(job=key[0], attempt=key[1], outcome=run.done))


class SimClient(Actor):
    """A client that wants some jobs, and asks again until it knows how each ended."""

    kind = ClientSession

    def __init__(self, world: World, name: str, *, watching: bool) -> None:
        super().__init__(world, name)
        self.watching = watching
        self.eager = name in world.plan.setting.eager
        self.wanted: dict[str, Submit] = {}
        self.cancelling: dict[str, str] = {}
        self.deleting: set[str] = set()
        self.refs: dict[int, tuple[str, str]] = {}
        self.hooked: set[int] = set()
        self.reuse: dict[int, str] = {}
        self.lines: dict[str, int] = {}
        self.followed: set[str] = set()
        self.following: set[str] = set()
        self._followed_before: set[str] = set()
        self._two_follows: set[str] = set()
        self._newest: dict[str, tuple[int, int]] = {}
        self._pauses: dict[tuple[str, str], Backoff] = {}
        self._retrying: set[tuple[str, str]] = set()
        self._impatient: set[str] = set()
        self._ref = 0
        self._seq = 0

    def greet(self) -> None:
        self._seq = 0
        self.refs.clear()
        self.followed.clear()
        self.following.clear()
        self._followed_before.clear()
        self._two_follows.clear()
        self._newest.clear()
        if self.random.random() < 0.5:
            # Like a new client, which reads every log from its start.
            self.lines.clear()
        self.say(Hello(follow="queue" if self.watching else "jobs"))
        self.ready = True
        for job in list(self.wanted):
            self._submit(job)
        for job in list(self.cancelling):
            self._cancel(job)
        for job in sorted(self.deleting):
            self._delete(job)

    def want(self, job: str, wish: Submit) -> None:
        """Wants a job's result from now on."""
        self.wanted[job] = wish
        if self.ready:
            self._submit(job)

    def cancel(self, job: str, namespace: str) -> None:
        self.cancelling[job] = namespace
        if self.ready:
            self._cancel(job)

    def delete(self, job: str) -> None:
        self.deleting.add(job)
        if self.ready:
            self._delete(job)

    def _next(self, what: str, job: str) -> int:
        self._ref += 1
        self.refs[self._ref] = (what, job)
        return self._ref

    def _submit(self, job: str) -> None:
        wish = self.wanted[job]
        wish.ref = self._next("submit", job)
        if wish.callbacks is not None:
            self.hooked.add(wish.ref)
        self.reuse[wish.ref] = wish.reuse
        self.say(wish)
        if wish.reuse == "never":
            wish.reuse = "any"

    def _cancel(self, job: str) -> None:
        self.say(Cancel(ref=self._next("cancel", job), job=job, namespace=self.cancelling[job]))

    def _delete(self, job: str) -> None:
        self.say(Delete(ref=self._next("delete", job), job=job))

    def hear(self, frame: bytes) -> None:
        for message in HUB_TO_CLIENT_FRAMES.decode(frame, Language.MSGPACK):
            assert not isinstance(message, Broken), f"the hub sent what can't be read: {message}"
            self._take(message)

    def _answered(self, ref: int | None, *what: str) -> str:
        asked = self.refs.pop(ref if ref is not None else -1, None)
        assert asked is not None, f"an answer to nothing, or a second answer: {ref}"
        self._pauses.pop(asked, None)
        assert not what or asked[0] in what
        return asked[1]

    def _take(self, message: Any) -> None:
        if isinstance(message, Accepted):
            job = self._answered(message.ref, "submit")
            if message.ref in self.hooked:
                self.world.judge.hooked.setdefault(job, set()).add(message.answer)
            self.world.judge.answered(self.reuse.pop(message.ref), message)
            self.world.judge.acknowledged(job, message.job)
            if message.answer != "cached":
                self._newer(message.job)
            self._told(message.job)
            if self.eager and job in self.wanted and job not in self._impatient:
                self._impatient.add(job)
                asyncio.get_running_loop().call_later(
                    self.random.expovariate(1 / EAGER_SECONDS), self._submit_again, job
                )
            if job in self.wanted and job not in self.followed and self.random.random() < 0.7:
                late = self.random.choice([0, 0, self.random.expovariate(1 / 1.0)])
                asyncio.get_running_loop().call_later(late, self._follow, job)
        elif isinstance(message, Following):
            job = self._answered(message.ref, "follow")
            if message.job is not None:
                self.world.judge.told(self.name, message.job)
                if not message.job.state.over:
                    self.following.add(job)
        elif isinstance(message, Cancelled):
            self.cancelling.pop(self._answered(message.ref, "cancel"), None)
            self._newer(message.job)
            self._told(message.job)
        elif isinstance(message, Deleted):
            self.deleting.discard(self._answered(message.ref, "delete"))
            self.world.judge.deleted.add(message.job)
        elif isinstance(message, Changed):
            assert not self.watching or message.seq > self._seq, "seq fell"
            self._seq = message.seq
            if message.job.state.over:
                self._all_lines_first(message.job)
            self._newer(message.job)
            self._told(message.job)
        elif isinstance(message, LogLines):
            self._log(message)
        elif isinstance(message, Error):
            self._refused(message)

    def _log(self, message: LogLines) -> None:
        if message.job not in self.followed and message.job not in self.following:
            return
        known = self.lines.get(message.job, 0)
        if message.job in self._two_follows and ("follow", message.job) in self.refs.values():
            # Until the new follow is answered, the last lines of the earlier one on this connection may come, too.
            self.lines[message.job] = message.lines[-1].seq + 1
            return
        for line in message.lines:
            if line.seq < known and message.job in self._two_follows:
                # The last lines of an earlier follow on this connection came first, and now those of the new one.
                self._two_follows.discard(message.job)
                known = line.seq
            assert line.seq >= known, "a line came twice"
            assert line.seq == known or message.gap is not None, "a line is missing and nothing says so"
            known = line.seq + 1
        self.lines[message.job] = known

    def _refused(self, message: Error) -> None:
        asked = self.refs.pop(message.ref if message.ref is not None else -1, None)
        assert asked is not None, f"an error about nothing: {message}"
        what, job = asked
        if message.code == "bad_request":
            assert job in self.world.database.refused, message
            if what == "submit":
                self.wanted.pop(job, None)
                return
        else:
            assert message.code in ("unavailable", "not_found"), message
        if message.code == "not_found":
            self.cancelling.pop(job, None)
            self.deleting.discard(job)
        elif what != "follow":
            if asked in self._retrying:
                return
            pause = self._pauses.get(asked)
            if pause is None:
                pause = self._pauses[asked] = Backoff(1.0, 15.0, chance=self.random.random)
            self._retrying.add(asked)
            asyncio.get_running_loop().call_later(pause.next(), self._again, what, job)

    def _follow(self, job: str) -> None:
        """Follows a log, at once or when some of its lines have been written."""
        if self.ready and job in self.wanted and job not in self.followed:
            self.followed.add(job)
            if job in self._followed_before:
                self._two_follows.add(job)
            self._followed_before.add(job)
            self.say(Follow(ref=self._next("follow", job), job=job, logs=True, since=self.lines.get(job, 0)))

    def _submit_again(self, job: str) -> None:
        """Submits an unfinished job once more, like a script that is started again and again.

        It ends with the bad time: a submission that crosses the end of a job that always fails begins a run, and each
        such run of a job that stops its workers takes minutes.
        """
        self._impatient.discard(job)
        if self.ready and job in self.wanted and not self.world.healed:
            self._submit(job)

    def _again(self, what: str, job: str) -> None:
        self._retrying.discard((what, job))
        if not self.ready:
            return
        if what == "submit" and job in self.wanted:
            self._submit(job)
        elif what == "cancel" and job in self.cancelling:
            self._cancel(job)
        elif what == "delete" and job in self.deleting:
            self._delete(job)

    def _all_lines_first(self, state: JobState) -> None:
        """Checks that a follower of a log has all its stored lines when it hears that the job is finished.

        Lines of a newer run, whose begin removed those of this run, don't count.
        """
        if self.watching or state.id not in self.following or state.verdict is None:
            return
        if state.id in self.world.database.refused:
            return
        row = self.world.database.rows.get(("sim", state.id))
        if row is None or self.world.database.job_now("sim", state.id).queued != state.queued:
            return
        chunks = [chunk for key, chunk in self.world.database.chunks.items() if key[1] == state.id]
        stored = [chunk.last + 1 for chunk in chunks if chunk.first < state.verdict.lines]
        known = self.lines.get(state.id, 0)
        assert known >= min(state.verdict.lines, max(stored, default=0)), "finished came before the last line"

    def _newer(self, state: JobState) -> None:
        """Checks that nothing older is told of a job than before on this connection, a removed job's states included.

        Two answers are not checked: that to a follow tells the end that ended the following, and a cached one the
        result that is reused; the job may have been run again by then. The end of a run waits for the last line of a
        log that is followed, so an answer about the same run may come first.
        """
        newest = self._newest.get(state.id, state.version)
        waited = state.state.over and state.id in self._followed_before and state.queued == newest[0]
        assert state.version >= newest or waited, "an older state of a job was told after a newer one"
        self._newest[state.id] = max(newest, state.version)

    def _told(self, state: JobState) -> None:
        self.world.judge.told(self.name, state)
        if state.state.over:
            self.following.discard(state.id)
            if ("follow", state.id) not in self.refs.values():
                self.lines.pop(state.id, None)
                self.followed.discard(state.id)
            self.wanted.pop(state.id, None)


def definition(number: int, kind: str, cpus: int) -> Definition:
    """Returns the definition of a job of the simulation."""
    needs = None if cpus == 1 else Requirements(cpus=cpus)
    return Definition(image=kind if kind != "plain" else None, command=str(number), requirements=needs)
