"""Bugs planted on purpose: a simulation that does not find them proves nothing.

Each bug is a mistake that a reasonable person might make, or a line that might be forgotten.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import Any, Final

import msgspec

from asman_server.core import assignments, claims, endings, submissions
from asman_server.core import events as ev
from asman_server.core import queue as queue_module
from asman_server.core.fleet import Fleet
from asman_server.core.job import Job
from asman_server.core.job_state import state_of
from asman_server.core.queue import QueueCore
from asman_server.core.ready import Ready
from asman_server.core.state import QueueState
from asman_server.core.worker import Worker
from asman_server.dialect.unproved import UnprovedClaims
from asman_server.dialect.worker_session import DialectWorker
from asman_server.logs import follow as follow_module
from asman_server.logs.follow import LogFollow
from asman_server.queues.job_log import JobLog
from asman_server.queues.recall import Recall
from asman_server.queues.shell import QueueShell
from asman_server.sessions.client import ClientSession
from asman_server.storage import group_commit as group_commit_module
from asman_server.storage.batch import Batch
from asman_server.storage.commit import Commit, Unwritable
from asman_server.storage.group_commit import GroupCommitter
from asman_server.storage.row_kinds import LOG_CHUNKS
from asman_server.webhooks.deliver import Deliverer
from asman_shared.encoded import EncodedMessage
from asman_shared.errors import Unavailable
from asman_shared.messages import LogLines
from asman_shared.running.supervisor import Supervisor
from asman_shared.states import Phase, State

Undo = Callable[[], None]


def _no_fence(original: Any) -> Any:
    """Accepts a result from any worker."""

    def live(self: QueueState, incarnation: str, job_id: str, attempt: int) -> Any:
        worker = self.workers.get(incarnation)
        job = self.jobs.get(job_id)
        if worker is None or job is None or job.state is not State.RUNNING:
            return worker, None
        return worker, job

    del original
    return live


def _attempt_of_any_worker(original: Any) -> Any:
    """Checks the attempt number but not its worker, and forgets to increase it on a new run."""

    def begin(state: QueueState, job: Any, event: Any, now: int) -> None:
        job.attempt = 0
        original(state, job, event, now)

    return begin


def _free_losses(original: Any) -> Any:
    """Charges nothing for a lost worker, so a job that kills its workers is retried for ever."""

    def requeue(state: QueueState, job: Any, now: int, why: str, *, lost: bool) -> None:
        original(state, job, now, why, lost=False)

    return requeue


def _gives_while_paused(original: Any) -> Any:
    """Looks at the pause where jobs come, and not where workers do."""

    def fill(state: QueueState, worker: Worker, now: int) -> None:
        paused, state.paused = state.paused, 0
        try:
            original(state, worker, now)
        finally:
            state.paused = paused

    return fill


def _pause_in_memory_alone(original: Any) -> Any:
    """Forgets a pause when the hub starts again."""

    def restored(self: QueueState, **totals: Any) -> None:
        original(self, **{**totals, "paused": 0})

    return restored


def _drained_until_they_come_back(original: Any) -> Any:
    """Takes a drained worker that connects again for a ready one."""

    def joined(self: QueueCore, event: ev.WorkerJoined, now: int) -> None:
        known = self.workers.get(event.info.incarnation)
        leaving = known.leaving if known is not None else 0
        if known is not None:
            known.leaving = 0
        original(self, event, now)
        if known is not None:
            known.leaving = leaving

    return joined


def _no_grace_end(original: Any) -> Any:
    """Waits for a lost worker for ever."""

    def bury(state: QueueState, worker: Any, now: int, *, charge: bool) -> None:
        if not charge:
            original(state, worker, now, charge=charge)

    return bury


def _merge_views(original: Any) -> Any:
    """Trusts a reconnecting worker's list of attempts."""

    def merged(worker: Worker, holding: Any, jobs: Any, settled: Any, now: int) -> Any:
        found = original(worker, holding, jobs, settled, now)
        found.abort = [held for held in found.abort if held.job in jobs and not jobs[held.job].state.over]
        return found

    return merged


