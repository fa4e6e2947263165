"""The queue core against a plain model: Hypothesis plays events, the model says what may and what must follow.

The model is dicts and lists and looks at everything each time. It does not choose: whom the core gives a job to is read
from its effects and held against what is allowed. The rest must be equal after every event.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Literal

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, precondition, rule

from asman_server.core import Job, QueueCore, QueuePolicy
from asman_server.core import effects as fx
from asman_server.core import events as ev
from asman_server.core.worker import Presence
from asman_shared.definition import Shape
from asman_shared.messages import Held, Outcome, Register, Summary
from asman_shared.states import Phase, Reason, State
from tests.support.invariants import check_core, check_no_idle_hands

POLICY = QueuePolicy(
    grace=10_000,
    assigned_limit=20_000,
    run_slack=5_000,
    retention=25_000,
    patience=5_000,
    finished_kept=2,
    private_webhooks=False,
)
CACHED = (Reason.SUCCESS, Reason.FAILED)
WANTED: dict[str, tuple[Reason, ...]] = {"success": (Reason.SUCCESS,), "any": CACHED, "never": ()}
SHAPES = (
    Shape(cpus=1000),
    Shape(cpus=1000, memory=4),
    Shape(cpus=2000),
    Shape(cpus=1000, gpus=1),
    Shape(cpus=500, tags=frozenset({"ssd"})),
    Shape(cpus=3000, duration=60_000),
    Shape(cpus=1000, platform="linux/arm64"),
    Shape(cpus=1000, source="machine"),
)
NOTHING = Shape(cpus=0)

jobs_ = st.integers(0, 9)
workers_ = st.sampled_from(["ada", "bob", "eve"])
namespaces_ = st.sampled_from(["_", "a", "b", "c"])
infos_ = st.fixed_dictionaries(
    {
        "cpus": st.sampled_from([1.0, 2.0, 4.0]),
        "memory": st.sampled_from([0, 8]),
        "gpus": st.sampled_from([0, 1, 2]),
        "tags": st.sampled_from([[], ["ssd"], ["ssd", "eu"]]),
        "platform": st.sampled_from(["", "linux/arm64"]),
        "max_duration": st.sampled_from([0, 30_000, 90_000]),
        "sources": st.sampled_from([[], [], ["image", "build"], ["machine"]]),
        "draining": st.sampled_from([False, False, False, True]),
    }
)


def job_id(number: int) -> str:
    return f"{number:064x}"


@dataclass
class Run:
    """What the model knows of a job."""

    shape: Shape
    state: State = State.QUEUED
    reason: Reason | None = None
    kept: Reason | None = None
    """The verdict worth keeping that a later run has not replaced."""
    holders: list[str] = field(default_factory=list)
    lane: str = "_"
    priority: int = 0
    order: int = 0
    losses: int = 0
    max_attempts: int = 3
    attempt: int = 0
    worker: str = ""
    run_limit: int = 0
    queue_limit: int = 0
    phase_limits: dict[Phase, int] = field(default_factory=dict)
    waits_since: int = 0
    ran: int = 0
    finished: int = 0


@dataclass
class Has:
    """One attempt that a worker has, as far as the hub knows."""

    live: bool
    shape: Shape
    since: int
    phase: Phase = Phase.ASSIGNED


@dataclass
class Hand:
    """What the model knows of a worker."""

    session: int
    info: Register
    here: bool = True
    draining: bool = False
    chooses: bool = False
    left_draining: bool = False
    away_since: int = 0
    has: dict[tuple[str, int], Has] = field(default_factory=dict)

    def free(self) -> tuple[float, int, int]:
        held = [one.shape for one in self.has.values()]
        return (
            self.info.cpus * 1000 - sum(s.cpus for s in held),
            self.info.memory - sum(s.memory for s in held),
            self.info.gpus - sum(s.gpus for s in held),
        )

    def able(self, shape: Shape) -> bool:
        info = self.info
        stated = shape.memory <= info.memory and shape.platform in ("", info.platform)
        return (
            shape.source in (info.sources or [shape.source])
            and shape.cpus <= info.cpus * 1000
            and shape.gpus <= info.gpus
            and (self.chooses or (stated and all(tag in info.tags for tag in shape.tags)))
            and (info.max_duration == 0 or shape.duration <= info.max_duration)
        )

    def takes(self, shape: Shape) -> bool:
        cpus, memory, gpus = self.free()
        room = shape.cpus <= cpus and (shape.memory <= memory or self.chooses) and shape.gpus <= gpus
        return self.here and not self.draining and room and self.able(shape)


class Model:
    """The queue as somebody would write it who has all the time in the world."""

    def __init__(self) -> None:
        self.now = 1_000_000
        self.jobs: dict[str, Run] = {}
        self.hands: dict[str, Hand] = {}
        self.aborts: list[tuple[str, str, int]] = []
        self.orders = 0
        self.retention = POLICY.retention

    # ------------------------------------------------------------------------------------------------- clients

    def submit(self, event: ev.Submitted) -> str:
        for other_id, other in self.jobs.items():
            mine = event.namespace in other.holders and event.namespace != "_"
            if mine and other_id != event.job and other.state is not State.FINISHED:
                self.release(other_id, event.namespace, Reason.REPLACED)
        job = self.jobs.get(event.job)
        wanted = WANTED[event.reuse]
        if job is not None and job.state is State.FINISHED:
            if job.reason not in wanted and job.kept in wanted:
                job.reason, job.kept = job.kept, None
            if job.reason in wanted:
                self.hold(job, event.namespace)
                return "cached"
        if job is not None and job.state is not State.FINISHED:
            self.hold(job, event.namespace)
            job.priority = max(job.priority, event.priority)
            return "joined"
        self.orders += 1
        old = job or Run(event.shape)
        self.jobs[event.job] = Run(
            shape=event.shape,
            kept=old.reason if old.reason in CACHED else old.kept,
            holders=[event.namespace],
            lane=event.namespace,
            priority=event.priority,
            order=self.orders,
            max_attempts=event.max_attempts,
            attempt=old.attempt,
            run_limit=event.run_limit,
            queue_limit=event.queue_limit,
            phase_limits=event.phase_limits or {},
            waits_since=self.now,
        )
        return "queued"

    @staticmethod
    def hold(job: Run, namespace: str) -> None:
        if namespace not in job.holders:
            job.holders.append(namespace)

    def release(self, job_id: str, namespace: str, reason: Reason) -> bool:
        job = self.jobs[job_id]
        if job.state is State.FINISHED or (namespace != "*" and namespace not in job.holders):
            return False
        left = [] if namespace == "*" else [held for held in job.holders if held != namespace]
        if left:
            job.holders = left
        else:
            self.stop(job_id, reason)
        return True

    def stop(self, job_id: str, reason: Reason) -> None:
        job = self.jobs[job_id]
        if job.state is State.RUNNING:
            self.hands[job.worker].has[job_id, job.attempt].live = False
            self.aborts.append((job.worker, job_id, job.attempt))
        self.end(job, reason)

    def end(self, job: Run, reason: Reason) -> None:
        job.state, job.reason, job.worker, job.finished = State.FINISHED, reason, "", self.now
        if reason in CACHED:
            job.kept = None

    def delete(self, job_id: str) -> None:
        if self.jobs[job_id].state is not State.FINISHED:
            self.stop(job_id, Reason.DELETED)
        del self.jobs[job_id]

    # ------------------------------------------------------------------------------------------------- workers

    def live(self, name: str, job_id: str, attempt: int) -> bool:
        held = self.hands[name].has.get((job_id, attempt)) if name in self.hands else None
        return held is not None and held.live

    def claims(self, name: str, job_id: str) -> bool:
        """Whether a claim is granted, or of what the worker has already."""
        hand, job = self.hands[name], self.jobs.get(job_id)
        if not hand.chooses or job is None or job.state is State.FINISHED:
            return False
        return job.worker == name if job.state is State.RUNNING else hand.takes(job.shape)

    def join(self, session: int, info: Register, chooses: bool) -> tuple[set[tuple[str, int]], set[tuple[str, int]]]:
        """Returns the attempts that continue and those to be stopped."""
        hand = self.hands.setdefault(info.incarnation, Hand(session, info))
        hand.session, hand.info, hand.here, hand.draining = session, info, True, info.draining
        hand.chooses = chooses
        said = {(held.job, held.attempt): held for held in info.holding}
        lost = [key for key in hand.has if key not in said]
        for key in lost:
            gone = hand.has.pop(key)
            if gone.live:
                self.back(key[0], charged=gone.phase is not Phase.ASSIGNED)
        for key, held in said.items():
            if key not in hand.has:
                known = self.jobs.get(key[0]) if key[0] in self.in_memory else None
                hand.has[key] = Has(False, known.shape if known and not held.done else NOTHING, self.now)
            elif held.done:
                hand.has[key].shape = NOTHING
        keep = {key for key, held in said.items() if hand.has[key].live or (held.done and self.untold(*key))}
        return keep, set(said) - keep

    in_memory: frozenset[str] = frozenset()
    durable: frozenset[str] = frozenset()

    def untold(self, job_id: str, attempt: int) -> bool:
        """Whether an attempt has ended its job, and a hub that is killed now would not know."""
        job = self.jobs.get(job_id) if job_id in self.in_memory else None
        ended = job is not None and job.state is State.FINISHED and job.attempt == attempt
        return ended and job_id not in self.durable

    def back(self, job_id: str, *, charged: bool) -> None:
        job = self.jobs[job_id]
        job.losses += charged
        if charged and job.losses >= job.max_attempts:
            self.end(job, Reason.WORKER_LOST)
            return
        job.state, job.worker, job.waits_since, job.ran = State.QUEUED, "", self.now, 0

    def lose(self, name: str, session: int) -> None:
        hand = self.hands.get(name)
        if hand is None or hand.session != session or not hand.here:
            return
        hand.has = {key: held for key, held in hand.has.items() if held.live}
        if not hand.has:
            del self.hands[name]
            return
        hand.left_draining = hand.draining
        hand.here, hand.away_since = False, self.now

    def finish(self, name: str, job_id: str, attempt: int, reason: Reason) -> bool:
        taken = self.live(name, job_id, attempt)
        if name in self.hands:
            self.hands[name].has.pop((job_id, attempt), None)
        if taken:
            job = self.jobs[job_id]
            job.kept = None if job.kept is Reason.FAILED else job.kept
            self.end(job, reason)
        return taken

    def hand_back(self, name: str, job_id: str, attempt: int, charged: bool) -> None:
        mine = self.live(name, job_id, attempt)
        if name in self.hands:
            self.hands[name].has.pop((job_id, attempt), None)
        if mine:
            self.back(job_id, charged=charged)

    def phase(self, name: str, job_id: str, attempt: int, phase: Phase, known: Phase | None) -> None:
        if name not in self.hands:
            return
        if not self.live(name, job_id, attempt):
            if not self.untold(job_id, attempt):
                self.aborts.append((name, job_id, attempt))
            return
        held = self.hands[name].has[job_id, attempt]
        if held.phase is not phase:
            held.phase, held.since = phase, self.now
        if phase is Phase.RUNNING and known is not Phase.RUNNING:
            self.jobs[job_id].ran = self.now
        elif phase in (Phase.ASSIGNED, Phase.STAGING, Phase.PULLING, Phase.BUILDING) and known is not phase:
            self.jobs[job_id].ran = 0

    # ---------------------------------------------------------------------------------------------------- time

    def tick(self) -> None:
        for name, hand in list(self.hands.items()):
            if not hand.here and self.now - hand.away_since >= POLICY.grace:
                del self.hands[name]
                for (job_id, _), held in hand.has.items():
                    if held.live:
                        self.back(job_id, charged=not hand.left_draining)
            elif hand.here:
                for (job_id, attempt), held in list(hand.has.items()):
                    job = self.jobs.get(job_id)
                    if not held.live or job is None:
                        continue
                    passed = self.now - held.since
                    if held.phase is Phase.ASSIGNED and passed >= POLICY.assigned_limit:
                        held.live = False
                        self.aborts.append((name, job_id, attempt))
                        self.back(job_id, charged=True)
                    elif held.phase is Phase.RUNNING:
                        if job.run_limit and job.ran and self.now - job.ran >= job.run_limit + POLICY.run_slack:
                            self.stop(job_id, Reason.TIMED_OUT)
                    elif (limit := job.phase_limits.get(held.phase)) and passed >= limit + POLICY.run_slack:
                        self.stop(job_id, Reason.TIMED_OUT)
        self.give_up_waiting()

    def give_up_waiting(self) -> None:
        for job_id, job in self.jobs.items():
            if job.state is State.QUEUED and job.queue_limit and self.now - job.waits_since >= job.queue_limit:
                self.stop(job_id, Reason.TIMED_OUT)

    def assign(self, name: str, job_id: str, attempt: int) -> None:
        """Takes note of an assignment, if it is one that may be made."""
        job, hand = self.jobs[job_id], self.hands[name]
        assert job.state is State.QUEUED, "a job was handed out that does not wait"
        assert hand.takes(job.shape), "a job was handed to a worker that can't take it"
        assert attempt > job.attempt, "an attempt number did not grow"
        assert (job_id, attempt) not in hand.has, "an attempt number was given out twice"
        for other in self.waiting() if not hand.chooses else ():
            assert other.priority <= job.priority or not hand.takes(other.shape), "a more urgent job was passed over"
            same = (other.priority, other.lane, other.shape) == (job.priority, job.lane, job.shape)
            assert not same or other.order >= job.order, "an older job of the same kind was passed over"
        job.state, job.worker, job.attempt, job.ran = State.RUNNING, name, attempt, 0
        hand.has[job_id, attempt] = Has(True, job.shape, self.now)

    def waiting(self) -> Iterator[Run]:
        return (job for job in self.jobs.values() if job.state is State.QUEUED)

    def restart(self) -> None:
        """The hub is another process now: it knows workers only from the jobs that they have."""
        old, self.hands = self.hands, {}
        for name, hand in old.items():
            live = {key: held for key, held in hand.has.items() if held.live}
            for (job_id, _), held in live.items():
                held.shape, held.since = self.jobs[job_id].shape, self.now
            if live:
                info = Register(incarnation=name, name=name, cpus=0)
                self.hands[name] = Hand(0, info, here=False, away_since=self.now, has=live)


def outcome_of(reason: Reason) -> Outcome:
    if reason in CACHED:
        return Outcome(kind="exited", exit_code=0 if reason is Reason.SUCCESS else 3)
    kinds: dict[Reason, Literal["error", "out_of_memory", "timed_out"]] = {
        Reason.ERROR: "error",
        Reason.OUT_OF_MEMORY: "out_of_memory",
        Reason.TIMED_OUT: "timed_out",
    }
    return Outcome(kind=kinds[reason])


class QueueMachine(RuleBasedStateMachine):
    """Plays events to the core and to the model, and stands in for the store."""

    def __init__(self) -> None:
        super().__init__()
        self.core = QueueCore(POLICY)
        self.model = Model()
        self.stored: dict[str, bytes] = {}
        self.durable: set[str] = set()
        self.sessions: dict[str, int] = {}
        self.session = 0
        self.attempts: dict[str, int] = {}

    # -------------------------------------------------------------------------------------------------- machine

    def send(self, event: ev.Event) -> list[fx.Effect]:
        """Puts an event through the core; the model must have taken it already."""
        effects = self.core.handle(event, self.model.now)
        aborted = []
        for effect in effects:
            if isinstance(effect, fx.Assign):
                self.model.assign(effect.worker.incarnation, effect.job.id, effect.attempt)
            elif isinstance(effect, fx.Abort):
                aborted.append((effect.worker.incarnation, effect.job, effect.attempt))
            elif isinstance(effect, fx.Forget):
                self.stored.pop(effect.job.id, None)
        for effect in effects:
            if isinstance(effect, fx.Changed) and effect.job.state is not State.REMOVED:
                self.durable.discard(effect.job.id)
                self.stored[effect.job.id] = effect.job.pack()
        assert sorted(aborted) == sorted(self.model.aborts)
        self.model.aborts.clear()
        self.compare()
        return effects

    def load(self, number: int) -> str:
        """Reads a job that has left memory back, as the shell does before a client's request."""
        job = job_id(number)
        if job not in self.core.jobs and job in self.stored and self.core.may_be_stored(job):
            self.send(ev.Recalled(Job.unpack(self.stored[job])))
        return job

    def compare(self) -> None:
        core, model = self.core, self.model
        check_core(core)
        check_no_idle_hands(core)
        if not core.ready.waiting:
            assert not core.fleet.keeping_room, "room is kept for a job that has gone"
        assert set(core.jobs) <= set(model.jobs)
        assert set(self.stored) == set(model.jobs)
        for job, wanted in model.jobs.items():
            seen = core.jobs.get(job)
            if seen is None:
                assert wanted.state is State.FINISHED, "an unfinished job has left memory"
                assert job in self.durable, "a job has left memory before it was durable"
                assert core.may_be_stored(job)
                seen = Job.unpack(self.stored[job])
            self.compare_job(seen, wanted)
            assert seen.attempt >= self.attempts.get(job, 0), "an attempt number fell"
            self.attempts[job] = seen.attempt
        states = [job.state for job in model.jobs.values()]
        assert core.finished == states.count(State.FINISHED)
        assert core.running == states.count(State.RUNNING)
        self.compare_workers()
        slots = {
            name: job
            for job, wanted in model.jobs.items()
            if wanted.state is not State.FINISHED
            for name in wanted.holders
            if name != "_"
        }
        assert core.slots == slots

    @staticmethod
    def compare_job(seen: Job, wanted: Run) -> None:
        reason = seen.verdict.reason if seen.verdict is not None else None
        kept = seen.previous.reason if seen.previous is not None else None
        assert seen.state is wanted.state
        assert reason is wanted.reason
        assert kept is wanted.kept
        assert list(seen.holders) == wanted.holders
        assert (seen.attempt, seen.losses, seen.priority) == (wanted.attempt, wanted.losses, wanted.priority)
        assert seen.worker == wanted.worker
        assert seen.finished == wanted.finished
        assert (seen.phase is not None) == (wanted.state is State.RUNNING)

    def compare_workers(self) -> None:
        assert set(self.core.workers) == set(self.model.hands)
        for name, hand in self.model.hands.items():
            worker = self.core.workers[name]
            assert (worker.presence is Presence.AWAY) == (not hand.here)
            if hand.here:
                assert (worker.presence is Presence.DRAINING) == hand.draining
            has = {key: (lease.live, lease.shape) for key, lease in worker.leases.items()}
            assert has == {key: (held.live, held.shape) for key, held in hand.has.items()}

    def someone(self, data: st.DataObject, *, lie: bool) -> tuple[str, str, int]:
        """A worker and an attempt: one that it has, or (``lie``) any."""
        had = [(name, *key) for name, hand in self.model.hands.items() if hand.here for key in hand.has]
        if had and not lie:
            return data.draw(st.sampled_from(sorted(had)), label="attempt")
        name = data.draw(workers_, label="worker").ljust(16, ".")
        return name, job_id(data.draw(jobs_, label="job")), data.draw(st.integers(0, 6), label="attempt")

    # ---------------------------------------------------------------------------------------------------- rules

    @rule(
        number=jobs_,
        namespace=namespaces_,
        priority=st.integers(-1, 2),
        reuse=st.sampled_from(["success", "success", "any", "never"]),
        limits=st.tuples(*(st.sampled_from([0, 0, limit]) for limit in (8_000, 15_000, 4_000))),
        max_attempts=st.integers(1, 3),
    )
    def submit(
        self, number: int, namespace: str, priority: int, reuse: Any, limits: tuple[int, int, int], max_attempts: int
    ) -> None:
        shape = SHAPES[number % len(SHAPES)]
        event = ev.Submitted(
            job=self.load(number),
            shape=shape,
            summary=Summary(image="alpine" if shape.source == "image" else ""),
            reply_to=number,
            namespace=namespace,
            priority=priority,
            reuse=reuse,
            run_limit=limits[0],
            queue_limit=limits[1],
            phase_limits={Phase.STAGING: limits[2]} if limits[2] else None,
            max_attempts=max_attempts,
        )
        wanted = self.model.submit(event)
        (answer,) = [e for e in self.send(event) if isinstance(e, fx.SubmitAnswer)]
        assert (answer.answer, answer.reply_to) == (wanted, number)
        if wanted != "cached":
            ready = [hand for hand in self.model.hands.values() if hand.here and not hand.draining]
            assert answer.able == sum(hand.able(event.shape) for hand in ready)
            assert bool(answer.why) == (not answer.able)

    @rule(number=jobs_, namespace=st.sampled_from(["_", "a", "b", "c", "*"]))
    def cancel(self, number: int, namespace: str) -> None:
        job = self.load(number)
        known = job in self.model.jobs
        released = known and self.model.release(job, namespace, Reason.CANCELLED)
        (answer,) = [
            e for e in self.send(ev.CancelRequested(job, namespace)) if isinstance(e, fx.CancelAnswer | fx.Refused)
        ]
        assert isinstance(answer, fx.CancelAnswer) == known
        if isinstance(answer, fx.CancelAnswer):
            assert answer.released == released

    @rule(number=jobs_)
    def delete(self, number: int) -> None:
        job = self.load(number)
        known = job in self.model.jobs
        if known:
            self.model.delete(job)
            self.attempts.pop(job, None)
        effects = self.send(ev.DeleteRequested(job))
        assert any(isinstance(e, fx.DeleteAnswer) for e in effects) == known
        assert any(isinstance(e, fx.Refused) for e in effects) != known

    @rule(
        name=workers_,
        info=infos_,
        honest=st.booleans(),
        forgets=st.integers(0, 3),
        lies=st.lists(st.tuples(jobs_, st.integers(0, 6), st.booleans()), max_size=3),
        done=st.booleans(),
        chooses=st.sampled_from([False, False, True]),
    )
    def join(
        self,
        name: str,
        info: dict[str, Any],
        honest: bool,
        forgets: int,
        lies: list[tuple[int, int, bool]],
        done: bool,
        chooses: bool,
    ) -> None:
        incarnation = name.ljust(16, ".")
        known = self.model.hands.get(incarnation)
        holding = {key: Held(*key, Phase.RUNNING, done) for key in (known.has if known else ())}
        if not honest:
            for key in list(holding)[:forgets]:
                del holding[key]
            for number, attempt, over in lies:
                holding[job_id(number), attempt] = Held(job_id(number), attempt, Phase.RUNNING, over)
        self.session += 1
        self.sessions[incarnation] = self.session
        said = Register(incarnation=incarnation, name=name, holding=list(holding.values()), **info)
        self.model.in_memory = frozenset(self.core.jobs)
        self.model.durable = frozenset(self.durable)
        keep, abort = self.model.join(self.session, said, chooses)
        told = self.send(ev.WorkerJoined(self.session, said, chooses))
        (resumed,) = [e for e in told if isinstance(e, fx.Resumed)]
        assert {(k.job, k.attempt) for k in resumed.keep} == keep
        assert {(h.job, h.attempt) for h in resumed.abort} == abort

    @rule(name=workers_, number=jobs_)
    def claim(self, name: str, number: int) -> None:
        incarnation, job = name.ljust(16, "."), job_id(number)
        hand = self.model.hands.get(incarnation)
        loaded = job in self.core.jobs or job not in self.stored
        mine = hand is not None and loaded and self.model.claims(incarnation, job)
        new = mine and self.model.jobs[job].state is State.QUEUED
        effects = self.send(ev.Claimed(incarnation, job))
        given = [(e.worker.incarnation, e.job.id) for e in effects if isinstance(e, fx.Assign)]
        assert ((incarnation, job) in given) == new
        assert any(isinstance(e, fx.Refused) for e in effects) == (hand is not None and not mine)

    @rule(name=workers_, stale=st.sampled_from([False, False, True]))
    def lose(self, name: str, stale: bool) -> None:
        incarnation = name.ljust(16, ".")
        session = self.sessions.get(incarnation, 0) - stale
        self.model.lose(incarnation, session)
        self.send(ev.WorkerLost(incarnation, session))

    @rule(name=workers_)
    def drain(self, name: str) -> None:
        incarnation = name.ljust(16, ".")
        hand = self.model.hands.get(incarnation)
        if hand is not None and hand.here:
            hand.draining = True
        self.send(ev.DrainRequested(incarnation))

    @rule(data=st.data(), lie=st.sampled_from([False, False, False, True]), phase=st.sampled_from(list(Phase)))
    def phase(self, data: st.DataObject, lie: bool, phase: Phase) -> None:
        name, job, attempt = self.someone(data, lie=lie)
        seen = self.core.jobs.get(job)
        self.model.in_memory, self.model.durable = frozenset(self.core.jobs), frozenset(self.durable)
        self.model.phase(name, job, attempt, phase, seen.phase if seen is not None else None)
        self.send(ev.PhaseReported(name, job, attempt, phase))

    @rule(
        data=st.data(),
        lie=st.sampled_from([False, False, False, True]),
        reason=st.sampled_from(
            [Reason.SUCCESS, Reason.SUCCESS, Reason.FAILED, Reason.ERROR, Reason.OUT_OF_MEMORY, Reason.TIMED_OUT]
        ),
    )
    def finish(self, data: st.DataObject, lie: bool, reason: Reason) -> None:
        name, job, attempt = self.someone(data, lie=lie)
        known = name in self.model.hands
        kept = self.model.jobs[job].kept if job in self.model.jobs else None
        accepted = self.model.finish(name, job, attempt, reason)
        effects = self.send(ev.AttemptFinished(name, job, attempt, outcome_of(reason)))
        acks = [e for e in effects if isinstance(e, fx.Acknowledge)]
        assert [(a.job, a.attempt, a.accepted) for a in acks] == ([(job, attempt, accepted)] if known else [])
        stores = any(isinstance(e, fx.StoreResult) for e in effects)
        due = accepted and (reason in CACHED or kept is not Reason.SUCCESS)
        assert stores == due, "a result was stored that should not be"

    @rule(data=st.data(), lie=st.sampled_from([False, False, False, True]), lost=st.booleans())
    def hand_back(self, data: st.DataObject, lie: bool, lost: bool) -> None:
        name, job, attempt = self.someone(data, lie=lie)
        self.model.hand_back(name, job, attempt, lost)
        self.send(ev.AttemptReleased(name, job, attempt, lost))

    @rule(ms=st.sampled_from([1, 1_000, 6_000, 10_000, 20_000]))
    def time_passes(self, ms: int) -> None:
        self.model.now += ms
        self.model.tick()
        self.send(ev.Tick())

    @rule(data=st.data(), late=st.sampled_from([0, 0, 1]))
    def settled(self, data: st.DataObject, late: int) -> None:
        over = sorted(job for job, seen in self.core.jobs.items() if seen.state is State.FINISHED)
        if over:
            job = data.draw(st.sampled_from(over))
            if not late:
                self.durable.add(job)
            seen = self.core.jobs[job]
            self.send(ev.Settled(job, seen.queued, seen.rev - late))

    @rule(retention=st.sampled_from([0, 5_000, 60_000]))
    def configured(self, retention: int) -> None:
        self.model.retention = retention or POLICY.retention
        (saved,) = [e for e in self.send(ev.Configured(retention, "me")) if isinstance(e, fx.SaveSettings)]
        assert (saved.reply_to, saved.own, saved.retention) == ("me", retention, self.model.retention)

    @rule(data=st.data())
    def come_due(self, data: st.DataObject) -> None:
        """Some jobs are said to be due, in memory or not; the core forgets those that are."""
        asked = data.draw(st.lists(jobs_, max_size=4, unique=True))
        named = [job_id(number) for number in asked]
        away = [job for job in named if job in self.stored and job not in self.core.jobs]
        stored = [Job.unpack(self.stored[job]) for job in away]
        for job in named:
            run = self.model.jobs.get(job)
            if run and run.state is State.FINISHED and self.model.now - run.finished >= self.model.retention:
                del self.model.jobs[job]
                self.attempts.pop(job, None)
        self.model.give_up_waiting()
        self.send(ev.Due(named, stored))

    @precondition(lambda self: self.stored)
    @rule()
    def hub_restarts(self) -> None:
        found = [Job.unpack(row) for row in self.stored.values()]
        open_ = [job for job in found if not job.state.over]
        self.durable = set(self.stored)
        retention = self.core.retention
        self.core = QueueCore(POLICY)
        self.core.restore(
            open_,
            self.model.now,
            finished=len(found) - len(open_),
            number=max((job.number for job in found), default=0),
            retention=retention,
        )
        self.model.restart()
        self.compare()


QueueMachine.TestCase.settings = settings(
    max_examples=150,
    stateful_step_count=50,
    # A landing is judged on the same examples every time; everywhere else they are new ones.
    derandomize=os.environ.get("CI") == "true",
    deadline=None,
    suppress_health_check=list(HealthCheck),
)
TestQueueAgainstAPlainModel = pytest.mark.timeout(600)(QueueMachine.TestCase)
