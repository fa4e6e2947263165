"""The hub's messages in the dialect: plain structs, in which absent members are left out."""

from __future__ import annotations

import hashlib
from collections.abc import Container
from typing import Any, Final, Literal

import msgspec
from msgspec import UNSET, Struct, UnsetType
from msgspec.structs import replace

from asman_shared.definition import DEFAULT_SHAPE, Definition, Shape
from asman_shared.messages import JobState, Summary, Verdict
from asman_shared.states import Reason, State
from asman_shared.units import GIB, KIB, MIB, parse_duration

from .. import __version__
from ..core import QueueCore
from ..core.worker import Presence
from ..delivery.transport import framed
from .as_sent import NOTHING, AsSent

encode: Final = msgspec.json.Encoder().encode

REASONS: Final[dict[Reason, str]] = {
    Reason.SUCCESS: "Success",
    Reason.FAILED: "Success",
    Reason.ERROR: "Error",
    Reason.TIMED_OUT: "TimedOut",
    Reason.OUT_OF_MEMORY: "Error",
    Reason.CANCELLED: "Cancelled",
    Reason.REPLACED: "JobReplacedByClient",
    Reason.WORKER_LOST: "WorkerLost",
    Reason.DELETED: "Deleted",
}
"""In the dialect a run that ended by itself is a success with any exit code; the code is a member of its own."""
LISTED: Final = frozenset({Reason.SUCCESS, Reason.FAILED, Reason.ERROR, Reason.TIMED_OUT, Reason.OUT_OF_MEMORY})
"""Reasons with which a finished job is listed; jobs that ended otherwise are absent."""

Log = tuple[str, int] | tuple[str, int, Literal[True]]
"""``[text, ms]``, with a third member true for standard error."""


class Requirements(Struct, rename="camel", omit_defaults=True):
    """The resources that a job needs from a worker."""

    cpus: float | int | UnsetType = UNSET
    gpus: int | UnsetType = UNSET
    max_duration: str | UnsetType = UNSET
    memory: str | UnsetType = UNSET


class RunResult(Struct, rename={"status_code": "StatusCode", "is_timed_out": "isTimedOut"}, omit_defaults=True):
    """The result of a run."""

    is_timed_out: bool
    status_code: int | UnsetType = UNSET
    logs: list[Log] | UnsetType = UNSET
    duration: int | UnsetType = UNSET
    error: str | UnsetType = UNSET
    outputs: dict[str, dict[str, Any]] | UnsetType = UNSET


class FinishedValue(Struct, omit_defaults=True):
    """The end of a job."""

    time: int
    reason: str
    type: str | UnsetType = UNSET
    worker: str | UnsetType = UNSET
    message: str | UnsetType = UNSET
    result: RunResult | UnsetType = UNSET


class ListedJob(Struct, rename="camel", omit_defaults=True):
    """A job as lists show it: ``Job`` of the dialect.

    ``finished`` is never in a list: a client fetches the result only if it is absent.
    """

    queued_time: int
    time: int
    state: State
    worker: str | UnsetType = UNSET
    finished_reason: str | UnsetType = UNSET
    finished: FinishedValue | UnsetType = UNSET
    namespaces: list[str] | UnsetType = UNSET
    tags: list[str] | UnsetType = UNSET
    requirements: Requirements | UnsetType = UNSET
    debug: bool | UnsetType = UNSET


class ListedWorker(Struct, rename="camel"):
    """A worker as lists show it: ``Worker`` of the dialect."""

    version: str
    id: str
    cpus: float | int
    gpus: int
    time: int
    max_job_duration: str


class StoredJob(Struct, omit_defaults=True):
    """A definition with the job's result, which is absent until there is one."""

    definition: Definition
    results: ListedJob | UnsetType = UNSET


def duration_text(ms: int) -> str:
    """Formats a duration in a form that every reader of the dialect understands: ``20m``."""
    for unit, size in (("h", 3_600_000), ("m", 60_000), ("s", 1000)):
        if ms and ms % size == 0:
            return f"{ms // size}{unit}"
    return f"{ms}ms"


