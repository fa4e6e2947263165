"""Runs one attempt: staging, pulling or building, running, uploading; and reports its progress."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from asman_shared import limits
from asman_shared.address import job_address
from asman_shared.definition_check import check
from asman_shared.errors import AsmanError, BadRequest, ExecutionError, Unavailable
from asman_shared.messages import Assign, Message, Outcome, PhaseReport, Result
from asman_shared.states import Fault, Phase
from asman_shared.units import format_duration

from ..config import WorkerConfig
from ..execution.folders import JobFolder
from ..execution.interface import AttemptSpec, Ended, FetchBlob, Interrupted, JobExecutor, Key
from ..files.set_bits import strip_set_bits
from ..hub_link.send_buffer import SendBuffer
from .capacity import Capacity, Share
from .log import AttemptLog
from .outputs import Collected, Collector
from .staging import Stager

log = logging.getLogger("asman.worker.attempt")

_GPUS: Final = "gpus"
"""Name of the file that records the gpus of an attempt."""
_LOGS_SENT: Final = 4
"""Output sent live, as a multiple of the log that the hub keeps; the hub keeps a beginning and an end."""
_DOING: Final = {
    Phase.ASSIGNED: "waiting for free capacity on the worker",
    Phase.STAGING: "staging (downloading the inputs)",
    Phase.PULLING: "pulling (getting the image)",
    Phase.BUILDING: "building (making the image)",
    Phase.RUNNING: "running",
    Phase.UPLOADING: "uploading (storing the outputs)",
}
"""Description of each phase, for the message of an expired limit."""


@dataclass(slots=True)
class AttemptContext:
    """Services and settings that all attempts of a queue share.

    Attributes:
        config: The operator's settings.
        executor: Runs the jobs.
        send_buffer: Receives messages for the hub.
        stager: Downloads inputs.
        collector: Uploads outputs.
        jobs: The folder of all job folders.
        cache: The folder that jobs of the queue share.
        url: The hub's address.
        capacity: This machine's resources for jobs of all queues.
        fetch: Downloads a blob of the queue.
        links: The hub's secret for the addresses of the queue's jobs; empty until the hub has told it.
    """

    config: WorkerConfig
    executor: JobExecutor
    send_buffer: SendBuffer
    stager: Stager
    collector: Collector
    jobs: Path
    cache: Path
    url: str
    capacity: Capacity
    fetch: FetchBlob
    links: str = ""


class Attempt:
    """One attempt on this worker, from its assignment until it is forgotten.

    Attributes:
        key: Job and attempt number.
        log: The attempt's log.
        phase_now: The current phase.
        outcome: The outcome, once the attempt has ended.
        durable: True once the outcome is on disk.
        aborted: True once the attempt is aborted or returned to the hub.
        task: The task that runs the attempt.
    """

    __slots__ = (
        "_began",
        "_context",
        "_folder",
        "_phase_began",
        "_phases",
        "_scope",
        "_share",
        "aborted",
        "assign",
        "durable",
        "image_digest",
        "key",
        "log",
        "on_disk",
        "origin",
        "outcome",
        "phase_now",
        "resumed",
        "started",
        "task",
    )

    def __init__(
        self,
        context: AttemptContext,
        key: Key,
        assign: Assign | None,
        started: int,
        *,
        resumed: bool = False,
        log_limit: int = limits.LOG_BYTES,
    ) -> None:
        self.key = key
        self.assign = assign
        self.started = started
        self.resumed = resumed
        self.phase_now = Phase.ASSIGNED
        self.outcome: Outcome | None = None
        self.durable = False
        self.on_disk: asyncio.Event | None = None
        self.aborted = False
        self.task: asyncio.Task[None] | None = None
        self.image_digest = self.origin = ""
        self._context = context
        self._scope: asyncio.Timeout | None = None
        self._share: Share | None = None
        self._folder: JobFolder | None = None
        self._phases: dict[Phase, int] = {}
        self._phase_began = time.monotonic()
        before = time.time() - started / 1000 if resumed else 0.0  # that an earlier process of this worker spent on it
        self._began = self._phase_began - max(0.0, before)
        self.log = AttemptLog(
            assign.log_next if assign else 0,
            lambda: context.send_buffer.put_lines(key, self.log),
            most=_LOGS_SENT * log_limit if context.config.max_log is None else context.config.max_log,
        )

    # ---------------------------------------------------------------------------------------- the Reporter

    def phase(self, phase: Phase, done: int = 0, total: int = 0, unit: str = "") -> None:
        """Reports that a phase began or advanced."""
        if phase is not self.phase_now:
            self._close_phase()
            self.phase_now = self.log.phase = phase
            self._limit_phase()
        self._context.send_buffer.put(PhaseReport(*self.key, phase, done, total, unit))

    def output(self, stream: int, chunk: bytes, when: int | None = None) -> None:
        """Takes bytes of stdout or stderr."""
        self.log.feed(stream, chunk, when)

    def say(self, text: str) -> None:
        """Adds a line of the worker's own."""
        self.log.say(text)

    def close_streams(self) -> None:
        """Ends unfinished lines."""
        self.log.close_streams()

    async def room(self) -> None:
        """Waits while the hub is slower than the job."""
        await self.log.room()

    def start_at(self, seq: int) -> None:
        """Sets the seq of the next line."""
        self.log.start_at(seq)

    @property
    def clean(self) -> bool:
        """True while all output so far was whole lines."""
        return self.log.clean

    @property
    def next_line(self) -> int:
        """The seq of the next line."""
        return self.log.next

    @property
    def sent_line(self) -> int:
        """The seq before which all lines have been handed to the connection."""
        return self.log.sent

    def news(self) -> Message:
        """Returns the current phase as a message, to be sent again after a reconnect."""
        return PhaseReport(*self.key, self.phase_now)

    def _close_phase(self) -> None:
        now = time.monotonic()
        if self.phase_now is not Phase.ASSIGNED:
            spent = round((now - self._phase_began) * 1000)
            self._phases[self.phase_now] = self._phases.get(self.phase_now, 0) + spent
        self._phase_began = now

    # ----------------------------------------------------------------------------------------------- the phases

    @property
    def folder(self) -> JobFolder:
        """The folder with the attempt's files."""
        if self._folder is None:
            self._folder = JobFolder.of(self._context.jobs, *self.key)
        return self._folder

    async def run(self) -> Outcome:
        """Runs the attempt to its end; every error becomes an outcome.

        Cancelling this stops the run; `clear` removes what it left.

        Raises:
            Interrupted: The attempt counts as not run, and the hub may assign its job to any worker.
        """
        try:
            outcome = await self._run_with_deadlines()
        except ExecutionError as error:
            outcome = Outcome("error", message=error.message, fault=Fault(error.fault))
        except AsmanError as error:
            fault = (
                Fault.JOB
                if isinstance(error, BadRequest)
                else Fault.HUB
                if isinstance(error, Unavailable)
                else Fault.WORKER
            )
            outcome = Outcome("error", message=error.message, fault=fault)
        except Interrupted:
            raise
        except OSError as error:
            log.exception("attempt %s failed", self.label)
            outcome = Outcome("error", message=f"the worker could not run the job: {error}", fault=Fault.WORKER)
        except Exception as error:
            log.exception("attempt %s failed", self.label)
            outcome = Outcome("error", message=f"the worker failed: {error!r}"[:500], fault=Fault.WORKER)
        finally:
            self._give_back()
        self._close_phase()
        self.log.finish()
        outcome.lines = self.log.next
        outcome.duration = round((time.monotonic() - self._began) * 1000)
        outcome.result.phases = self._phases
        outcome.result.worker = self._context.config.name
        outcome.result.image_digest = self.image_digest
        outcome.result.origin = self.origin
        return outcome

    async def _run_with_deadlines(self) -> Outcome:
        """Runs the phases under one timeout, which each phase sets to its own limit."""
        try:
            async with asyncio.timeout(None) as self._scope:
                self._limit_phase()
                return await self._run_phases()
        except TimeoutError:
            if self._scope is None or not self._scope.expired():
                raise
            limit = format_duration(self._limits.get(self.phase_now, 0))
            return Outcome("timed_out", message=f"{_DOING[self.phase_now]} took longer than its limit of {limit}")
        finally:
            self._scope = None

    def _limit_phase(self) -> None:
        """Sets the timeout to the limit of the current phase.

        Executor and collector apply the limits of running and uploading themselves, because the end of the run must
        survive them.
        """
        if self._scope is not None:
            own = self.phase_now in (Phase.RUNNING, Phase.UPLOADING)
            limit = 0 if own else self._limits.get(self.phase_now, 0)
            self._scope.reschedule(asyncio.get_running_loop().time() + limit / 1000 if limit else None)

    @property
    def _limits(self) -> Mapping[Phase, int]:
        """The limit of each phase, in milliseconds: the smaller of the job's and the worker's; 0 for no limit."""
        config, assign = self._context.config, self.assign
        own = {
            Phase.STAGING: config.staging_limit,
            Phase.PULLING: config.pull_limit,
            Phase.BUILDING: config.build_limit,
            Phase.RUNNING: _least(assign.time_limit if assign else 0, config.max_duration),
            Phase.UPLOADING: config.upload_limit,
        }
        asked = assign.phase_limits if assign else {}
        return {phase: _least(limit, asked.get(phase, 0)) for phase, limit in own.items()}

    async def _run_phases(self) -> Outcome:
        context, assign = self._context, self.assign
        if assign is None:
            raise ExecutionError("the worker lost the definition of the job", fault="worker")
        definition = assign.definition
        shape = check(definition)
        context.executor.check(definition)
        if self.resumed:
            self._share = context.capacity.retake(shape, _noted_gpus(self.folder))
        else:
            self._share = await context.capacity.take(shape)
        spec = AttemptSpec(
            job=assign.job,
            attempt=assign.attempt,
            definition=definition,
            shape=shape,
            folder=self.folder if context.executor.uses_folder else JobFolder(context.jobs),
            cache=context.cache,
            time_limit=self._limits[Phase.RUNNING],
            url=f"{context.url}/j/{assign.address or job_address(assign.job, context.links)}",
            gpus=self._share.gpus,
            fetch=context.fetch,
        )
        context.collector.check(definition)
        if self.resumed:
            if context.executor.uses_folder:
                context.stager.mount(spec)  # for the containers of later steps
            ended = await context.executor.resume(spec, self)
        else:
            if assign.attempt > 1:
                self.say(f"attempt {assign.attempt} begins")  # readers tell attempts apart by this line
            if context.executor.uses_folder:
                await self._prepare(spec)
            ended = await context.executor.run(spec, self)
        self.log.close_streams()
        self.image_digest, self.origin = ended.image_digest, ended.origin
        self._give_back()
        outcome = await self._collect(ended)
        outcome.result.steps = list(ended.steps)
        return outcome

    async def _prepare(self, spec: AttemptSpec) -> None:
        """Stages the files and prepares the image."""
        await self._context.stager.stage(spec, self)
        if spec.gpus:
            (spec.folder.root / _GPUS).write_text("\n".join(spec.gpus))
        await self._context.executor.prepare(spec, self)
        self.log.close_streams()

    async def _collect(self, ended: Ended) -> Outcome:
        """Uploads the outputs, regardless of how the run ended.

        The end of the run stays what it is, whatever becomes of its outputs; only a success without all of them is
        none.
        """
        collected = Collected()
        try:
            keeps = self._context.executor.uses_folder and self._keeps
            if keeps and await asyncio.to_thread(_has_files, self.folder.outputs):
                self.phase(Phase.UPLOADING)
                limit = self._limits.get(Phase.UPLOADING, 0)
                collected = await self._context.collector.collect(self.folder.outputs, self, self._kept, limit=limit)
        except Exception as error:
            log.exception("the outputs of attempt %s could not be stored", self.label)
            why = f"the outputs could not be stored: {error}"[:500]
            collected = Collected(Result(skipped={"/outputs": why}), "error", why, Fault.WORKER)
        finally:
            if self._context.executor.uses_folder:
                await asyncio.to_thread(strip_set_bits, self.folder.outputs)
        if not collected.kind:
            return Outcome(ended.kind, ended.exit_code, ended.message, result=collected.result)
        message = f"{ended.message}; {collected.message}" if ended.message else collected.message
        if ended.kind == "exited" and ended.exit_code == 0:
            return Outcome(collected.kind, 0, message, collected.fault, result=collected.result)
        return Outcome(ended.kind, ended.exit_code, message, result=collected.result)

    @property
    def _keeps(self) -> bool:
        """Whether the job has outputs: one with volumes has only those that it names."""
        definition = self.assign.definition if self.assign else None
        return definition is None or not definition.volumes or bool(definition.outputs)

    @property
    def _kept(self) -> list[str] | None:
        """Patterns of the outputs to keep; None for all."""
        return self.assign.definition.outputs if self.assign else None

    def _give_back(self) -> None:
        """Returns the attempt's resources to the machine."""
        if self._share is not None:
            share, self._share = self._share, None
            self._context.capacity.give_back(share)

    async def clear(self) -> None:
        """Removes the attempt's remains from this machine; a failure is logged."""
        executor = self._context.executor
        try:
            await executor.remove(self.key)
            if executor.uses_folder:
                await asyncio.to_thread(self.folder.remove)
        except (OSError, AsmanError) as error:
            log.warning("can't remove all files or containers of attempt %s: %s", self.label, error)

    @property
    def label(self) -> str:
        """Short name of the attempt, for logs."""
        return f"{self.key[0][:12]}/{self.key[1]}"


def _least(*limits: int) -> int:
    """Returns the smallest limit; 0 stands for no limit."""
    return min((limit for limit in limits if limit), default=0)


def _has_files(folder: Path) -> bool:
    return folder.is_dir() and any(True for _ in folder.iterdir())


def _noted_gpus(folder: JobFolder) -> tuple[str, ...]:
    """Returns the gpus recorded for an attempt before a restart."""
    try:
        return tuple((folder.root / _GPUS).read_text().split())
    except OSError:
        return ()
