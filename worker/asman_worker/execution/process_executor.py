"""Runs attempts as this user's own processes: no container, no isolation; chosen by name only.

A job's files are where ``$JOB_INPUTS`` and ``$JOB_OUTPUTS`` say: there is no ``/inputs`` and no ``/outputs`` on the
host, and commands are not rewritten. Each attempt is a process group of its own, which ends with it.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import json
import logging
import os
import shutil
import signal
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Final

import psutil

from asman_shared.definition import Definition
from asman_shared.errors import ExecutionError
from asman_shared.messages import STDERR, STDOUT
from asman_shared.states import Phase
from asman_shared.units import format_duration

from ..config import platform_name
from .command import argv
from .environment import job_environment
from .folders import JobFolder
from .interface import AttemptSpec, Ended, Key, Reporter

log = logging.getLogger("asman.worker.process")

_CHUNK: Final = 64 * 1024
_PIPE_SECONDS: Final = 5.0
#: What a job inherits of the worker's environment; nothing else, as that may hold secrets.
_INHERITED: Final = ("PATH", "LANG", "LC_ALL", "TZ", "TMPDIR")
#: Sets limits in a shell, as the process itself must: memory (KiB), one file (blocks of 512 bytes), no core files.
_LIMITED: Final = ("/bin/sh", "-c", 'ulimit -c 0; ulimit -f "$1" && ulimit -v "$0" && shift && exec "$@"')


class ProcessExecutor:
    """Processes of the host, one group per attempt.

    Args:
        jobs: The folder of all job folders.
        ignore_images: Run jobs although they name an image.
        stop_grace: Milliseconds between SIGTERM and SIGKILL when a time limit has passed.
        disk: Bytes that one file may have, 0 for any.
    """

    name = "process"
    uses_folder = True
    resumes = False

    def __init__(self, jobs: Path, *, ignore_images: bool = False, stop_grace: int = 5000, disk: int = 0) -> None:
        self._jobs = jobs
        self._disk = disk
        self._ignore_images = ignore_images
        self._grace = stop_grace / 1000

    async def open(self) -> str:
        """Says what it means to run without containers; returns the host's platform."""
        log.warning("jobs run as processes of this user, without a container: they can do what this user can do")
        return platform_name()

    async def close(self) -> None:
        """Nothing to let go of."""

    def check(self, definition: Definition) -> None:
        """Refuses jobs that name an image, unless told to ignore that, and jobs without a command.

        Raises:
            ExecutionError: Why.
        """
        if not self._ignore_images and (definition.image or definition.build):
            raise ExecutionError(
                "this worker runs plain processes and neither has nor builds images; "
                "leave the image out, or start the worker with --ignore-images",
                fault="worker",
            )
        if not definition.command and not definition.entrypoint:
            raise ExecutionError("the job has no command, and without an image there is no other to run")

    async def prepare(self, spec: AttemptSpec, report: Reporter) -> None:
        """Nothing is needed."""

    async def run(self, spec: AttemptSpec, report: Reporter) -> Ended:
        """Runs the command as a process group.

        Raises:
            ExecutionError: It can't be started.
        """
        async with contextlib.AsyncExitStack() as pipes:
            out, err = [await pipes.enter_async_context(_pipe()) for _ in range(2)]
            process = await self._start(spec, out.writer, err.writer)
            out.hand_over()
            err.hand_over()
            report.phase(Phase.RUNNING)
            try:
                return await self._follow(process, spec, report, {STDOUT: out.reader, STDERR: err.reader})
            finally:
                _signal_group(process.pid, signal.SIGKILL)
                if process.returncode is None:
                    await process.wait()

    async def resume(self, spec: AttemptSpec, report: Reporter) -> Ended:
        """Processes end with their worker.

        Raises:
            ExecutionError: Always.
        """
        raise ExecutionError("the process ended with the worker that ran it", fault="worker")

    async def remove(self, key: Key) -> None:
        """Kills what is left of the attempt's group."""
        _kill_noted(JobFolder.of(self._jobs, *key))

    async def sweep(self, known: set[Key]) -> set[Key]:
        """Kills groups that an earlier worker process left behind when it was killed; none is gone on with."""
        for folder in self._jobs.iterdir():
            _kill_noted(JobFolder(folder))
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
        # Only its own, and none when it asked for none.
        env["CUDA_VISIBLE_DEVICES"] = ",".join(spec.gpus)
        memory = str(max(1, spec.shape.memory // 1024)) if spec.shape.memory else "unlimited"
        most = str(max(1, self._disk // 512)) if self._disk else "unlimited"
        words = [*_LIMITED, memory, most, *words]
        await asyncio.to_thread(os.makedirs, env["HOME"], exist_ok=True)
        try:
            process = await asyncio.create_subprocess_exec(
                *words,
                cwd=definition.workdir or env["HOME"],
                env=env,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=out,
                stderr=err,
                start_new_session=True,
            )
        except (OSError, ValueError) as error:
            why = error.strerror if isinstance(error, OSError) else str(error)
            raise ExecutionError(f"'{words[0]}' can't be started: {why}") from error
        _note(folder, process.pid)
        return process

    async def _follow(
        self,
        process: asyncio.subprocess.Process,
        spec: AttemptSpec,
        report: Reporter,
        streams: dict[int, asyncio.StreamReader],
    ) -> Ended:
        limit = spec.time_limit / 1000
        timed_out = politely = False
        async with asyncio.TaskGroup() as tasks:
            drains = [_Drain(pipe, stream, report) for stream, pipe in streams.items()]
            readers = [tasks.create_task(drain.run()) for drain in drains]
            try:
                async with asyncio.timeout(limit or None):
                    await process.wait()
            except TimeoutError:
                timed_out = True
                politely = await self._stop(process)
            _signal_group(process.pid, signal.SIGKILL)
            # A process that left the group may hold the pipes open for ever; a slow hub may take its time.
            late = set(readers)
            while late:
                _, late = await asyncio.wait(late, timeout=_PIPE_SECONDS)
                if all(drain.idle for drain in drains):
                    break
            for reader in late:
                reader.cancel()
        code = process.returncode or 0
        code = 128 - code if code < 0 else code
        if timed_out:
            more = f", and it went on for {format_duration(self._grace * 1000)} after it was asked to end"
            message = f"stopped: running took longer than its limit of {format_duration(spec.time_limit)}"
            return Ended("timed_out", code, message + ("" if politely else more))
        return Ended("exited", code)

    async def _stop(self, process: asyncio.subprocess.Process) -> bool:
        """SIGTERM to the group, and SIGKILL after the grace; returns whether the first was enough."""
        _signal_group(process.pid, signal.SIGTERM)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self._grace):
                await process.wait()
                return True
        _signal_group(process.pid, signal.SIGKILL)
        await process.wait()
        return False


class _Pipe:
    """Our own pipe to a process: asyncio's would not let its end be seen while anyone else holds the other side."""

    def __init__(self, reader: asyncio.StreamReader, writer: int) -> None:
        self.reader = reader
        self.writer = writer

    def hand_over(self) -> None:
        """The process has its copy of the writing side."""
        if self.writer >= 0:
            os.close(self.writer)
            self.writer = -1


@contextlib.asynccontextmanager
async def _pipe() -> AsyncIterator[_Pipe]:
    """A pipe to read from, closed at the end of the block."""
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
    """Reports what comes out of a pipe.

    Attributes:
        idle: It waits for the process, not for the hub.
    """

    def __init__(self, pipe: asyncio.StreamReader, stream: int, report: Reporter) -> None:
        self._pipe = pipe
        self._stream = stream
        self._report = report
        self.idle = True

    async def run(self) -> None:
        """Reads to the end."""
        while data := await self._pipe.read(_CHUNK):
            self.idle = False
            self._report.output(self._stream, data)
            await self._report.room()
            self.idle = True


def _signal_group(group: int, number: int) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(group, number)


def _note(folder: JobFolder, pid: int) -> None:
    """Notes a group and when it began, so that a number that was given out again is not taken for it."""
    with contextlib.suppress(psutil.Error, OSError):
        began = psutil.Process(pid).create_time()
        (folder.root / "process").write_text(json.dumps([pid, began]))


def _kill_noted(folder: JobFolder) -> None:
    """Kills the group that a folder's note names, if it is still that group."""
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