def _lost_assignment(original: Any) -> Any:
    """Does not notice that an assignment never arrived."""

    def blind(worker: Worker, holding: Any, jobs: Any, settled: Any, now: int) -> Any:
        said = {(h.job, h.attempt) for h in holding}
        missing = {k: v for k, v in worker.leases.items() if k not in said}
        for key in missing:
            del worker.leases[key]
        found = original(worker, holding, jobs, settled, now)
        worker.leases.update(missing)
        return found

    return blind


def _capacity_freed_at_abort(original: Any) -> Any:
    """Counts the room of an aborted attempt as free before its container is gone, and frees it again then."""

    def revoke(state: QueueState, job: Any, why: str) -> None:
        worker = state.workers.get(job.worker)
        original(state, job, why)
        if worker is not None and (job.id, job.attempt) in worker.leases:
            worker.free_cpus += job.shape.cpus

    return revoke


def _oversell(original: Any) -> Any:
    """Compares with a worker's capacity instead of its free capacity."""

    def fits(self: Worker, shape: Any) -> bool:
        return not self.lacks(shape) and self.free_cpus > 0

    del original
    return fits


def _source_unseen(original: Any) -> Any:
    """Gives a job to any worker with room, whether it runs containers or not."""

    def lacks(self: Worker, shape: Any) -> str:
        known, self.sources = self.sources, frozenset()
        try:
            return str(original(self, shape))
        finally:
            self.sources = known

    return lacks


def _source_forgotten(original: Any) -> Any:
    """Takes a stored job for one that names an image."""

    def of(record: Any) -> Any:
        job = original(record)
        job.shape = msgspec.structs.replace(job.shape, source="image")
        return job

    return staticmethod(of)


def _told_before_durable(original: Any) -> Any:
    """Tells followers at once instead of after the commit."""

    def changed(self: GroupCommitter, publisher: Any, job: Any, *, first: bool) -> None:
        original(self, publisher, job, first=first)
        publisher.publish([(state_of(job), first)])

    return changed


def _answers_lost_on_failure(original: Any) -> Any:
    """Forgets the answers of a commit that failed."""

    def failed(self: GroupCommitter, batch: Batch, reason: str) -> None:
        batch.answers = []
        original(self, batch, reason)

    return failed


def _dirty_lost_on_failure(original: Any) -> Any:
    """Forgets the dirty jobs of a commit that failed, if newer changes are waiting."""

    def absorb(self: Batch, newer: Batch) -> None:
        if newer.dirty:
            self.dirty.clear()
        original(self, newer)

    return absorb


def _evicted_too_early(original: Any) -> Any:
    """Lets a finished job leave memory before it is durable."""

    def finish(state: QueueState, job: Any, verdict: Any, now: int) -> None:
        original(state, job, verdict, now)
        state.remember(job)

    return finish


def _slots_never_freed(original: Any) -> Any:
    """Leaves a finished job in its namespace."""

    def finish(state: QueueState, job: Any, verdict: Any, now: int) -> None:
        kept = dict(state.slots)
        original(state, job, verdict, now)
        state.slots.update({k: v for k, v in kept.items() if k not in state.slots})

    return finish


def _release_stops_all(original: Any) -> Any:
    """Stops a job although somebody else still holds it: one namespace speaks for all."""

    def release(state: QueueState, job: Any, namespace: str, reason: Any, now: int) -> bool:
        if namespace in job.holders:
            return bool(original(state, job, "*", reason, now))
        return bool(original(state, job, namespace, reason, now))

    return release