def size_text(size: int) -> str:
    """Formats a number of bytes in the largest unit that divides it evenly: ``2g``."""
    for unit, step in (("g", GIB), ("m", MIB), ("k", KIB)):
        if size % step == 0:
            return f"{size // step}{unit}"
    return f"{size}b"


def requirements_of(shape: Shape, *, cpus_sent: bool = False) -> Requirements | UnsetType:
    """Returns the requirements that a worker checks before it claims a job; none when any worker will do.

    Args:
        shape: The resources that the job needs.
        cpus_sent: The definition gives the number of cpus, even if it is that of most jobs.
    """
    if shape == DEFAULT_SHAPE and not cpus_sent:
        return UNSET
    cpus = shape.cpus / 1000
    usual = shape.cpus == DEFAULT_SHAPE.cpus and not cpus_sent
    found = Requirements(
        cpus=UNSET if usual else int(cpus) if cpus.is_integer() else cpus,
        gpus=shape.gpus or UNSET,
        max_duration=duration_text(shape.duration) if shape.duration else UNSET,
        memory=size_text(shape.memory) if shape.memory else UNSET,
    )
    return UNSET if found == Requirements() else found


def incarnation_of(worker: str) -> str:
    """Returns the core's id of a worker that chose its own id: never the id of a native worker."""
    return hashlib.sha256(b"a worker of the JSON dialect: " + worker.encode("utf-8", "replace")).hexdigest()[:32]


def worker_id(incarnation: str, name: str, present: Container[str] = ()) -> str:
    """Returns the dialect's id of a worker: the id that it chose, or the name of a native worker.

    The name is all that is known of the worker of a finished job. A native worker with the id of a worker of the
    dialect is named by its incarnation while both are there, because the other would take its jobs for its own.

    Args:
        incarnation: The core's id of the worker.
        name: The worker's name.
        present: The incarnations of the queue's workers.
    """
    own = incarnation_of(name)
    return name if name and (incarnation == own or own not in present) else incarnation[:8]


def worker_of(core: QueueCore, state: JobState) -> str:
    """Returns the id of the worker that has or had a job, if it is known."""
    job = core.jobs.get(state.id)
    if job is not None and job.worker and job.attempt == state.attempt:
        return worker_id(job.worker, job.worker_name, core.workers)
    return state.worker


def _verdict(state: JobState) -> Verdict:
    return state.verdict or Verdict(ok=False, reason=Reason.ERROR)


def finished_value(state: JobState) -> FinishedValue:
    """Returns the end of a finished job, without its result."""
    verdict = _verdict(state)
    return FinishedValue(
        time=state.finished,
        reason=REASONS[verdict.reason],
        type="Finished",
        worker=state.worker or UNSET,
        message=verdict.message or UNSET,
    )


def sentence_of(state: JobState) -> Log | None:
    """Returns why a run ended without having begun, as the line of its log that stands for it if it wrote none.

    Pages and scripts of the dialect show a job's log, and nothing else of a run that failed: an image that is missing,
    an input that can't be had, a build that failed.
    """
    verdict = state.verdict
    if state.state is not State.FINISHED or verdict is None or not verdict.message:
        return None
    early = verdict.reason is Reason.ERROR or (verdict.reason is Reason.TIMED_OUT and verdict.exit_code is None)
    return (verdict.message + "\n", state.finished, True) if early else None


def listed_job(state: JobState, worker: str, shape: Shape | None, tags: list[str], sent: AsSent = NOTHING) -> ListedJob:
    """A job as lists show it.

    Args:
        state: The job's state.
        worker: The dialect's id of the worker that has the job.
        shape: The resources that the job needs, if known.
        tags: Tags of the definition.
        sent: Other parts of its submission.
    """
    made = ListedJob(
        queued_time=state.queued,
        time=state.finished or state.started or state.queued,
        state=state.state,
        worker="" if state.state is State.QUEUED else worker,
        namespaces=state.namespaces,
        tags=tags or UNSET,
        requirements=UNSET if shape is None else requirements_of(shape, cpus_sent=sent.cpus),
        debug=sent.debug,
    )
    if state.state is State.FINISHED:
        made.finished_reason = REASONS[_verdict(state).reason]
    return made


