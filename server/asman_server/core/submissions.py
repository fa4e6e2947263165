"""Submissions: runs begun, joined or answered from the cache, and the namespaces that hold a job."""

from __future__ import annotations

from typing import Final

from asman_shared import limits
from asman_shared.states import Reason, Reuse, State

from . import assignments, endings, webhooks
from . import effects as fx
from . import events as ev
from .job import Job
from .job_state import run_of, standing
from .state import QueueState
from .verdicts import answers

ALL_NAMESPACES: Final = "*"
DEFAULT_NAMESPACE: Final = "_"
PAUSED: Final = "the queue is paused: its jobs wait until its owner resumes it (asman queue resume)"
CROWDED: Final = f"{limits.NAMESPACES_PER_JOB} namespaces hold this job, which is the maximum; submit it in one of them"


def submit(state: QueueState, event: ev.Submitted, now: int) -> None:
    """Takes a submission in, with one of five outcomes.

    They are looked for in this order:

    1. refused: the job has no room for another webhook (`webhooks.FULL`);
    2. crowded: as many namespaces hold the unfinished job as may, and this is another one (`CROWDED`);
    3. cached: the job has a result that the submission reuses (`verdicts.answers`), which is the answer;
    4. joined: the job waits or runs already, and this submission waits with the others;
    5. queued: a new run begins, and is offered to the workers.

    So a submission that comes while the job runs joins that run whatever it reuses: nobody runs a job twice at a time.
    Before outcomes 3 to 5 the namespace releases the job that it held.
    """
    job = state.jobs.get(event.job)
    if webhooks.full(job, event.calls):
        state.out.append(fx.Refused(event.reply_to, "too_large", webhooks.FULL))
        return
    if job is not None and not job.state.over and _crowded(job, event.namespace):
        state.out.append(fx.Refused(event.reply_to, "too_large", CROWDED))
        return
    if event.namespace != DEFAULT_NAMESPACE:
        _take_slot(state, event.namespace, event.job, now)
    if job is not None and job.state is State.FINISHED and _answered(state, job, event):
        return
    if job is not None and job.state is not State.FINISHED:
        _hold(state, job, event.namespace)
        if webhooks.joined(job, event):
            state.changed(job)
        _raise_priority(state, job, event.priority, now)
        able, why = _able(state, job)
        state.out.append(fx.SubmitAnswer(event.reply_to, "joined", job, able, why))
        return
    earlier = job.verdict if job is not None else None
    if job is None:
        floor = state.removed.pop(event.job, 0)
        job = Job(
            id=event.job,
            number=0,
            summary=event.summary,
            shape=event.shape,
            floor=floor,
            queued=state.last_removed,
        )
        state.jobs[event.job] = job
    else:
        state.finished -= 1
        keep_run(state, job)
    begin(state, job, event, now)
    state.out.extend(webhooks.begun(job, event))
    able, why = _able(state, job)
    state.out.append(fx.SubmitAnswer(event.reply_to, "queued", job, able, why, earlier))
    assignments.offer(state, job, now)


def would_begin(job: Job | None, reuse: Reuse) -> bool:
    """Whether a submission would begin a new run of a job, instead of joining one or getting a stored result."""
    if job is None:
        return True
    return job.state is State.FINISHED and not (answers(job.verdict, reuse) or answers(job.previous, reuse))


def _answered(state: QueueState, job: Job, event: ev.Submitted) -> bool:
    """Answers with the result of a finished job, if it has one that the submission reuses.

    After a run that came to nothing, such as a cancelled one, the result before it is the job's result again.
    """
    if not answers(job.verdict, event.reuse):
        if not answers(job.previous, event.reuse):
            return False
        keep_run(state, job)
        fall_back(job)
        state.changed(job)
    _hold(state, job, event.namespace)
    state.out.extend(webhooks.cached(job, event))
    state.out.append(fx.SubmitAnswer(event.reply_to, "cached", job, 0, ""))
    return True


def _able(state: QueueState, job: Job) -> tuple[int, str]:
    """Returns the number of workers that could run a job, and the reason why none can or will now."""
    able, why = state.fleet.able.count(job.shape)
    return able, PAUSED if state.paused else why