def _failure_cached(original: Any) -> Any:
    """Answers with any stored verdict."""

    def submitted(self: QueueCore, event: ev.Submitted, now: int) -> None:
        job = self.jobs.get(event.job)
        if job is not None and job.state is State.FINISHED and job.verdict is not None:
            job.previous = None
            from asman_server.core import effects as fx

            self.state.out.append(fx.SubmitAnswer(event.reply_to, "cached", job, 0, ""))
            return
        original(self, event, now)

    return submitted


def _stale_turn(original: Any) -> Any:
    """Forgets a line while jobs wait in it."""

    def gone(self: Ready, job: Any, *, served: bool) -> None:
        original(self, job, served=served)
        line = self.lines.get(job.shape)
        if line is not None and line.waiting == 1:
            del self.lines[job.shape]

    return gone


def _keeper_forgotten(original: Any) -> Any:
    """Does not look again at a worker that was kept free for a job that has gone."""

    def take_freed(self: Fleet) -> list[Worker]:
        original(self)
        return []

    return take_freed


def _freed_once(original: Any) -> Any:
    """Offers the room that the event has freed, and forgets that this may free more."""

    def settle(state: QueueState, now: int) -> None:
        for worker in state.fleet.take_freed():
            assignments.fill(state, worker, now)
        if state.returned:
            assignments._offer_returned(state, now)

    del original
    return settle


def _urgent_one_waits(original: Any) -> Any:
    """Does not offer a job that has become more urgent."""

    def raised(state: QueueState, job: Any, priority: int, now: int) -> None:
        offer = assignments.offer
        assignments.offer = lambda *_: None
        try:
            original(state, job, priority, now)
        finally:
            assignments.offer = offer

    return raised


def _kept_room_is_kept_from_all(original: Any) -> Any:
    """Keeps room for a job from all others, however urgent they are."""

    def kept(self: Fleet, worker: Worker, line: Any) -> bool:
        return any(shape != line.shape for shape in self.kept_on(worker))

    del original
    return kept


def _resubmitting_ends_following(original: Any) -> Any:
    """Treats a client that submits a finished job again as one that needs no further messages about it."""

    def answered(state: QueueState, job: Any, event: ev.Submitted) -> bool:
        cached = bool(original(state, job, event))
        reply_to = event.reply_to
        session = getattr(getattr(reply_to, "say", None), "__self__", None)
        if cached and isinstance(session, ClientSession):
            session._shell.fanout.unfollow(job.id, session)
        return cached

    return answered


def _end_unseen_at_start(original: Any) -> Any:
    """Does not look again whether the job has ended while its log was taken up."""

    async def start(self: LogFollow) -> None:
        job = await self._shell.job(self._job)
        self._finished = job.state.over
        if not self._finished:
            self._log = await self._shell.logs.open(self._job)
            self._log.followers[self] = None
        self._catch_up()

    del original
    return start


def _gaps_inside_pages_untold(original: Any) -> Any:
    """Sends a page as it was read, with its gaps."""

    def unbroken(lines: Any) -> Any:
        return [lines] if lines else []

    del original
    return unbroken


def _gaps_in_new_lines_untold(original: Any) -> Any:
    """Pushes new lines as if they followed the ones before, and does not report missing ones."""

    def admit(self: JobLog, piece: Any, size: int) -> None:
        first, followers, self.followers = self.next_seq, self.followers, {}
        original(self, piece, size)
        self.followers = followers
        encoded = EncodedMessage(LogLines(job=self.job, lines=piece))
        for follower in list(followers):
            follower.lines(encoded, first, piece[-1].seq)

    return admit


def _lines_twice(original: Any) -> Any:
    """Accepts repeated lines again."""

    def add(self: JobLog, lines: Any) -> None:
        self.next_seq = min([self.next_seq, *[line.seq for line in lines]])
        original(self, lines)

    return add


def _final_before_last_line(original: Any) -> Any:
    """Reports that a job is finished without waiting for its last line."""

    def changed(self: ClientSession, encoded: Any, state: Any) -> None:
        self.send_buffer.push(encoded)
        follow = self._logs.pop(state.id, None) if state.state.over else None
        if follow is not None:
            follow.stop()

    del original
    return changed


