"""What must hold of a queue core after every event, whatever happened."""

from __future__ import annotations

from asman_server.core import QueueCore
from asman_server.core.worker import Presence
from asman_shared.states import State

_DEFAULT = ("_",)


def check_core(core: QueueCore) -> None:
    """Raises AssertionError naming the first promise that is broken.

    Simulations call it after each of millions of events, so it goes over the jobs once and makes few objects.
    """
    queued, running, finished = State.QUEUED, State.RUNNING, State.FINISHED
    jobs, ready, slots = core.jobs, core.ready, core.slots
    states = [job.state for job in jobs.values()]
    assert ready.waiting == states.count(queued), "the ready lines and the jobs disagree"
    assert core.running == states.count(running), "the running count is wrong"
    assert core.finished >= states.count(finished), "more jobs are finished than were counted"
    assert sum([line.waiting for line in ready.lines.values()]) == ready.waiting
    live: set[str] = set()
    for worker in core.workers.values():
        cpus, memory, gpus = worker.free_cpus, worker.free_memory, worker.free_gpus
        for key, lease in worker.leases.items():
            shape = lease.shape
            cpus, memory, gpus = cpus + shape.cpus, memory + shape.memory, gpus + shape.gpus
            job_id, attempt = key
            assert lease.job == job_id
            assert lease.attempt == attempt
            if lease.live:
                job = jobs[job_id]
                assert job.state is running, "a live lease on a job that does not run"
                assert job.attempt == attempt, "a live lease on an old attempt"
                assert job.worker == worker.incarnation, "a live lease on another worker's job"
                assert job_id not in live, "a running job without exactly one live lease"
                live.add(job_id)
        info = worker.info
        assert (cpus, memory, gpus) == (round(info.cpus * 1000), info.memory, info.gpus)
    for namespace, held in slots.items():
        job = jobs[held]
        assert not job.state.over, "a slot holds a finished job"
        assert namespace in job.holders, "a slot and its job disagree"
    holding: set[str] = set()
    for job in jobs.values():
        state, holders = job.state, job.holders
        assert holders, "a job that nobody holds is still there"
        if state is finished:
            continue
        unasked = job.previous is not None and job.previous.ok and not job.forced
        assert not unasked, "a job with a success runs, and nobody forced it"
        if state is running:
            assert job.id in live, "a running job without exactly one live lease"
        if holders != _DEFAULT and not state.over:
            for namespace in holders:
                assert namespace == "_" or namespace not in holding, "a namespace holds more than one job"
                holding.add(namespace)
    for job_id in core.state.settled:
        assert jobs[job_id].state is finished, "an unfinished job may leave memory"


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
        if worker.presence is not Presence.READY or worker.chooses or core.paused:
            continue
        for shape, line in core.ready.lines.items():
            if not worker.fits(shape):
                continue
            head = line.head(turns)
            heads = [core.ready.lines[other].head(turns) for other in kept if other != shape]
            urgent = any(other is not None and head is not None and other[0][0] <= head[0][0] for other in heads)
            assert urgent, f"{worker.info.name} is idle while a job waits"


def check_orders(core: QueueCore, begun: int = 0) -> None:
    """A paused queue has given no job since then, and neither has a drained worker got one.

    Args:
        core: The queue.
        begun: Time at which its hub started, in epoch milliseconds. The hub before it may have given jobs by an order
            that it could not store, and did not answer.
    """
    for worker in core.workers.values():
        for lease in worker.leases.values():
            job = core.jobs.get(lease.job)
            if not lease.live or job is None:
                continue
            assert not core.paused or job.started <= max(core.paused, begun), "a paused queue gave a job to a worker"
            assert not worker.leaving or job.started <= max(worker.leaving, begun), "a drained worker got a job"