def begin(state: QueueState, job: Job, event: ev.Submitted, now: int) -> None:
    """Begins a new run of a job; of the old run the attempt number, a result and its place among the runs stay.

    Clients tell the runs of a job apart by the time of their submission, so no two runs have the same.
    """
    state.number += 1
    if job.verdict is not None and job.verdict.reason.cacheable:
        job.previous = job.verdict
    job.number = state.number
    job.verdict = None
    job.forced = event.reuse == "never"
    job.losses = 0
    job.log_start = job.log_next
    job.log_bytes = 0
    job.returned = job.started = job.ran = job.finished = 0
    job.worker = job.worker_name = job.back = ""
    job.queued = max(now, job.queued + 1)
    job.priority = event.priority
    job.run_limit = event.run_limit
    job.queue_limit = event.queue_limit
    job.phase_limits = event.phase_limits or None
    job.max_attempts = event.max_attempts
    job.holders = (event.namespace,)
    job.lane = event.namespace
    if event.namespace != DEFAULT_NAMESPACE:
        state.slots[event.namespace] = job.id
    job.state = State.QUEUED
    state.ready.push(job)
    state.waits.watch(job)
    state.changed(job, first=True)


def keep_run(state: QueueState, job: Job) -> None:
    """Adds the present run, which has ended, to those that stay readable, and begins the log of the next.

    The newest `limits.RUNS_KEPT` stay. Of their logs the newest stay that together are no larger than the log of one
    run may be.
    """
    runs = job.runs or []
    if not runs or runs[-1].queued != job.queued:
        runs = [*runs, run_of(job, job.verdict)][-limits.RUNS_KEPT :]
        room = state.policy.log_bytes
        kept = job.log_next
        for run in reversed(runs):
            room -= run.log_bytes
            if room < 0 and run is not runs[-1]:
                break
            kept = run.log_start
        job.log_kept = max(job.log_kept, kept)
        job.runs = runs
    state.out.append(fx.BeginRun(job.id, job.log_kept))


def fall_back(job: Job) -> None:
    """Gives a job, whose latest run came to nothing, the earlier verdict again, with the log and worker of its run."""
    job.verdict, job.previous = job.previous, None
    run = standing(job)
    if run is not None:
        job.started, job.ran = run.started, run.ran
        job.worker_name = run.worker
        job.log_start, job.log_bytes = run.log_start, run.log_bytes


def release(state: QueueState, job: Job, namespace: str, reason: Reason, now: int) -> bool:
    """Takes a job out of one namespace or all; stops it when no namespace holds it any more.

    Returns:
        Whether a namespace held it.
    """
    if job.state is State.FINISHED:
        return False
    if namespace == ALL_NAMESPACES:
        left: tuple[str, ...] = ()
    elif namespace in job.holders:
        left = tuple(held for held in job.holders if held != namespace)
    else:
        return False
    for gone in set(job.holders) - set(left):
        if state.slots.get(gone) == job.id:
            del state.slots[gone]
    if left:
        state.out.extend(webhooks.released(job, set(job.holders) - set(left), reason))
        job.holders = left
        state.changed(job)
    else:
        endings.stop(state, job, reason, now)
    return True


def _take_slot(state: QueueState, namespace: str, wanted: str, now: int) -> None:
    """Releases the job that a namespace holds, unless that is the wanted one."""
    held = state.slots.get(namespace)
    if held is None or held == wanted:
        return
    older = state.jobs.get(held)
    if older is not None:
        release(state, older, namespace, Reason.REPLACED, now)


def _hold(state: QueueState, job: Job, namespace: str) -> None:
    """Adds a namespace to the holders of a job."""
    if namespace not in job.holders and not _crowded(job, namespace):
        job.holders = (*job.holders, namespace)
        state.changed(job)
    if namespace != DEFAULT_NAMESPACE and job.state is not State.FINISHED:
        state.slots[namespace] = job.id


def _raise_priority(state: QueueState, job: Job, priority: int, now: int) -> None:
    """Makes a job that several want as urgent as the most urgent of them."""
    if priority <= job.priority:
        return
    state.changed(job)
    if job.state is State.QUEUED:
        state.ready.lines[job.shape].move(job, priority, state.ready.turns)
        # It may come before the job for which room is being kept.
        assignments.offer(state, job, now)
    else:
        job.priority = priority


def _crowded(job: Job, namespace: str) -> bool:
    """Whether as many namespaces hold a job as may, and this is another one."""
    return len(job.holders) >= limits.NAMESPACES_PER_JOB and namespace not in job.holders
