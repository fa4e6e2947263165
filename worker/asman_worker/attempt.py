"""The life of one attempt: staging, pulling, running, uploading; and what it tells about itself on the way."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

from asman_shared.definition import check
from asman_shared.errors import AsmanError, BadRequest, ExecutionError, Unavailable
from asman_shared.messages import Assign, Message, Outcome, PhaseReport, Result
from asman_shared.states import Fault, Phase
from asman_shared.units import format_duration

from .config import WorkerConfig
from .executor import AttemptSpec, Ended, Executor, Key
from .folders import JobFolder
from .logs import AttemptLog
from .outbox import Outbox
from .outputs import Collector
from .staging import Stager

log = logging.getLogger("asman.worker.attempt")


@dataclass(frozen=True, slots=True)
class Workshop:
    """What every attempt of a worker uses.

    Attributes:
        config: The operator's choices.
        executor: What runs jobs.
        outbox: Where news goes.
        stager: Brings inputs.
        collector: Takes outputs away.
        jobs: The folder of all job folders.
        cache: The folder that jobs of the queue share.
        url: The hub's address.
    """

    config: WorkerConfig
    executor: Executor
    outbox: Outbox
    stager: Stager
    collector: Collector
    jobs: Path
    cache: Path
    url: str


class _PhaseTimedOut(Exception):
    """A phase other than running took too long."""


class Attempt:
    """One attempt on this worker, from its assignment until it is forgotten.

    Attributes:
        key: Job and attempt number.
        log: Its lines.
        phase_now: The phase it is in.
        outcome: How it ended, once it has.
        durable: The outcome is on disk.
        aborted: The hub does not want it any more.
        task: What lives it.
    """

    __slots__ = (
        "_began",
        "_folder",
        "_phase_began",
        "_phases",
        "_shop",
        "aborted",
        "assign",
        "durable",
        "image_digest",
        "key",
        "log",
        "on_disk",
        "outcome",
        "phase_now",
        "resumed",
        "started",
        "task",
    )

    def __init__(self, shop: Workshop, key: Key, assign: Assign | None, started: int, *, resumed: bool = False) -> None:
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
        self.image_digest = ""
        self._shop = shop
        self._folder: JobFolder | None = None
        self._phases: dict[Phase, int] = {}
        self._began = self._phase_began = time.monotonic()
        self.log = AttemptLog(
            assign.log_next if assign else 0,
            lambda: shop.outbox.put_lines(key, self.log),
            most=shop.config.max_log,
        )

    # ---------------------------------------------------------------------------------- what it tells (Reporter)

    def phase(self, phase: Phase, done: int = 0, total: int = 0, unit: str = "") -> None:
        """A phase has begun, or got on."""
        if phase is not self.phase_now:
            self._close_phase()
            self.phase_now = self.log.phase = phase
        self._shop.outbox.put(PhaseReport(*self.key, phase, done, total, unit))

    def output(self, stream: int, chunk: bytes, when: int | None = None) -> None:
        """Bytes of stdout or stderr."""
        self.log.feed(stream, chunk, when)

    async def room(self) -> None:
        """Waits while the hub is slower than the job."""
        await self.log.room()

    def start_at(self, seq: int) -> None:
        """The next line has this seq."""
        self.log.start_at(seq)

    @property
    def clean(self) -> bool:
        """Whether all output so far was whole lines."""
        return self.log.clean

    @property
    def next_line(self) -> int:
        """The seq of the next line."""
        return self.log.next

    @property
    def sent_line(self) -> int:
        """All lines before this seq have been given to the connection."""
        return self.log.sent

    def news(self) -> Message:
        """Its phase, to be said again after a reconnect."""
        return PhaseReport(*self.key, self.phase_now)

    def _close_phase(self) -> None:
        now = time.monotonic()
        if self.phase_now is not Phase.ASSIGNED:
            spent = round((now - self._phase_began) * 1000)
            self._phases[self.phase_now] = self._phases.get(self.phase_now, 0) + spent
        self._phase_began = now

    # ----------------------------------------------------------------------------------------------- how it goes

    @property
    def folder(self) -> JobFolder:
        """Its files."""
        if self._folder is None:
            self._folder = JobFolder.of(self._shop.jobs, *self.key)
        return self._folder

    async def live(self) -> Outcome:
        """Runs it to its end; whatever goes wrong becomes an outcome.

        Cancelling it stops what runs; removing what is left is `clear`'s.
        """
        try:
            outcome = await self._live()
        except _PhaseTimedOut as error:
            outcome = Outcome("timed_out", message=str(error))
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
        except OSError as error:
            log.exception("attempt %s failed", self.label)
            outcome = Outcome("error", message=f"the worker could not do it: {error}", fault=Fault.WORKER)
        except Exception as error:
            log.exception("attempt %s failed", self.label)
            outcome = Outcome("error", message=f"the worker failed: {error!r}"[:500], fault=Fault.WORKER)
        self._close_phase()
        self.log.finish()
        outcome.lines = self.log.next
        outcome.duration = round((time.monotonic() - self._began) * 1000)
        outcome.result.phases = self._phases
        outcome.result.worker = self._shop.config.name
        outcome.result.image_digest = self.image_digest
        return outcome

    async def _live(self) -> Outcome:
        shop, assign = self._shop, self.assign
        if assign is None:
            raise ExecutionError("the worker lost what the job was", fault="worker")
        definition = assign.definition
        shape = check(definition)
        shop.executor.check(definition)
        config = shop.config
        spec = AttemptSpec(
            job=assign.job,
            attempt=assign.attempt,
            definition=definition,
            shape=shape,
            folder=self.folder if shop.executor.uses_folder else JobFolder(shop.jobs),
            cache=shop.cache,
            time_limit=_least(assign.time_limit, config.max_duration),
            url=f"{shop.url}/j/{assign.job}",
        )
        if self.resumed:
            ended = await shop.executor.resume(spec, self)
        else:
            if shop.executor.uses_folder:
                await self._prepare(spec)
            ended = await shop.executor.run(spec, self)
        self.log.close_streams()
        self.image_digest = ended.image_digest
        return await self._collect(ended)

    async def _prepare(self, spec: AttemptSpec) -> None:
        """Brings what the run needs, each part within its limit."""
        shop = self._shop
        async with _limited(shop.config.staging_limit, "bringing the inputs"):
            spec.mounts.update(await shop.stager.stage(spec, self))
        async with _limited(shop.config.pull_limit, "getting the image"):
            await shop.executor.prepare(spec, self)

    async def _collect(self, ended: Ended) -> Outcome:
        """Takes the outputs away, however the run ended."""
        result = Result()
        if self._shop.executor.uses_folder and await asyncio.to_thread(_has_files, self.folder.outputs):
            self.phase(Phase.UPLOADING)
            async with _limited(self._shop.config.upload_limit, "uploading the outputs"):
                result = await self._shop.collector.collect(self.folder.outputs, self, self._kept)
        return Outcome(ended.kind, ended.exit_code, ended.message, result=result)

    @property
    def _kept(self) -> list[str] | None:
        """The patterns of the outputs that are kept."""
        return self.assign.definition.outputs if self.assign else None

    async def clear(self) -> None:
        """Removes what it left on this machine; what can't be removed is logged."""
        executor = self._shop.executor
        try:
            await executor.remove(self.key)
            if executor.uses_folder:
                await asyncio.to_thread(self.folder.remove)
        except (OSError, AsmanError) as error:
            log.warning("attempt %s left something behind: %s", self.label, error)

    @property
    def label(self) -> str:
        """How logs name it."""
        return f"{self.key[0][:12]}/{self.key[1]}"


def _least(*limits: int) -> int:
    """The least of limits of which 0 is none."""
    return min((limit for limit in limits if limit), default=0)


def _has_files(folder: Path) -> bool:
    return folder.is_dir() and any(True for _ in folder.iterdir())


@contextlib.asynccontextmanager
async def _limited(limit: int, what: str) -> AsyncIterator[None]:
    """Bounds a phase; ``limit`` in milliseconds, 0 for none."""
    if not limit:
        yield
        return
    try:
        async with asyncio.timeout(limit / 1000) as scope:
            yield
    except TimeoutError:
        if scope.expired():
            raise _PhaseTimedOut(f"{what} took longer than {format_duration(limit)}") from None
        raise
