"""What must hold of a queue core after every event, whatever happened."""

from __future__ import annotations

from collections import Counter

from asman_server.core import QueueCore
from asman_server.core.worker import Presence
from asman_shared.states import State


def check_core(core: QueueCore) -> None:
    """Raises AssertionError naming the first promise that is broken."""
    states = Counter(job.state for job in core.jobs.values())
    assert core.ready.waiting == states[State.QUEUED], "the ready lines and the jobs disagree"
    assert core.running == states[State.RUNNING], "the running count is wrong"
    assert core.finished >= states[State.FINISHED], "more jobs are finished than were counted"
    assert sum(line.waiting for line in core.ready.lines.values()) == core.ready.waiting
    live: Counter[str] = Counter()
    for worker in core.workers.values():
        used = [0, 0, 0]
        for (job_id, attempt), lease in worker.leases.items():
            used = [used[0] + lease.shape.cpus, used[1] + lease.shape.memory, used[2] + lease.shape.gpus]
            assert (lease.job, lease.attempt) == (job_id, attempt)
            if lease.live:
                live[job_id] += 1
                job = core.jobs[job_id]
                assert job.state is State.RUNNING, "a live lease on a job that does not run"
                assert job.attempt == attempt, "a live lease on an old attempt"
                assert job.worker == worker.incarnation, "a live lease on another worker's job"
        info = worker.info
        free = [worker.free_cpus, worker.free_memory, worker.free_gpus]
        assert [round(info.cpus * 1000), info.memory, info.gpus] == [a + b for a, b in zip(free, used, strict=True)]
    for job in core.jobs.values():
        if job.state is State.RUNNING:
            assert live[job.id] == 1, "a running job without exactly one live lease"
    for namespace, held in core.slots.items():
        job = core.jobs[held]
        assert not job.state.over, "a slot holds a finished job"
        assert namespace in job.holders, "a slot and its job disagree"
    holders = Counter(
        namespace for job in core.jobs.values() if not job.state.over for namespace in job.holders if namespace != "_"
    )
    assert all(count == 1 for count in holders.values()), "a namespace holds more than one job"
    assert all(job.holders for job in core.jobs.values()), "a job that nobody holds is still there"
    settled = [core.jobs[job] for job in core.state.settled]
    assert all(job.state is State.FINISHED for job in settled), "an unfinished job may leave memory"


def check_capacity(core: QueueCore) -> None:
    """No worker that is here is given more than it has (one that came back smaller may hold more for a while)."""
    for worker in core.workers.values():
        if worker.presence is not Presence.AWAY:
            assert worker.free_cpus >= 0, "cpus oversold"
            assert worker.free_memory >= 0 or worker.chooses, "memory oversold"
            assert worker.free_gpus >= 0, "gpus oversold"


def check_no_idle_hands(core: QueueCore) -> None:
    """No job waits that a worker could start now, unless that worker keeps its room for one that is as urgent."""
    turns = core.ready.turns
    for worker in core.workers.values():
        kept = core.fleet.kept_on(worker)
        for shape in kept:
            assert worker.presence is Presence.READY, "room is kept on a worker that takes no jobs"
            assert not worker.chooses, "room is kept on a worker that chooses its jobs"
            assert shape in core.ready.lines, "room is kept for jobs of which none waits"
            assert not worker.lacks(shape), "room is kept on a worker that can never run the job"
        if worker.presence is not Presence.READY or worker.chooses:
            continue
        for shape, line in core.ready.lines.items():
            if not worker.fits(shape):
                continue
            head = line.head(turns)
            heads = [core.ready.lines[other].head(turns) for other in kept if other != shape]
            urgent = any(other is not None and head is not None and other[0][0] <= head[0][0] for other in heads)
            assert urgent, f"{worker.info.name} is idle while a job waits"
