"""The judge, which checks every message and commit of a run against the promises."""

from __future__ import annotations

import asyncio
import json
from collections import defaultdict
from collections.abc import Sequence
from itertools import pairwise
from typing import TYPE_CHECKING

import msgspec

from asman_server.core.job_state import runs_of
from asman_server.storage.commit import JobRow, LogChunk, WebhookRow
from asman_server.webhooks.sender import NotDelivered
from asman_shared import limits
from asman_shared.definition import Definition, Source
from asman_shared.messages import Accepted, JobState
from asman_shared.states import Fault, Reason, State
from tests.simulation.loop import virtual_clock

if TYPE_CHECKING:
    from tests.simulation.world import World


LOOK_TWICE = 140
"""Time in which the retention is checked twice, in seconds."""


class Judge:
    """Checks every message and commit of a run against the promises.

    A broken promise raises an AssertionError."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.acked: set[str] = set()
        self.deleted: set[str] = set()
        self.forced: set[str] = set()
        self.hooked: dict[str, set[str]] = {}
        self.calls: dict[str, set[str]] = defaultdict(set)
        self._durable: set[str] = set()
        self._seen: dict[str, dict[int, bytes]] = defaultdict(dict)
        self._attempts: dict[str, dict[int, int]] = defaultdict(dict)
        self._verdicts: dict[tuple[str, int, bool], bytes] = {}
        self._runs: dict[str, dict[int, int]] = defaultdict(dict)
        self._accepted: dict[str, set[int]] = defaultdict(set)

    def acknowledged(self, asked: str, state: JobState) -> None:
        """Checks the answer to a submit."""
        assert state.id == asked, "the answer is about another job"
        self.acked.add(state.id)

    def answered(self, reuse: str, answer: Accepted) -> None:
        """Checks whether a submission was answered as it wanted: a run begins only if there is no such result."""
        if answer.answer == "cached":
            verdict = answer.job.verdict
            assert verdict is not None, "a cached answer without a verdict"
            assert reuse != "never", "a forced run was answered by a result"
            assert verdict.reason.cacheable, "a run that came to nothing was told as a result"
            assert verdict.ok or reuse == "any", "a failure was the answer to one who takes successes alone"
        elif answer.answer == "queued" and answer.earlier is not None and reuse != "never":
            assert not answer.earlier.ok, "a success was run again"
            assert reuse == "success" or not answer.earlier.reason.cacheable, "a job with a result was run again"

    def trimmed(self, queue: str, job: str, first: int) -> None:
        """Checks that no lines are removed of a run that is remembered with its log."""
        row = self.world.database.rows.get((queue, job))
        kept = row is not None and self.world.database.job_now(queue, job).log_kept < first
        assert not kept, "lines were removed of a run that is kept"

    def given(self, sources: Sequence[Source], made: Definition) -> None:
        """Checks that a worker runs jobs like the one that it was given."""
        if sources:
            assert made.image is None or "image" in sources, "a job with an image is on a worker without containers"
            assert made.image or "machine" in sources, "a job without an image is on a worker with containers"

    def accepted(self, job: str, attempt: int) -> None:
        """Notes that a worker was told that its result counts."""
        self._accepted[job].add(attempt)

    def committed(self, row: JobRow) -> None:
        """Notes that a job's state has become durable, and checks that no earlier run of it got lost."""
        self._durable.add(row.id)
        runs = runs_of(self.world.database.job_now(row.queue, row.id))
        assert len(runs) <= limits.RUNS_KEPT + 1, "a job remembers too many runs"
        told = self._runs[row.id]
        for older, newer in pairwise(runs):
            assert newer.number == older.number + 1, "a run is missing"
            assert newer.queued > older.queued and newer.log_start >= older.lines, "two runs overlap"
        for run in runs:
            known = told.setdefault(run.queued, run.number)
            assert known == run.number or row.id in self.world.deletes, "a run was counted anew"

    def lines_stored(self, chunk: LogChunk) -> None:
        """Checks that lines are stored with an attempt to whom they belong: the next hub counts on from there."""
        row = self.world.database.rows.get((chunk.queue, chunk.job))
        begun = row is not None and self.world.database.job_now(chunk.queue, chunk.job).attempt > 0
        assert begun, "lines were stored of a job that never ran, as far as the store knows"

    def forgotten(self, row: JobRow) -> None:
        """Checks that a job was removed for good only on request or at the end of its retention."""
        if row.id in self.world.deletes:
            return
        if row.id in self.world.database.refused:  # it could not be stored, and then not even its end
            self.world.deletes.add(row.id)
            return
        assert row.state == State.FINISHED.value, "an unfinished job was forgotten"
        assert row.finished + self.world.retention <= virtual_clock(), "a job was forgotten before its time"
        # From here on, its id may name another run, and clients that remember this run may hear of that one.
        self.world.deletes.add(row.id)

    async def call(self, row: WebhookRow) -> None:
        """Takes the call of a webhook; the receiver is not always reachable."""
        await asyncio.sleep(self.world.random.expovariate(1 / 0.3))
        if not self.world.healed and self.world.random.random() < 0.3:
            raise NotDelivered("nobody is there")
        job = json.loads(row.body)["jobId"]
        if job not in self._durable and job not in self.world.deletes | self.world.database.refused:
            # An error that is raised here would count as a failed try.
            self.world.host.broken = AssertionError("a webhook told of a job that is not durable")
        self.calls[job].add(row.event)

    def told(self, _client: str, state: JobState) -> None:
        """Checks a state that a client was told."""
        row = self.world.database.rows.get(("sim", state.id))
        if state.id not in self.deleted and state.state is not State.REMOVED and state.id not in self.world.deletes:
            assert row is not None, "a client was told of a job that is not durable"
            stored = self.world.database.job_now("sim", state.id)
            assert stored.rev >= state.rev, "a client was told a state that is not durable"
        if state.id in self.world.deletes:
            return
        plain = msgspec.structs.replace(state, summary=None)
        said = msgspec.msgpack.encode(plain)
        known = self._seen[state.id].setdefault(state.rev, said)
        assert known == said, f"two clients were told different things: {known!r} and {said!r}"
        if state.verdict is not None and state.verdict.reason is Reason.CANCELLED:
            asked = self.world.cancels.get(state.id, set())
            assert "*" in asked or set(state.namespaces) <= asked, "a job was cancelled that somebody still wanted"
        revs = self._attempts[state.id]
        revs[state.rev] = state.attempt
        assert all(a <= state.attempt for r, a in revs.items() if r < state.rev), "an attempt number fell"
        if state.verdict is not None and state.id not in self.forced:
            verdict = msgspec.msgpack.encode(state.verdict)
            # After a run that came to nothing, the result before it is the job's result again.
            first = self._verdicts.setdefault((state.id, state.queued, state.verdict.reason.cacheable), verdict)
            assert first == verdict, "the result of a run changed"

    def final(self) -> None:
        """Checks the end of the run, after everything was healed and has come to rest."""
        world = self.world
        jobs = world.database.jobs_now("sim")
        for job_id in self.acked - world.deletes:
            job = jobs.get(job_id)
            refused = job_id in world.database.refused
            if refused and job is None:
                continue
            assert job is not None, "an acknowledged job is gone"
            assert job.state is State.FINISHED, f"an acknowledged job never ended: {job}"
            assert job.verdict is not None
            poison = job.summary.image == "poison"
            # The hub stops an attempt ahead of the commit, which a crash may undo: that looks like a loss.
            stopped = job.summary.image == "stuck" or job_id in world.cancels or job_id in world.slotted
            if refused and job.verdict.reason is Reason.ERROR:
                assert job.verdict.fault is Fault.HUB, "a job that could not be stored ended as somebody else's fault"
                continue
            if world.calm and not world.poisoned and not poison and not stopped and not world.choosers:
                assert job.losses == 0, "an attempt was charged although no worker was lost"
            allowed = {Reason.SUCCESS, Reason.FAILED, Reason.WORKER_LOST}
            if job_id in world.limited or job.summary.image == "stuck":
                allowed |= {Reason.TIMED_OUT}
            if job_id in world.cancels or job_id in world.slotted:
                allowed |= {Reason.CANCELLED, Reason.REPLACED}
            assert job.verdict.reason in allowed, f"ended as {job.verdict.reason}"
            if job.verdict.reason in (Reason.SUCCESS, Reason.FAILED) and job_id not in self.forced:
                said = job.verdict.message
                mine = said.endswith(f"/{job.attempt}") or said == f"chosen by {job.worker_name}"
                mine = mine or bool(job.runs and job.runs[-1].queued == job.queued)  # the result of an earlier run
                assert mine, "the accepted result is another attempt's"
        for job_id, answers in self.hooked.items():
            if job_id in world.database.refused:
                continue
            assert "finished" in self.calls[job_id], "a webhook was never called at the end of its job"
            assert "queued" not in answers or "queued" in self.calls[job_id], "a webhook was never called for a new run"
        assert not world.database.calls, "webhooks are left that nobody calls"
        late = virtual_clock() - 1000 * LOOK_TWICE
        for job in jobs.values():
            assert job.state is not State.FINISHED or job.finished + world.retention > late, "a job outlived its time"
        for client in world.clients:
            assert not client.wanted, f"{client.name} was never answered about {len(client.wanted)} jobs"
            assert not client.cancelling, f"{client.name} was never answered about a cancel"
            assert not client.deleting, f"{client.name} was never answered about a delete"
        for worker in world.hands:
            assert not worker.runs, f"{worker.name} still has {len(worker.runs)} attempts that nobody wants"