def _resurrected(original: Any) -> Any:
    """Brings back a job that is being deleted."""

    async def recall(self: Recall, job_id: str) -> Any:
        self._forgetting.clear()
        return await original(self, job_id)

    return recall


def _phase_forgotten(original: Any) -> Any:
    """Never notes that an attempt has begun, so that everything looks like a lost assignment."""

    def reported(self: QueueCore, event: ev.PhaseReported, now: int) -> None:
        original(self, event, now)
        worker = self.workers.get(event.incarnation)
        lease = worker.leases.get((event.job, event.attempt)) if worker is not None else None
        if lease is not None:
            lease.phase = Phase.ASSIGNED

    return reported


def _replaced_by_late_loss(original: Any) -> Any:
    """Lets the end of an old connection end the new one."""

    def lost(self: QueueCore, event: ev.WorkerLost, now: int) -> None:
        worker = self.workers.get(event.incarnation)
        if worker is not None:
            event = ev.WorkerLost(event.incarnation, worker.session)
        original(self, event, now)

    return lost


def _webhooks_lost_on_failure(original: Any) -> Any:
    """Forgets the webhooks of a commit that failed."""

    def absorb(self: Batch, newer: Batch) -> None:
        self.webhooks.clear()
        original(self, newer)

    return absorb


def _webhook_tried_once(original: Any) -> Any:
    """Treats a failed call as made."""

    def failed(self: Deliverer, row: Any, why: str, *, final: bool = False) -> None:
        del final
        original(self, row, why, final=True)

    return failed


def _only_memory_expires(original: Any) -> Any:
    """Ends the retention of jobs in memory alone."""

    async def come_due(self: QueueShell, ids: list[str]) -> None:
        self.apply(ev.Due(ids))

    del original
    return come_due


def _kept_from_the_start(original: Any) -> Any:
    """Counts the retention from the submission."""

    def due(self: QueueState, job: Any) -> int:
        return job.queued - job.finished + original(self, job) if job.finished else int(original(self, job))

    return due


def _phase_limit_unenforced(original: Any) -> Any:
    """Leaves the limits of phases to the worker."""

    def check(state: QueueState, worker: Worker, now: int) -> None:
        kept = {}
        for lease in worker.leases.values():
            job = state.jobs.get(lease.job)
            if job is not None:
                kept[job.id], job.phase_limits = job.phase_limits, None
        original(state, worker, now)
        for job_id, limits in kept.items():
            if job_id in state.jobs:
                state.jobs[job_id].phase_limits = limits

    return check


def _leaves_while_it_changes(original: Any) -> Any:
    """Lets a job that was settled once leave memory for good."""

    def changed(self: QueueState, job: Any, *, first: bool = False, ended: bool = False) -> None:
        settled = dict(self.settled)
        original(self, job, first=first, ended=ended)
        self.settled.clear()
        self.settled.update(settled)

    return changed


def _claims_of_what_others_have(original: Any) -> Any:
    """Gives a job to the worker that claims it last."""

    def claimed(self: QueueCore, event: ev.Claimed, now: int) -> None:
        worker, job = self.workers.get(event.incarnation), self.jobs.get(event.job)
        if worker is not None and job is not None and job.state is State.RUNNING and job.worker != event.incarnation:
            assignments.assign(self.state, worker, job, now)
            return
        original(self, event, now)

    return claimed


def _choosers_are_handed_jobs(original: Any) -> Any:
    """Treats a worker that chooses its jobs like any other."""

    def opened(self: Fleet, worker: Worker) -> bool:
        chooses, worker.chooses = worker.chooses, False
        try:
            return bool(original(self, worker))
        finally:
            worker.chooses = chooses

    return opened


