"""Runs attempts as processes of the worker's user, without a container and without isolation.

This executor is used only when the operator selects it by name. A job finds its files through ``$JOB_INPUTS`` and
``$JOB_OUTPUTS``. One that names ``/inputs``, ``/outputs`` or ``/job-cache`` has them, too, where the system allows a
mount namespace (`job_paths`); commands are not rewritten. Each attempt is its own process group, which is killed when
the attempt ends.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import json
import logging
import os
import secrets
import shutil
import signal
from collections.abc import AsyncIterator, Callable, Coroutine
from functools import partial
from pathlib import Path
from typing import Any, Final

import psutil

from asman_shared.definition import Definition, Source
from asman_shared.disk.own_files import usual_umask
from asman_shared.errors import ExecutionError
from asman_shared.messages import STDERR, STDOUT
from asman_shared.states import Phase

from ..config import platform_name
from . import job_paths
from .command import argv
from .container_end import out_of_time
from .disk_use import DiskGuard, DiskUse, Excess, folder_use
from .environment import job_environment
from .folders import JobFolder
from .interface import AttemptSpec, Ended, Key, Reporter

log = logging.getLogger("asman.worker.process")

_CHUNK: Final = 64 * 1024
"""Bytes read from a pipe at once."""
_PIPE_SECONDS: Final = 5.0
"""Longest wait for more output of processes that outlive their group, in seconds."""
_GONE_SECONDS: Final = 5.0
"""Longest wait for killed processes to be gone, in seconds; one that waits for a disk may take longer."""
_INHERITED: Final = ("PATH", "LANG", "LC_ALL", "TZ", "TMPDIR")
"""Variables of the worker that a job inherits; no others, as they may hold secrets."""
_BARE: Final = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin"}
"""The variables of the program that makes a job's root: a job's own could change what it loads."""
_LIMITED: Final = ("/bin/sh", "-c", 'ulimit -c 0; ulimit -f "$1" && ulimit -v "$0" && shift && exec "$@"')
"""Shell command that sets limits and runs the job: memory in KiB, one file in blocks of 512 bytes, no core files."""


Begin = Callable[..., Coroutine[Any, Any, asyncio.subprocess.Process]]
"""Starts a process, given its words, folder and variables."""
Watch = Callable[[], Coroutine[Any, Any, Excess]]
"""Returns the reason why a job must stop for what it wrote, once there is one."""


class ProcessExecutor:
    """Executor that runs each attempt as a process group of the host.

    Args:
        jobs: The folder of all job folders.
        ignore_images: Run jobs even if they name an image.
        stop_grace: Time between SIGTERM and SIGKILL after a time limit, in milliseconds.
        guard: Bounds what jobs write to the disk: their own folders, and the folder that they share.
    """

    name = "process"
    uses_folder = True
    resumes = False
    own_tags: tuple[str, ...] = ()

    def __init__(
        self, jobs: Path, *, ignore_images: bool = False, stop_grace: int = 5000, guard: DiskGuard | None = None
    ) -> None:
        self._jobs = jobs
        self._guard = guard or DiskGuard(jobs)
        self._ignore_images = ignore_images
        self.sources: tuple[Source, ...] = () if ignore_images else ("machine",)
        self._grace = stop_grace / 1000
        self._unrooted = ""

    async def open(self) -> str:
        """Logs a warning about missing isolation, and finds out what jobs can have; returns the host's platform."""
        log.warning("jobs run as processes of this user, without a container: they can do what this user can do")
        self._unrooted = await self._try_out()
        if self._unrooted:
            log.warning("jobs have no /inputs and /outputs, only $JOB_INPUTS and $JOB_OUTPUTS: %s", self._unrooted)
        return platform_name()

    async def close(self) -> None:
        """Does nothing: this executor holds no resources."""

    async def _try_out(self) -> str:
        """Returns why jobs can't have folders where containers have them; empty if they can."""
        folder = self._jobs / f"trial-{secrets.token_hex(4)}"
        try:
            return await asyncio.to_thread(job_paths.try_out, folder)
        except OSError as error:
            return str(error)
        finally:
            with contextlib.suppress(OSError):
                await asyncio.to_thread(JobFolder(folder).remove)

    def check(self, definition: Definition) -> None:
        """Refuses jobs without a command, and jobs that name an image unless images are ignored.

        Raises:
            ExecutionError: The definition is refused; the message gives the reason.
        """
        if not self._ignore_images and (definition.image or definition.build):
            raise ExecutionError(
                "this worker runs plain processes, without images; "
                "leave the image out, or start the worker with --ignore-images",
                fault="worker",
            )
        if definition.needs_volumes:
            raise ExecutionError("this worker runs plain processes, without volumes and steps", fault="worker")
        if not definition.command and not definition.entrypoint:
            raise ExecutionError("the job has no command, and without an image there is no other to run")

    async def prepare(self, spec: AttemptSpec, report: Reporter) -> None:
        """Does nothing: a process needs no preparation."""

    async def run(self, spec: AttemptSpec, report: Reporter) -> Ended:
        """Runs the command as a process group.

        Raises:
            ExecutionError: The command can't be started.
        """
        async with contextlib.AsyncExitStack() as parts:
            out, err = [await parts.enter_async_context(_pipe()) for _ in range(2)]
            watch = await parts.enter_async_context(self._watching(spec))
            process = await self._start(spec, out.writer, err.writer)
            out.hand_over()
            err.hand_over()
            report.phase(Phase.RUNNING)
            try:
                return await self._follow(process, spec, report, {STDOUT: out.reader, STDERR: err.reader}, watch)
            finally:
                _signal_group(process.pid, signal.SIGKILL)
                if process.returncode is None:
                    await process.wait()
                await _group_gone(process.pid)

    async def resume(self, spec: AttemptSpec, report: Reporter) -> Ended:
        """Refuses to resume: processes end with their worker.

        Raises:
            ExecutionError: Always.
        """
        raise ExecutionError("the process ended with the worker that ran it", fault="worker")

    async def remove(self, key: Key) -> None:
        """Kills the remaining processes of the attempt's group."""
        _kill_recorded(JobFolder.of(self._jobs, *key))

    async def sweep(self, known: set[Key]) -> set[Key]:
        """Kills groups that a killed worker process left behind; none can be resumed."""
        for folder in self._jobs.iterdir():
            _kill_recorded(JobFolder(folder))
        return set()

    async def _start(self, spec: AttemptSpec, out: int, err: int) -> asyncio.subprocess.Process:
        folder = spec.folder
        places = job_environment(spec, str(folder.inputs), str(folder.outputs), str(spec.cache))
        env = {name: os.environ[name] for name in _INHERITED if name in os.environ}
        env.update(HOME=str(folder.root / "home"), **places)
        definition = spec.definition
        words = [*(argv(definition.entrypoint, places) or ()), *(argv(definition.command, places) or ())]
        if not words:
            raise ExecutionError("the command is empty")
        if shutil.which(words[0], path=env.get("PATH")) is None and "/" not in words[0]:
            raise ExecutionError(f"'{words[0]}' can't be started: {os.strerror(errno.ENOENT)}")
        # A job sees only the gpus granted to it; without any, it sees none.
        env["CUDA_VISIBLE_DEVICES"] = ",".join(spec.gpus)
        memory = str(max(1, spec.shape.memory // 1024)) if spec.shape.memory else "unlimited"
        most = str(max(1, self._guard.most // 512)) if self._guard.most else "unlimited"
        words = [*_LIMITED, memory, most, *words]
        await asyncio.to_thread(os.makedirs, env["HOME"], exist_ok=True)
        begin = partial(
            asyncio.create_subprocess_exec,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=out,
            stderr=err,
            start_new_session=True,
            umask=usual_umask(),
        )
        named = not self._unrooted and await asyncio.to_thread(job_paths.names_folders, definition, folder.inputs)
        try:
            if named:
                process = await self._start_rooted(begin, spec, words, env)
            else:
                process = await begin(*words, cwd=definition.workdir or env["HOME"], env=env)
        except (OSError, ValueError) as error:
            why = error.strerror if isinstance(error, OSError) else str(error)
            raise ExecutionError(f"'{words[0]}' can't be started: {why}") from error
        _record_group(folder, process.pid)
        return process

    async def _start_rooted(
        self, begin: Begin, spec: AttemptSpec, words: list[str], env: dict[str, str]
    ) -> asyncio.subprocess.Process:
        """Starts a command that has the job's folders where containers have them.

        Raises:
            ExecutionError: It can't be started.
        """
        async with _pipe() as status:
            planned = await asyncio.to_thread(job_paths.rooted, spec, words, env, status.writer)
            process = await begin(*planned, cwd=env["HOME"], pass_fds=(status.writer,), env=_BARE)
            status.hand_over()
            try:
                why = (await status.reader.read()).decode("utf-8", "replace")
            except BaseException:
                _signal_group(process.pid, signal.SIGKILL)
                raise
        if why:
            await process.wait()
            raise ExecutionError(f"the command can't be started: {why}")
        return process

    async def _follow(
        self,
        process: asyncio.subprocess.Process,
        spec: AttemptSpec,
        report: Reporter,
        streams: dict[int, asyncio.StreamReader],
        watch: Watch,
    ) -> Ended:
        limit = spec.time_limit / 1000
        timed_out = politely = False
        async with asyncio.TaskGroup() as tasks:
            drains = [_Drain(pipe, stream, report) for stream, pipe in streams.items()]
            readers = [tasks.create_task(drain.run()) for drain in drains]
            excess = await self._within_limits(process, limit, watch)
            if process.returncode is None and excess is None:
                timed_out = True
                politely = await self._stop(process)
            _signal_group(process.pid, signal.SIGKILL)
            # A process outside the group may hold the pipes open for ever; waiting for a slow hub is not limited here.
            late = set(readers)
            while late:
                _, late = await asyncio.wait(late, timeout=_PIPE_SECONDS)
                if all(drain.idle for drain in drains):
                    break
            for reader in late:
                reader.cancel()
        if excess is not None:
            raise ExecutionError(excess.message, fault=excess.fault)
        code = process.returncode or 0
        code = 128 - code if code < 0 else code
        if timed_out:
            return Ended("timed_out", code, out_of_time(spec.time_limit, round(self._grace * 1000), politely=politely))
        hint = job_paths.HINT if code and self._unrooted and job_paths.names_folders(spec.definition) else ""
        return Ended("exited", code, hint)

    @contextlib.asynccontextmanager
    async def _watching(self, spec: AttemptSpec) -> AsyncIterator[Watch]:
        """Measures what a job writes, from before its start to the end of the block."""
        shared = self._guard.shared(spec.cache)
        before = await asyncio.to_thread(folder_use, spec.folder.inputs)
        with self._guard.writing() as writer:
            async with shared.charging(writer):

                async def measure() -> DiskUse:
                    await shared.measure()
                    return await asyncio.to_thread(folder_use, spec.folder.root) - before + shared.share(writer)

                yield lambda: self._guard.watch(writer, measure)

    async def _within_limits(self, process: asyncio.subprocess.Process, limit: float, watch: Watch) -> Excess | None:
        """Waits for the end of a process or of its time; returns the reason if it was stopped for what it wrote."""
        watching = asyncio.create_task(watch(), name="disk")
        waiting = asyncio.create_task(process.wait(), name="process")
        try:
            await asyncio.wait((waiting, watching), timeout=limit or None, return_when=asyncio.FIRST_COMPLETED)
            if process.returncode is not None or not watching.done():
                return None
            excess = watching.result()
            _signal_group(process.pid, signal.SIGKILL)
            await process.wait()
            return excess
        finally:
            for task in (waiting, watching):
                task.cancel()
            await asyncio.gather(waiting, watching, return_exceptions=True)

    async def _stop(self, process: asyncio.subprocess.Process) -> bool:
        """Sends SIGTERM to the group, and SIGKILL after the grace period; returns True if SIGTERM was enough."""
        _signal_group(process.pid, signal.SIGTERM)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self._grace):
                await process.wait()
                return True
        _signal_group(process.pid, signal.SIGKILL)
        await process.wait()
        return False


class _Pipe:
    """A pipe to a process; with asyncio's own, the end of the process stays hidden while others hold the pipe open."""

    def __init__(self, reader: asyncio.StreamReader, writer: int) -> None:
        self.reader = reader
        self.writer = writer

    def hand_over(self) -> None:
        """Closes the writing side, once the process has its own copy."""
        if self.writer >= 0:
            os.close(self.writer)
            self.writer = -1


@contextlib.asynccontextmanager
async def _pipe() -> AsyncIterator[_Pipe]:
    """Opens a pipe for reading, closed at the end of the block."""
    reading, writing = os.pipe()
    reader = asyncio.StreamReader(limit=_CHUNK)
    loop = asyncio.get_running_loop()
    transport, _ = await loop.connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(reader), os.fdopen(reading, "rb", buffering=0)
    )
    pipe = _Pipe(reader, writing)
    try:
        yield pipe
    finally:
        pipe.hand_over()
        transport.close()


class _Drain:
    """Reports the output that arrives on a pipe.

    Attributes:
        idle: True while it waits for the process; false while it waits for the hub.
    """

    def __init__(self, pipe: asyncio.StreamReader, stream: int, report: Reporter) -> None:
        self._pipe = pipe
        self._stream = stream
        self._report = report
        self.idle = True

    async def run(self) -> None:
        """Reads the pipe to its end."""
        while data := await self._pipe.read(_CHUNK):
            self.idle = False
            self._report.output(self._stream, data)
            await self._report.room()
            self.idle = True


def _signal_group(group: int, number: int) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(group, number)


async def _group_gone(group: int) -> None:
    """Waits until no process of a killed group runs, since the kernel ends all but the first one in its own time.

    Processes that ended and that nobody has collected don't count.
    """
    pause = 0.001
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(_GONE_SECONDS):
            while _any_left(group) and await asyncio.to_thread(_any_runs, group):
                await asyncio.sleep(pause)
                pause = min(2 * pause, 0.1)


def _any_left(group: int) -> bool:
    """Returns True if the kernel knows a process of the group, running or not yet collected."""
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def _any_runs(group: int) -> bool:
    """Returns True if a process of the group runs."""
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error, OSError):
            if os.getpgid(process.pid) == group and process.status() not in (psutil.STATUS_ZOMBIE, psutil.STATUS_DEAD):
                return True
    return False


def _record_group(folder: JobFolder, pid: int) -> None:
    """Records the group and its start time, so that a reused process id is not mistaken for it."""
    with contextlib.suppress(psutil.Error, OSError):
        began = psutil.Process(pid).create_time()
        (folder.root / "process").write_text(json.dumps([pid, began]))


def _kill_recorded(folder: JobFolder) -> None:
    """Kills the group recorded in a folder, if its start time still matches."""
    try:
        pid, began = json.loads((folder.root / "process").read_bytes())
    except (OSError, ValueError):
        return
    with contextlib.suppress(psutil.Error, OSError):
        same = [
            process
            for process in psutil.process_iter()
            if os.getpgid(process.pid) == pid and process.create_time() >= began - 1
        ]
        if same:
            _signal_group(pid, signal.SIGKILL)
    with contextlib.suppress(OSError):
        (folder.root / "process").unlink()
