"""Holds the attempts of one queue and follows the hub: assign, abort, acknowledge, and reconcile after a reconnect."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Sequence
from typing import Final

import msgspec

from asman_shared import limits
from asman_shared.messages import (
    Abort,
    Acknowledged,
    Assign,
    Drain,
    Finished,
    Held,
    HubToWorker,
    Outcome,
    OutputFile,
    Register,
    Registered,
    Released,
)
from asman_shared.states import Fault, Phase
from asman_shared.units import MIB

from ..execution.folders import sweep
from ..execution.interface import Interrupted, Key
from .attempt import Attempt, AttemptContext
from .disk_reserve import DiskReserve
from .result_spool import Spool
from .service_limits import ServiceLimits

log = logging.getLogger("asman.worker.agent")

_MESSAGE_LENGTH: Final = 4000
"""Longest message of an outcome, in characters."""
_RESULT_BYTES: Final = limits.FRAME_BYTES - limits.DEFINITION_BYTES - MIB // 4
"""Largest result, in bytes: one answer of the hub holds a job's result and its definition."""
_NAMED: Final = 100
"""Number of outputs that are named when they have no room in a result."""
_SPARE_BYTES: Final = MIB // 2
"""Room for those names and the rest of a shortened result, in bytes."""
_INTERRUPTIONS: Final = 3
"""Number of interruptions on this worker after which an attempt ends with an error."""
_INTERRUPTIONS_KNOWN: Final = 10_000
"""Number of jobs whose interruptions are counted."""