def _claims_without_room(original: Any) -> Any:
    """Compares a claim with the worker's capacity instead of its free capacity."""

    def refusal(worker: Worker, job: Any) -> str:
        why = str(original(worker, job))
        return "" if "no room" in why else why

    return refusal


def _never_missed(original: Any) -> Any:
    """Assumes that a worker that came back still has all its jobs."""

    def confirmed(self: DialectWorker) -> None:
        self._unconfirmed.clear()

    del original
    return confirmed


def _stored_unseen(original: Any) -> Any:
    """Assumes that the contents of the store are known, without noting any."""

    def found_stored(self: QueueState, ids: Any, *, last: bool) -> None:
        del ids
        original(self, (), last=last)

    return found_stored


def _old_connections_speak(original: Any) -> Any:
    """Grants what a connection of the dialect asks for although its worker has a newer one."""
    del original
    return property(lambda self: True)


def _undurable_outcome_dropped(original: Any) -> Any:
    """Tells a worker that comes back to forget an outcome that is in memory alone."""

    def reconcile(worker: Worker, holding: Any, jobs: Any, settled: Any, now: int) -> Any:
        del settled
        return original(worker, holding, jobs, jobs, now)

    return reconcile


def _end_of_a_task_unseen(original: Any) -> Any:
    """Lets a task of the hub end without a word."""

    async def watched(_self: Supervisor, _name: str, work: Any, _may_end: bool) -> None:
        with suppress(Exception):
            await work

    del original
    return watched


def _removed_attempts_are_forgotten(original: Any) -> Any:
    """Begins the attempt numbers of a removed job again, although a worker may still speak of them."""

    def note_removed(_self: QueueState, _job_id: str, _attempt: int) -> None:
        return None

    del original
    return note_removed


def _refused_rows_are_written_again(original: Any) -> Any:
    """Takes a database that refuses a row for one that is away."""

    async def salvage(*_: Any) -> Any:
        raise Unavailable("try again")

    del original
    return salvage


def _lines_first(original: Any) -> Any:
    """Writes the lines of a divided commit before the jobs that they belong to."""

    async def salvage(write: Any, commit: Any, callers: Any) -> Any:
        without = msgspec.structs.replace(commit, puts={**commit.puts, LOG_CHUNKS: {}})
        if lines := commit.puts.get(LOG_CHUNKS):
            with suppress(Unwritable):
                await write(Commit({LOG_CHUNKS: lines}))
        return await original(write, without, callers)

    return salvage


def _removals_told_late(original: Any) -> Any:
    """Tells of removals after all answers of their commit."""

    def release(self: GroupCommitter, batch: Batch, states: Any, said: Any) -> None:
        removals, batch.forget = batch.forget, {}
        original(self, batch, states, said)
        for publisher, job in removals.values():
            publisher.publish([(state_of(job, summary=False), False)])

    return release


def _removals_go_with_refused_rows(original: Any) -> Any:
    """Drops the removals of a commit of which the database refuses a part, and tells them as done."""

    async def salvage(write: Any, commit: Commit, callers: Any, parting: Any) -> Any:
        return await original(write, msgspec.structs.replace(commit, forget=[]), callers, parting)

    return salvage


def _refused_states_are_told(original: Any) -> Any:
    """Tells of a state that the database refuses as if it were durable."""

    def give_up(_self: GroupCommitter, _batch: Batch, _refused: Any, _states: Any, said: Any) -> Any:
        return said

    del original
    return give_up


def _refused_ends_stay(original: Any) -> Any:
    """Puts nothing in the place of a result that can't be stored, so that nobody hears of the end."""

    def give_up(state: QueueState, job: Any, now: int, why: str) -> None:
        if job.state is not State.FINISHED:
            original(state, job, now, why)

    return give_up


def _all_is_proof(original: Any) -> Any:
    """Takes all that a worker sends about a claimed job as proof that it runs, however old it is."""
    del original
    return lambda _self, _claim: True