def as_queued(state: JobState) -> JobState:
    """Returns a job's state as it was when the present run was submitted."""
    return replace(state, state=State.QUEUED, phase=None, started=0, finished=0, worker="", verdict=None)


def job_of(core: QueueCore | None, state: JobState, sent: AsSent = NOTHING) -> ListedJob:
    """A job of a queue as lists show it; ``core`` has the resources that a job in memory needs."""
    job = core.jobs.get(state.id) if core is not None else None
    if job is not None and core is not None:
        return listed_job(state, worker_of(core, state), job.shape, list(job.summary.tags), sent)
    summary = state.summary or Summary()
    return listed_job(state, state.worker, _shape(summary, sent), list(summary.tags), sent)


def _shape(summary: Summary, sent: AsSent) -> Shape:
    """Returns the resources of a job that is not in memory, as far as its summary and its submission have them."""
    return Shape(cpus=round(summary.cpus * 1000), memory=summary.memory, gpus=summary.gpus, duration=sent.duration)


def workers_of(core: QueueCore, now: int, most: int) -> list[ListedWorker]:
    """The workers of a queue that are connected.

    The dialect knows a native worker by its name alone, also after the end of its jobs. So native workers of one name,
    such as those of one machine, are one worker there, with the cpus and gpus of all.
    """
    found: dict[str, ListedWorker] = {}
    for worker in core.workers.values():
        if worker.presence not in (Presence.READY, Presence.DRAINING):
            continue
        info = worker.info
        key = worker_id(worker.incarnation, info.name, core.workers)
        listed = found.get(key)
        if listed is None and len(found) == most:
            continue
        longest = duration_text(info.max_duration) if info.max_duration else ""
        if listed is None:
            found[key] = ListedWorker(info.agent or __version__, key, _number(info.cpus), info.gpus, now, longest)
            continue
        listed.cpus = _number(round(listed.cpus + info.cpus, 3))
        listed.gpus += info.gpus
        listed.max_job_duration = _longer(listed.max_job_duration, longest)
    return list(found.values())


def _number(cpus: float) -> float | int:
    return int(cpus) if float(cpus).is_integer() else cpus


def _longer(one: str, other: str) -> str:
    """The longer of two durations as `duration_text` writes them; empty is for any."""
    return max(one, other, key=parse_duration) if one and other else ""


def text_frame(kind: str, payload: Any = UNSET) -> bytes:
    """Encodes one message as a websocket frame."""
    body = {"type": kind} if payload is UNSET else {"type": kind, "payload": payload}
    return framed(encode(body), text=True)


def jobs_frame(jobs: bytes, *, subset: bool) -> bytes:
    """Encodes a list of jobs as a websocket frame; ``jobs`` are members of a JSON object, joined by commas."""
    kind, flag = (b"JobStateUpdates", b"true") if subset else (b"JobStates", b"false")
    body = b'{"type":"%b","payload":{"state":{"jobs":{%b}},"isSubset":%b}}' % (kind, jobs, flag)
    return framed(body, text=True)


def member(key: str, job: bytes) -> bytes:
    """A member of the object in `jobs_frame`."""
    return b'"%b":%b' % (key.encode(), job)


def looks(state: JobState) -> tuple[object, ...]:
    """Returns the parts of a job's state that lists show; phases, such as those of a build, are not among them."""
    times = (state.queued, state.started, state.finished)
    return state.state, state.attempt, times, state.worker, state.namespaces, state.verdict


def is_listed(state: JobState) -> bool:
    """Whether the dialect lists a job: cancelled, replaced, deleted and lost jobs are absent."""
    if state.state is State.FINISHED:
        return state.verdict is None or state.verdict.reason in LISTED
    return state.state is not State.REMOVED
