"""Explanations of a job's state, as a sentence and as numbers."""

from __future__ import annotations

import heapq
from collections import Counter
from itertools import islice
from typing import Final

from asman_shared.messages import Explanation, Need, Verdict
from asman_shared.states import Phase, Reason, State
from asman_shared.units import format_duration

from .able import chief
from .job import Job
from .queue import QueueCore
from .ready import Ready, waits
from .submissions import PAUSED
from .worker import Presence, Worker

COUNTED: Final = 1000
"""Most jobs that are counted ahead of a waiting one."""
LOOKED_AT: Final = 10_000
"""Most entries that are looked at while counting; some belong to jobs that no longer wait."""
_LACKS: Final[tuple[Need, ...]] = ("gpus", "cpus", "memory", "tags", "platform", "duration")
_DOING: Final = {
    Phase.ASSIGNED: "was assigned to {worker}, which has not started it",
    Phase.STAGING: "is on {worker}, which is fetching its inputs",
    Phase.PULLING: "is on {worker}, which is pulling its image",
    Phase.BUILDING: "is on {worker}, which is building its image",
    Phase.RUNNING: "is running on {worker}",
    Phase.UPLOADING: "has run on {worker}, which is uploading its outputs",
}
_ENDED: Final = {
    Reason.CANCELLED: "was cancelled",
    Reason.REPLACED: "was stopped, because a newer job took its place",
    Reason.DELETED: "was deleted",
    Reason.TIMED_OUT: "was stopped, because its time limit passed",
    Reason.OUT_OF_MEMORY: "was stopped, because it used more memory than it may",
    Reason.WORKER_LOST: "was given up, because its workers were lost",
    Reason.ERROR: "could not be run",
}


def explain(core: QueueCore, job: Job, now: int, ref: int = 0) -> Explanation:
    """Explains the state of a job.

    Args:
        core: The queue, which is only read.
        job: One of its jobs.
        now: Epoch milliseconds.
        ref: The ref of the answer.
    """
    able, why = core.fleet.able.count(job.shape)
    ready = [worker for worker in core.workers.values() if worker.presence is Presence.READY]
    made = Explanation(ref=ref, job=job.id, state=job.state, sentence="", able=able, workers=len(ready))
    if job.state is State.QUEUED:
        made.position, made.beyond = position(core.ready, job)
        made.waiting_for, sentence = _waiting(core, job, ready, made, why)
        made.sentence = f"{job.back}, so it waits again: {sentence}" if job.back else sentence
    elif job.state is State.RUNNING:
        made.phase, made.worker = job.phase, job.worker_name
        made.sentence = _running(core, job, now)
    else:
        made.verdict = job.verdict
        made.sentence = ended(job.verdict)
    return made


def position(ready: Ready, job: Job) -> tuple[int, bool]:
    """Counts the jobs ahead of a waiting one, and says whether there are more than were counted.

    The order is the one in which jobs would be assigned if every job fitted every worker: priority, turn, age. Where a
    namespace has jobs of several priorities or shapes, each of these lines is taken to begin at its present turn. At
    most `COUNTED` jobs are walked from the head, so the answer costs the same in any queue.
    """
    order = heapq.merge(*(line.order(ready.turns) for line in ready.lines.values()), key=lambda entry: entry[0])
    count = 0
    for rank, other in islice(order, LOOKED_AT):
        if not waits(rank, other):
            continue
        if other is job:
            return count, False
        count += 1
        if count == COUNTED:
            break
    return count, True


def _waiting(core: QueueCore, job: Job, ready: list[Worker], made: Explanation, why: str) -> tuple[Need, str]:
    if core.paused:
        return "pause", f"{PAUSED}; {_ahead(made)}"
    if not made.able:
        closed = (worker for worker in core.workers.values() if worker.presence is Presence.DRAINING)
        if any(not worker.lacks(job.shape) for worker in closed):
            return "worker", why
        lack = chief(Counter(worker.lacks(job.shape) for worker in ready))
        need: Need = next((known for known in _LACKS if known == lack), "worker")
        return need, why
    keeper = core.fleet.keeper(job.shape)
    if keeper is not None:
        jobs = len(keeper.leases)
        return "capacity", (
            f"room is being kept for it on the worker '{keeper.info.name}', which has {jobs} job{_s(jobs)} to finish"
        )
    ahead = _ahead(made)
    takers = [worker for worker in ready if worker.fits(job.shape)]
    if takers and all(worker.chooses for worker in takers):
        return "turn", f"the workers that have room for it choose their jobs themselves; {ahead}"
    if not takers:
        could = f"{made.able} workers could run it and all are" if made.able > 1 else "1 worker could run it and is"
        return "capacity", f"{could} busy; {ahead}"
    if core.fleet.keeping_room:
        return "capacity", f"room is being kept for a job that needs more and has waited longer; {ahead}"
    return "turn", f"a worker has room for it, but other jobs go first; {ahead}"


def _ahead(made: Explanation) -> str:
    count = made.position or 0
    if made.beyond:
        return f"more than {count} jobs are ahead of it"
    if not count:
        return "it is next"
    return "1 job is ahead of it" if count == 1 else f"{count} jobs are ahead of it"


def _running(core: QueueCore, job: Job, now: int) -> str:
    name = f"the worker '{job.worker_name}'"
    said = "it " + _DOING[job.phase or Phase.ASSIGNED].format(worker=name)
    worker = core.workers.get(job.worker)
    if worker is not None and worker.presence is Presence.AWAY:
        left = max(0, worker.away_since + core.policy.grace - now)
        return (
            f"{said}, but that worker has lost its connection: "
            f"if it is not back in {format_duration(left)}, the job is queued again"
        )
    since = max(0, now - (job.ran or job.started))
    return f"{said}, since {format_duration(since)}"


def ended(verdict: Verdict | None) -> str:
    """Renders a verdict as a sentence."""
    if verdict is None:
        return "it is finished"
    if verdict.reason is Reason.SUCCESS:
        said = "it succeeded"
    elif verdict.reason is Reason.FAILED:
        said = f"its command exited with code {verdict.exit_code}"
    elif verdict.reason is Reason.ERROR and verdict.exit_code is not None:
        said = f"its command exited with code {verdict.exit_code}, but its result is not complete"
    else:
        said = f"it {_ENDED[verdict.reason]}"
    said += f": {verdict.message}" if verdict.message else ""
    return f"{said}; {verdict.hint}" if verdict.hint else said


def _s(count: int) -> str:
    return "" if count == 1 else "s"