def _failures_answer_all(original: Any) -> Any:
    """Takes a failure for the answer to whoever wants successes alone."""
    return lambda verdict, reuse: original(verdict, "any" if reuse == "success" else reuse)


def _failures_answer_nobody(original: Any) -> Any:
    """Runs a failed job again for whoever takes any result."""
    return lambda verdict, reuse: original(verdict, "success" if reuse == "any" else reuse)


def _standing_success_unseen(original: Any) -> Any:
    """Looks at the last run alone, so that a cancelled run hides the success before it."""

    def answered(state: QueueState, job: Any, event: Any) -> bool:
        previous, job.previous = job.previous, None
        found: bool = original(state, job, event)
        job.previous = previous
        return found

    return answered


def _runs_forgotten(original: Any) -> Any:
    """Remembers the last run alone."""

    def keep_run(state: QueueState, job: Any) -> None:
        job.runs = None
        original(state, job)

    return keep_run


def _runs_without_end(original: Any) -> Any:
    """Adds the present run again when the next begins, although it is among the runs already."""

    def keep_run(state: QueueState, job: Any) -> None:
        original(state, job)
        if job.runs:
            job.runs = [*job.runs, job.runs[-1]]

    return keep_run


def _logs_of_runs_deleted(original: Any) -> Any:
    """Deletes all lines of a job with those of its oldest run."""

    def trim_log(self: Batch, key: Any, first: int) -> None:
        original(self, key, first + 2**40)

    return trim_log


