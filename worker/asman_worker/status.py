"""Serves ``/healthz`` and ``/metrics`` (Prometheus) of a worker on a port of its own machine.

They name queues by a short hash, because a queue's name is a secret.
"""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from typing import Final

from aiohttp import web

from asman_shared.errors import BadRequest, Unavailable
from asman_shared.running.supervisor import Supervisor

from .attempts.capacity import Capacity
from .attempts.disk_reserve import DiskReserve
from .attempts.service_limits import ServiceLimits
from .queue_worker import QueueWorker

_LOCAL: Final = "127.0.0.1"


class Status:
    """The health and metrics of a worker process.

    Args:
        sides: The queues.
        capacity: The machine's resources for jobs.
        service_limits: Counts the jobs.
        disk_reserve: Watches the free disk.
        supervisor: Watches the worker's own tasks.
        engine: Returns whether the engine answers; None for no engine.
        notes: Lists conditions that the operator should know of, but with which the worker works.
    """

    def __init__(
        self,
        sides: Sequence[QueueWorker],
        capacity: Capacity,
        service_limits: ServiceLimits,
        disk_reserve: DiskReserve,
        supervisor: Supervisor,
        engine: Callable[[], Awaitable[bool]] | None = None,
        notes: Callable[[], list[str]] = list,
    ) -> None:
        self._sides = sides
        self._capacity = capacity
        self._service_limits = service_limits
        self._disk_reserve = disk_reserve
        self._supervisor = supervisor
        self._engine = engine
        self.notes = notes

    async def problems(self) -> list[str]:
        """Lists the problems that keep the worker from its work; empty when there are none."""
        found = [f"{side.label}: no connection to its hub" for side in self._sides if not side.agent.connected]
        if self._engine is not None and not await self._engine():
            found.append("the container engine does not answer")
        if failed := self._supervisor.failed:
            found.append(f"the task '{failed}' has ended; the worker must be started again")
        if short := self._disk_reserve.short():
            found.append(f"no new jobs are taken: {short}")
        return found

    def ending(self) -> str:
        """Returns that the worker takes no new jobs because it is ending; empty if it is not."""
        if not self._sides or not all(side.agent.draining for side in self._sides):
            return ""
        held = self._service_limits.held
        return f"no new jobs are taken: this worker is ending, and has {held} {'job' if held == 1 else 'jobs'} left"

    async def metrics(self) -> str:
        """Returns all metrics in Prometheus' text format."""
        up = self._engine is None or await self._engine()
        return "".join(f"{line}\n" for line in self._lines(up))

    def _lines(self, engine: bool) -> Iterator[str]:
        cpus, memory, gpus = self._capacity.free
        yield from _gauge("asman_worker_engine_up", "Whether the engine answers.", int(engine))
        yield from _gauge("asman_worker_jobs", "Attempts on this worker.", self._service_limits.held)
        yield "# HELP asman_worker_jobs_begun_total Attempts that have begun."
        yield "# TYPE asman_worker_jobs_begun_total counter"
        yield f"asman_worker_jobs_begun_total {self._service_limits.begun}"
        yield from _gauge("asman_worker_waiting", "Attempts that wait for free capacity.", self._capacity.waiting)
        yield from _gauge("asman_worker_free_cpus", "Free CPUs.", cpus / 1000)
        yield from _gauge("asman_worker_free_memory_bytes", "Free memory, in bytes.", memory)
        yield from _gauge("asman_worker_free_gpus", "Free GPUs.", gpus)
        yield from _gauge(
            "asman_worker_free_disk_bytes", "Disk space that jobs may still use, in bytes.", self._disk_reserve.free
        )
        yield "# HELP asman_worker_connected Whether the worker is connected to the hub of a queue."
        yield "# TYPE asman_worker_connected gauge"
        for side in self._sides:
            yield f'asman_worker_connected{{queue="{side.short}"}} {int(side.agent.connected)}'
        yield "# HELP asman_worker_draining Whether the worker takes no more jobs of a queue."
        yield "# TYPE asman_worker_draining gauge"
        for side in self._sides:
            yield f'asman_worker_draining{{queue="{side.short}"}} {int(side.agent.draining)}'


def _gauge(name: str, what: str, value: float) -> Iterator[str]:
    yield f"# HELP {name} {what}"
    yield f"# TYPE {name} gauge"
    yield f"{name} {value:g}"


@contextlib.asynccontextmanager
async def serving(status: Status, where: str) -> AsyncIterator[int]:
    """Serves a port until the end of the block; yields the port.

    Args:
        status: The status to serve.
        where: A port of this machine, or ``address:port``; port 0 for any free one.

    Raises:
        BadRequest: ``where`` can't be read.
        Unavailable: The port is taken.
    """
    host, port = _place(where)

    async def healthz(request: web.Request) -> web.Response:
        del request
        problems = await status.problems()
        ending = "" if problems else status.ending()
        said = {"ok": not problems, "problems": problems, "notes": [*([ending] if ending else []), *status.notes()]}
        return web.json_response(said, status=503 if problems else 200)

    async def metrics(request: web.Request) -> web.Response:
        del request
        return web.Response(text=await status.metrics(), headers={"Content-Type": "text/plain; version=0.0.4"})

    app = web.Application()
    app.router.add_get("/healthz", healthz)
    app.router.add_get("/metrics", metrics)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=1)
    await runner.setup()
    try:
        try:
            await web.TCPSite(runner, host, port).start()
        except OSError as error:
            raise Unavailable(f"the status port {where} can't be used: {error.strerror or error}") from error
        yield int(runner.addresses[0][1])
    finally:
        await runner.cleanup()


def _place(where: str) -> tuple[str, int]:
    host, _, port = where.rpartition(":")
    if not port.isdigit() or int(port) > 65535:
        raise BadRequest(f"--status is a port, or address:port, not '{where[:80]}'", field="status")
    return host.strip("[]") or _LOCAL, int(port)