class Agent:
    """Holds the attempts of one worker; the connection's `Peer`.

    The hub alone decides which attempts are kept. No content of a message can stop the agent: an assignment that
    can't be run ends as an error of its job.

    Args:
        context: Services that the attempts share.
        spool: Stores attempts and results across restarts.
        introduction: Registration message of this worker; the agent adds the attempts that it holds.
        on_ready: Called with the hub's answer to each registration.
        service_limits: Counts the jobs over all queues of this process.
        disk_reserve: Decides if enough disk is free for new attempts.
    """

    def __init__(
        self,
        context: AttemptContext,
        spool: Spool,
        introduction: Register,
        on_ready: Callable[[Registered], None] | None = None,
        service_limits: ServiceLimits | None = None,
        disk_reserve: DiskReserve | None = None,
    ) -> None:
        self._context = context
        self._spool = spool
        self._introduction = introduction
        self._on_ready = on_ready
        self._service_limits = service_limits or ServiceLimits(asyncio.Event())
        self._disk_reserve = disk_reserve or DiskReserve(context.jobs, 0)
        self._short = asyncio.Event()
        self._held: dict[Key, Attempt] = {}
        self._tasks: asyncio.TaskGroup | None = None
        self._active: set[asyncio.Task[None]] = set()
        self._changed = asyncio.Event()
        self._connected = False
        self._interruptions: dict[str, int] = {}
        self._log_limit = limits.LOG_BYTES
        self.draining = False

    @property
    def connected(self) -> bool:
        """True once the hub has answered the registration on the current connection."""
        return self._connected

    @property
    def held(self) -> dict[Key, Attempt]:
        """All attempts that are not yet forgotten, by key."""
        return self._held

    async def run_all(self) -> None:
        """Runs the attempts until cancelled; then stops those that run, and cleans up."""
        async with asyncio.TaskGroup() as tasks:
            self._tasks = tasks
            for attempt in list(self._held.values()):
                if attempt.outcome is None and attempt.task is None:
                    self._begin(attempt)
            await asyncio.Event().wait()

    async def recover(self) -> None:
        """Takes over the attempts of an earlier process of this worker; must be called first."""
        kept = self._spool.kept
        executor = self._context.executor
        unfinished = {key for key, entry in kept.items() if entry.outcome is None and entry.assign is not None}
        survived = await executor.sweep(unfinished)
        for key, entry in kept.items():
            if entry.outcome is None and key not in survived:
                # No longer held: the hub assigns the job to another worker.
                log.info("attempt %s/%d did not survive the restart", key[0][:12], key[1])
                self._spool.forget(key)
                continue
            attempt = Attempt(self._context, key, entry.assign, entry.started, resumed=True)
            if entry.outcome is not None:
                attempt.outcome = entry.outcome
                attempt.durable = True
                attempt.log.start_at(entry.outcome.lines)
                attempt.log.restore(entry.lines)
            self._held[key] = attempt
            self._service_limits.hold()
        if executor.uses_folder:
            wanted = {attempt.folder.root.name for attempt in self._held.values() if attempt.outcome is None}
            await asyncio.to_thread(sweep, self._context.jobs, wanted)

    # -------------------------------------------------------------------------------------------- the connection

    def introduce(self) -> Register:
        """Returns the registration, with all attempts that this worker holds."""
        made = self._introduction
        self._look_at_disk()
        made.draining = self.draining or self._short.is_set()
        made.disk = self._disk_reserve.free
        made.holding = [
            Held(*key, attempt.phase_now, attempt.outcome is not None) for key, attempt in self._held.items()
        ]
        return made

    def remark(self, text: str) -> None:
        """Sets a remark about this worker, which lists of workers show from its next registration on."""
        self._introduction.remark = text[: limits.AGENT_LENGTH]

    def registered(self, answer: Registered) -> None:
        """Keeps or aborts each attempt as the hub answers, and reports the state of the kept ones again."""
        self._connected = True
        self._log_limit = answer.log_limit
        self._context.links = answer.links
        for item in answer.abort:
            self._abort((item.job, item.attempt), "the hub has not assigned it to this worker")
        keep = {(item.job, item.attempt): item.log_next for item in answer.keep}
        for key, attempt in list(self._held.items()):
            if key in keep:
                attempt.log.resume(keep[key])
                if attempt.outcome is None:
                    self._context.send_buffer.put(attempt.news())
                elif attempt.durable:
                    self._context.send_buffer.put(Finished(*key, attempt.outcome))
            elif not attempt.aborted:
                self._abort(key, "the hub did not ask to keep it")
        self._changed.set()
        if self._on_ready is not None:
            self._on_ready(answer)

    def disconnected(self) -> None:
        """Pauses the logs; attempts continue and report again after the next registration."""
        self._connected = False
        for attempt in self._held.values():
            attempt.log.pause()
        self._changed.set()

    def received(self, messages: Sequence[HubToWorker]) -> None:
        """Handles the messages of one frame."""
        for message in messages:
            match message:
                case Assign():
                    self._assign(message)
                case Acknowledged(job=job, attempt=number):
                    self._forget((job, number))
                case Abort(job=job, attempt=number, why=why):
                    self._abort((job, number), why)

    # ---------------------------------------------------------------------------------------------- the attempts

    def _assign(self, assign: Assign) -> None:
        key = (assign.job, assign.attempt)
        if key in self._held:
            return
        if short := self._look_at_disk():
            log.warning("%s; attempt %s/%d is returned to the hub", short, key[0][:12], key[1])
        elif self._service_limits.take():
            self._admit(key, assign)
            return
        else:
            self.draining = True
        # The assignment crossed the drain message; repeat that first, so that the released job does not come back.
        self._context.send_buffer.put(Drain())
        self._context.send_buffer.put(Released(*key))

    def _admit(self, key: Key, assign: Assign) -> None:
        attempt = Attempt(self._context, key, assign, time.time_ns() // 1_000_000, log_limit=self._log_limit)
        self._held[key] = attempt
        attempt.log.resume(assign.log_next)
        attempt.phase(Phase.STAGING)
        if self._context.executor.resumes:
            self._spool.began(assign, attempt.started)
        self._begin(attempt)

    def _look_at_disk(self) -> str:
        """Checks the disk; returns the reason why no new attempt may begin, or an empty string."""
        short = self._disk_reserve.short()
        if short:
            self._short.set()
        else:
            self._short.clear()
        return short

    async def short_of_disk(self) -> None:
        """Waits for the disk to run short, and then until enough of it is free again."""
        await self._short.wait()
        await self._disk_reserve.enough()

    def _begin(self, attempt: Attempt) -> None:
        if self._tasks is not None:
            attempt.task = self._tasks.create_task(self._run(attempt), name=f"attempt {attempt.label}")
            self._active.add(attempt.task)
            attempt.task.add_done_callback(self._task_done)

    def _task_done(self, task: asyncio.Task[None]) -> None:
        self._active.discard(task)
        if not self._active:
            self._changed.set()

    async def _run(self, attempt: Attempt) -> None:
        try:
            attempt.outcome = await attempt.run()
        except asyncio.CancelledError:
            attempt.aborted = True
        except Interrupted as error:
            if not self._interrupted(attempt, error):
                self._keep(attempt)
                await self._until_durable(attempt)
        else:
            self._keep(attempt)
            if not self._context.executor.uses_folder:
                return
            await self._until_durable(attempt)
        await attempt.clear()
        if attempt.aborted:
            self._release(attempt)

    def _interrupted(self, attempt: Attempt, error: Interrupted) -> bool:
        """Returns an attempt to the hub, or ends it with an error if its job was interrupted too often.

        Returns:
            True if the attempt is returned to the hub.
        """
        job = attempt.key[0]
        times = self._interruptions[job] = self._interruptions.pop(job, 0) + 1
        while len(self._interruptions) > _INTERRUPTIONS_KNOWN:
            del self._interruptions[next(iter(self._interruptions))]
        log.warning("attempt %s was interrupted: %s", attempt.label, error.message)
        if times < _INTERRUPTIONS or attempt.aborted:
            attempt.aborted = True
            return True
        # A job that brings down its engine each time must not be retried for ever.
        attempt.outcome = Outcome(
            "error",
            message=f"{error.message}, {times} times on this worker",
            fault=Fault.WORKER,
            lines=attempt.log.next,
        )
        return False

    async def _until_durable(self, attempt: Attempt) -> None:
        """Waits until the result is on disk; after that, nothing else of the attempt is needed."""
        if not attempt.durable and not attempt.aborted:
            attempt.on_disk = asyncio.Event()
            await attempt.on_disk.wait()

    def _keep(self, attempt: Attempt) -> None:
        """Writes the result to disk, and then sends it to the hub."""
        assert attempt.outcome is not None  # noqa: S101 - it has just ended
        attempt.outcome = _bounded(attempt.outcome)
        self._spool.ended(attempt.key, attempt.outcome, attempt.log.unsent(), lambda: self._kept(attempt))

    def _kept(self, attempt: Attempt) -> None:
        attempt.durable = True
        if attempt.on_disk is not None:
            attempt.on_disk.set()
        if attempt.outcome is not None and not attempt.aborted:
            self._context.send_buffer.put(Finished(*attempt.key, attempt.outcome))
        self._changed.set()

    def _abort(self, key: Key, why: str) -> None:
        attempt = self._held.get(key)
        if attempt is None:
            self._context.send_buffer.put(Released(*key))
            return
        if attempt.aborted:
            return
        log.info("attempt %s is aborted: %s", attempt.label, why or "no reason given")
        attempt.aborted = True
        attempt.log.pause()
        if attempt.task is None or attempt.task.done():
            self._release(attempt)
        elif attempt.outcome is None:
            attempt.task.cancel()

    def _release(self, attempt: Attempt) -> None:
        """Forgets the attempt and reports it as released."""
        self._forget(attempt.key)
        self._context.send_buffer.put(Released(*attempt.key))

    def _forget(self, key: Key) -> None:
        attempt = self._held.pop(key, None)
        if attempt is None:
            return
        self._service_limits.let_go()
        attempt.log.close()
        self._context.send_buffer.drop(key)
        self._spool.forget(key)
        self._changed.set()

    # ------------------------------------------------------------------------------------------------ the ending

    async def drain(self, *, acknowledge: float = 10.0) -> None:
        """Refuses new jobs, and returns once none runs and the hub has every result.

        Results that the hub does not acknowledge within ``acknowledge`` seconds stay on disk for the next process.
        Without a connection, they stay there at once.
        """
        self.draining = True
        self._context.send_buffer.put(Drain())
        log.info("draining: %d attempts to finish", len(self._held))
        while self._active or any(not attempt.durable for attempt in self._held.values()):
            await self._change()
        try:
            async with asyncio.timeout(acknowledge):
                while self._held and self._connected:
                    await self._change()
        except TimeoutError:
            log.warning("%d results stay on disk: the hub did not acknowledge them", len(self._held))

    async def _change(self) -> None:
        self._changed.clear()
        await self._changed.wait()

    async def hand_back(self) -> None:
        """Stops all running attempts, releases them to other workers, and returns when everything is cleaned up."""
        stopped = 0
        for attempt in list(self._held.values()):
            if attempt.outcome is None and attempt.task is not None and not attempt.aborted:
                attempt.aborted = True
                attempt.task.cancel()
                stopped += 1
        if stopped:
            log.warning("stopping %d attempts; the hub assigns them to other workers", stopped)
        if self._active:
            await asyncio.wait(self._active)


def _bounded(outcome: Outcome) -> Outcome:
    """Shortens an outcome so that it fits into a frame."""
    if len(outcome.message) > _MESSAGE_LENGTH:
        outcome.message = outcome.message[:_MESSAGE_LENGTH] + "…"
    result = outcome.result
    if len(result.outputs) + len(result.skipped) > 1000:
        size = len(msgspec.msgpack.encode(result))
        if size > _RESULT_BYTES:
            _shorten(outcome, size)
    return outcome


def _shorten(outcome: Outcome, size: int) -> None:
    """Drops outputs that do not fit into the result, and names the first of them.

    Args:
        outcome: The outcome; a success becomes an error, because it lacks outputs.
        size: Size of its result, in bytes.
    """
    result = outcome.result
    count = len(result.outputs)
    why = f"it left {count} files whose names alone have {size} bytes; pack them into an archive"
    skipped = dict(list(result.skipped.items())[:_NAMED])
    left = _RESULT_BYTES - len(msgspec.msgpack.encode({**skipped, **dict(result.phases)})) - _SPARE_BYTES
    kept: dict[str, OutputFile] = {}
    for name, file in result.outputs.items():
        left -= len(msgspec.msgpack.encode({name: file}))
        if left < 0:
            break
        kept[name] = file
    dropped = [name for name in result.outputs if name not in kept]
    skipped |= dict.fromkeys(dropped[:_NAMED], "it has no room in the result; pack the outputs into an archive")
    more = len(dropped) + len(result.skipped) - len(skipped)
    if more:
        skipped["…"] = f"{'at least ' if '…' in result.skipped else ''}{more} more were not kept"
    result.outputs, result.skipped = kept, skipped
    if dropped:
        outcome.message = f"{outcome.message}; {why}" if outcome.message else why
        if outcome.kind == "exited" and outcome.exit_code == 0:
            outcome.kind, outcome.fault = "error", Fault.JOB