MUTANTS: Final[dict[str, tuple[Any, str, Callable[[Any], Any]]]] = {
    "results are taken without the fence": (QueueState, "live", _no_fence),
    "attempt numbers start again with each run": (submissions, "begin", _attempt_of_any_worker),
    "lost workers are free of charge": (endings, "requeue", _free_losses),
    "a paused queue gives jobs to workers that come": (assignments, "fill", _gives_while_paused),
    "a pause is forgotten by the next hub": (QueueState, "restored", _pause_in_memory_alone),
    "a drained worker that comes back gets jobs": (QueueCore, "_worker_joined", _drained_until_they_come_back),
    "the grace never ends": (endings, "bury", _no_grace_end),
    "a reconnect merges two views": (queue_module, "reconcile", _merge_views),
    "a lost assignment is not noticed": (queue_module, "reconcile", _lost_assignment),
    "room is free before the container is gone": (assignments, "revoke", _capacity_freed_at_abort),
    "capacity is oversold": (Worker, "fits", _oversell),
    "jobs with an image go to workers without containers": (Worker, "lacks", _source_unseen),
    "a restarted hub takes all jobs for jobs with an image": (Job, "of", _source_forgotten),
    "followers are told before the commit": (GroupCommitter, "changed", _told_before_durable),
    "answers are lost when a commit fails": (GroupCommitter, "_failed", _answers_lost_on_failure),
    "changes are lost when a commit fails": (Batch, "absorb", _dirty_lost_on_failure),
    "jobs leave memory before they are durable": (endings, "finish", _evicted_too_early),
    "finished jobs keep their namespace": (endings, "finish", _slots_never_freed),
    "releasing one namespace releases all": (submissions, "release", _release_stops_all),
    "failures are cached like results": (QueueCore, "_submitted", _failure_cached),
    "a line is forgotten while jobs wait in it": (Ready, "gone", _stale_turn),
    "room kept for a job that has gone stays empty": (Fleet, "take_freed", _keeper_forgotten),
    "room that is freed by handing out other freed room stays empty": (assignments, "settle", _freed_once),
    "a job that has become more urgent is not offered": (submissions, "_raise_priority", _urgent_one_waits),
    "kept room is kept from more urgent jobs, too": (Fleet, "_kept_for_others", _kept_room_is_kept_from_all),
    "submitting a finished job again ends following it": (submissions, "_answered", _resubmitting_ends_following),
    "the end of a job is not seen while its log is taken up": (LogFollow, "start", _end_unseen_at_start),
    "a gap inside a page is not told": (follow_module, "unbroken", _gaps_inside_pages_untold),
    "a gap in new lines is not told": (JobLog, "_admit", _gaps_in_new_lines_untold),
    "log lines are taken twice": (JobLog, "add", _lines_twice),
    "finished comes before the last line": (ClientSession, "changed", _final_before_last_line),
    "deleted jobs are brought back": (Recall, "job", _resurrected),
    "an attempt that has begun looks unbegun": (QueueCore, "_phase_reported", _phase_forgotten),
    "webhooks are lost when a commit fails": (Batch, "absorb", _webhooks_lost_on_failure),
    "a webhook is tried once": (Deliverer, "_failed", _webhook_tried_once),
    "jobs in the store alone are kept for ever": (QueueShell, "come_due", _only_memory_expires),
    "the retention counts from the submission": (QueueState, "due", _kept_from_the_start),
    "limits of phases are left to the worker": (endings, "check_leases", _phase_limit_unenforced),
    "a job that runs again may leave memory": (QueueState, "changed", _leaves_while_it_changes),
    "the end of an old connection ends the new one": (QueueCore, "_worker_lost", _replaced_by_late_loss),
    "a claim takes what another worker has": (QueueCore, "_claimed", _claims_of_what_others_have),
    "workers that choose are handed jobs": (Fleet, "open", _choosers_are_handed_jobs),
    "a claim does not look for room": (claims, "refusal", _claims_without_room),
    "what a worker does not claim again is not missed": (DialectWorker, "_confirmed", _never_missed),
    "stored jobs are taken for absent": (QueueState, "found_stored", _stored_unseen),
    "a worker's old connection claims for it": (DialectWorker, "_speaks", _old_connections_speak),
    "what a worker sent before it read its claim's grant is proof": (UnprovedClaims, "_is_proof", _all_is_proof),
    "an outcome in memory alone is forgotten": (queue_module, "reconcile", _undurable_outcome_dropped),
    "attempt numbers start again when a job is removed": (QueueState, "note_removed", _removed_attempts_are_forgotten),
    "a refused row is written again and again": (group_commit_module, "salvage", _refused_rows_are_written_again),
    "lines are written before their job": (group_commit_module, "salvage", _lines_first),
    "a removal goes with a refused row": (group_commit_module, "salvage", _removals_go_with_refused_rows),
    "a removal is told after the job that comes after it": (GroupCommitter, "_release", _removals_told_late),
    "a refused state is told all the same": (GroupCommitter, "_give_up", _refused_states_are_told),
    "nothing takes the place of a refused result": (endings, "give_up", _refused_ends_stay),
    "failures answer those who take successes alone": (submissions, "answers", _failures_answer_all),
    "failures answer nobody": (submissions, "answers", _failures_answer_nobody),
    "a run that comes to nothing hides the success before it": (submissions, "_answered", _standing_success_unseen),
    "runs before the last are forgotten": (submissions, "keep_run", _runs_forgotten),
    "a run is remembered twice": (submissions, "keep_run", _runs_without_end),
    "the logs of all runs go with that of the oldest": (Batch, "trim_log", _logs_of_runs_deleted),
    "the end of a task is not noticed": (Supervisor, "_watched", _end_of_a_task_unseen),
}
"""The planted bugs by description: the object and attribute that each replaces, and the replacement."""

LIKELIER: Final[dict[str, dict[str, float]]] = {
    "a worker's old connection claims for it": {"return": 60},
    "an outcome in memory alone is forgotten": {"outage": 40},
    "what a worker sent before it read its claim's grant is proof": {"database": 60},
    "a refused row is written again and again": {"row": 20},
    "a removal goes with a refused row": {"row": 40},
}
"""Weights of faults while a planted bug is hunted that needs a rare one, by its description."""
