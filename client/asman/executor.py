"""`asman.Executor`: Python functions as jobs, with the interface of ``concurrent.futures``.

.. code-block:: python

    with asman.Executor("https://hub.example/q/my-queue", image="python:3.11") as executor:
        for result in executor.map(simulate, range(10_000)):
            print(result)

Results are read as plain values, so a worker can't run code here. ``trust_workers=True`` reads pickles, which can.

Each submitted call is a job. `Executor.map` puts as many quick calls into one job as make about a second of work. A
call may run twice if its worker is lost (see ``max_attempts``); only one result is used.
"""

from __future__ import annotations

import asyncio
import secrets
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent import futures
from inspect import signature
from typing import Any, Final, ParamSpec, TypeVar, Unpack, cast

from msgspec.structs import replace

from asman_shared.definition import DataRef, Definition
from asman_shared.errors import BadDefinition, BadRequest
from asman_shared.limits import INLINE_BYTES, MAX_ATTEMPTS, PRIORITY
from asman_shared.states import State
from asman_shared.terminal import safe_text

from . import arguments, calls, client, sync
from .ahead import Ahead, Maps, attempt
from .arguments import known, limit, text
from .background import BackgroundLoop
from .bulk import retry_while_unavailable
from .calls import Call, Outcomes, Pace
from .deadline import Duration, deadline, milliseconds
from .definitions import JOB_FIELDS, JobFields
from .job import Job
from .logs import Line
from .remote_call import ALL

P = ParamSpec("P")
T = TypeVar("T")

WINDOW: Final = 256
"""Default number of jobs in flight."""
KEPT_SECONDS: Final = 1800.0
"""Time during which a stored function is assumed to be still stored, in seconds."""
KEPT_FUNCTIONS: Final = 256
"""Maximum number of stored functions that an executor remembers."""
CANCEL_SECONDS: Final = 10.0
"""Time limit for cancelling the job of a cancelled call, in seconds."""


_OVER: Final = "this executor was shut down and accepts no more calls"
_TOLD: Final = frozenset({"cpus", "gpus", "memory", "image", "tags", "max_duration", "shm_size", "workdir"})
"""Options whose values a `repr` shows; others may be secret or long."""


class Future(futures.Future[T]):
    """The future of a call. Unlike a thread's, a running call can be cancelled, by cancelling its job."""

    def __init__(self) -> None:
        super().__init__()
        self._stop: Callable[[], None] | None = None
        self._handle: Job | None = None
        self._where: BackgroundLoop | None = None

    @property
    def job(self) -> sync.Job | None:
        """The call's job, once there is one; several calls of `Executor.map` share a job."""
        if self._handle is None or self._where is None:
            return None
        return sync.Job(self._handle, self._where)

    def __repr__(self) -> str:
        state = (
            "cancelled" if self.cancelled() else "running" if self.running() else "done" if self.done() else "waiting"
        )
        failed = ", failed" if state == "done" and self.exception() is not None else ""
        job = "" if self._handle is None else f", job {self._handle.id[:12]}"
        return f"Future({state}{failed}{job})"

    def running(self) -> bool:
        """Checks whether the call's job is running now."""
        return not self.done() and self._handle is not None and self._handle.state.state is State.RUNNING

    def cancel(self) -> bool:
        """Cancels the call and stops its job; returns False if the call is already done."""
        cancelled = super().cancel()
        stop, self._stop = self._stop, None  # a second cancellation would end that of the job
        if cancelled and stop is not None:
            stop()
        return cancelled

    def _tell_cancelled(self) -> None:
        """Wakes those that wait for a cancelled future by `concurrent.futures.wait` or ``as_completed``."""
        if self._state == "CANCELLED":
            self.set_running_or_notify_cancel()


def show(line: Line) -> None:
    """Prints a line of a function's output to the same stream of this process."""
    if line.stream != "system":
        stream = sys.stderr if line.stream == "stderr" else sys.stdout
        stream.write((safe_text.log_line(line.text) if stream.isatty() else line.text) + line.end)


class Executor(Maps, futures.Executor):
    """Runs functions as jobs of a queue, from any thread. Use it in ``with``, or call `shutdown`.

    The Python of the job must have the same minor version as this one (3.11, for example) and needs no Asman packages
    installed. Functions of an installed package are sent by name only: the image must have that package.

    Everybody who has the queue's name can work for it and answer a call. So a call's result must be plain: numbers,
    text, bytes, None, lists, tuples, dicts, sets, dates, decimals, UUIDs and paths, in each other. An exception comes
    back if it is a built-in one with plain arguments; another becomes a `CallFailed` with the remote traceback.

    Args:
        queue: The queue's URL, or its name with ``hub``; the default is ``$ASMAN_QUEUE``.
        hub: The hub, if ``queue`` is a name.
        python: The Python interpreter in the image.
        trust_workers: Whether to unpickle results, so that they may be of any class. A pickle can run any code in this
            process: use it only if you trust everybody who has the queue's name.
        cache: Whether to return the stored result of a call that was made before and succeeded. Otherwise each call
            runs.
        on_line: Called with each line that functions print; by default it is printed here, and None drops it.
        window: Maximum number of jobs in flight; further calls wait in this process.
        max_attempts: Number of lost workers after which a job fails; 1 if a call must not run twice.
        priority: From -100 to 100; higher runs first.
        timeout: Maximum run time of one job, in seconds or as text (``20m``).
        connect_timeout: Time limit for connecting and for each answer of a connected hub, in seconds.
        reconnect: Time that the hub may be away, in seconds; None for no limit.
        **fields: Arguments of all jobs: ``image``, ``cpus``, ``memory``, ``gpus``, ``tags``, ``env``, ``files``, ….

    Raises:
        AsmanError: The hub can't be reached, or a field is wrong.
    """

    def __init__(
        self,
        queue: str | None = None,
        hub: str | None = None,
        *,
        python: str = "python3",
        trust_workers: bool = False,
        cache: bool = False,
        on_line: Callable[[Line], None] | None = show,
        window: int = WINDOW,
        max_attempts: int = MAX_ATTEMPTS,
        priority: int = 0,
        timeout: Duration | None = None,
        connect_timeout: float = 30.0,
        reconnect: float | None = 300.0,
        **fields: Unpack[JobFields],
    ) -> None:
        self._check(fields, signature(Executor).parameters)
        arguments.whole("window", window, least=1)
        arguments.whole("max_attempts", max_attempts, least=1)
        arguments.whole("priority", priority, least=-PRIORITY, most=PRIORITY)
        milliseconds(timeout, field="timeout")
        text("python", python)
        connect_timeout = arguments.seconds("connect_timeout", connect_timeout)
        reconnect = limit("reconnect", reconnect)
        self._python = python
        self._trusts = trust_workers
        self._cache = cache
        self._on_line = on_line
        self._window = window
        self._reconnect = reconnect
        # A call that is not cached is a job like no other, and its submission may be repeated.
        reuse = "success" if cache else "any"
        self._policy: dict[str, Any] = {
            "max_attempts": max_attempts,
            "priority": priority,
            "timeout": timeout,
            "reuse": reuse,
        }
        self._lock = threading.Lock()
        self._over = False
        self._open: set[Future[Any]] = set()
        self._runs: set[futures.Future[None]] = set()
        self._stored: dict[bytes, tuple[float, DataRef]] = {}
        self._loop = BackgroundLoop()
        try:
            self._queue = client.connect(queue, hub, timeout=connect_timeout, reconnect=reconnect)
            self._loop.closes(self._queue.close)
            self._base = self._loop.run(self._begin(fields))
        except BaseException:
            self._loop.stop()
            raise

    def __repr__(self) -> str:
        calls = len(self._open)
        return f"Executor(on {self._queue.address.host}, {calls} call{'' if calls == 1 else 's'} open)"

    @staticmethod
    def _check(fields: JobFields, others: Iterable[str] = ()) -> None:
        known(fields.keys(), JOB_FIELDS, others)
        taken = {"command", "entrypoint", "version", "outputs"} & fields.keys()
        if taken:
            raise BadRequest(f"an executor sets '{min(taken)}' itself", field=min(taken))

    async def _begin(self, fields: JobFields) -> Definition:
        """Connects and stores the files that all jobs share."""
        self._places = asyncio.Semaphore(self._window)
        await self._queue.open()
        try:
            base = await self._defined(None, fields)
            shared = await self._queue.put_blob(calls.program())
        except BaseException:
            await self._queue.close()
            raise
        base.inputs = {**(base.inputs or {}), calls.PROGRAM: shared}
        base.command = [self._python, "-c", calls.BOOT, calls.form_of(self._trusts), calls.VERSION]
        return base

    async def _defined(self, base: Definition | None, fields: JobFields) -> Definition:
        """Stores the files that jobs share, and returns what they have in common."""
        named = {**(fields.get("inputs") or {}), **(fields.get("config_files") or {})}
        made = await self._queue.define(base, **fields)
        own = {calls.PROGRAM, calls.FUNCTION, calls.CALLS}
        taken = own & (named.keys() | ((made.inputs or {}).keys() - ((base.inputs if base else None) or {}).keys()))
        if taken:
            raise BadDefinition(f"an input can't be named '{min(taken)}' here", field="inputs")
        return made

    # ------------------------------------------------------------------------------------------------------- calls

    def submit(self, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        """Runs ``fn(*args, **kwargs)`` as a job of its own.

        Raises:
            RuntimeError: The executor was shut down.
        """
        return self._submit(self._base, fn, args, kwargs)

    def _submit(
        self, base: Definition, fn: Callable[..., T], args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Future[T]:
        future: Future[T] = Future()
        self._start(future, fn, [(args, kwargs)], self._first, base)
        return future

    @staticmethod
    def _first(found: Outcomes) -> Any:
        return calls.value_of(found.outcomes[0], found.trusted)

    def options(self, **fields: Unpack[JobFields]) -> Options:
        """Returns a view of this executor whose calls have other resources or files.

        .. code-block:: python

            large = executor.options(cpus=8, memory="32GiB")
            future = large.submit(train, data)

        Args:
            **fields: Arguments of its jobs, in the place of those of this executor.

        Raises:
            AsmanError: A field is wrong, or a file can't be stored.
            RuntimeError: The executor was shut down.
        """
        self._check(fields)
        if self._over:
            raise RuntimeError(_OVER)
        return Options(self, self._loop.run(self._defined(self._base, fields)), fields)

    def _map(
        self,
        fn: Callable[..., T],
        items: Iterable[Iterable[Any]],
        timeout: float | None,
        chunksize: int,
        kwargs: Mapping[str, Any] | None,
        *,
        whole: bool,
        base: Definition | None = None,
    ) -> Iterator[Any]:
        base = base or self._base
        arguments.whole("chunksize", chunksize, least=0)
        timeout = limit("timeout", timeout)
        if whole:
            base = replace(base, command=[*(base.command or ()), ALL])
        named = dict(kwargs or {})
        source: Iterator[Call] = ((tuple(arguments), named) for arguments in items)
        packed = calls.pack(fn)

        def start(batch: list[Call]) -> Future[Outcomes]:
            future: Future[Outcomes] = Future()
            self._start(future, packed, batch, lambda found: found, base)
            return future

        ahead = Ahead(start, source, Pace(chunksize), self._window, whole=whole)
        ahead.fill()
        return ahead.results(None if timeout is None else time.monotonic() + timeout)

    def _start(
        self,
        future: Future[T],
        function: Callable[..., Any] | bytes,
        batch: list[Call],
        read: Callable[[Outcomes], T],
        base: Definition,
    ) -> None:
        with self._lock:
            if self._over:
                raise RuntimeError(_OVER)
            self._open.add(future)
        future.add_done_callback(self._ended)
        try:
            packed = function if isinstance(function, bytes) else calls.pack(function)
            arguments = calls.pack(batch)
        except Exception as error:
            future.set_exception(error)
            return
        future._where = self._loop
        run = self._loop.start(self._run(future, packed, arguments, read, base))
        with self._lock:
            self._runs.add(run)
        run.add_done_callback(self._ran)

    def _ended(self, future: futures.Future[Any]) -> None:
        with self._lock:
            self._open.discard(cast(Future[Any], future))

    def _ran(self, run: futures.Future[None]) -> None:
        with self._lock:
            self._runs.discard(run)

    async def _run(
        self, future: Future[T], function: bytes, arguments: bytes, read: Callable[[Outcomes], T], base: Definition
    ) -> None:
        """Runs a call from start to end, on the loop."""
        task, loop = asyncio.current_task(), self._loop
        assert task is not None  # noqa: S101 - this is a coroutine
        future._stop = lambda: loop.call(task.cancel)
        try:
            async with self._places:
                if future.cancelled():
                    return
                data = await self._finished(future, function, arguments, base)
            value, raised = await asyncio.to_thread(attempt, lambda: read(calls.unpack(data, self._trusts)))
            if raised is not None:
                raise raised
        except asyncio.CancelledError:
            if not future.cancelled():
                future.cancel()
        except BaseException as error:
            if future.set_running_or_notify_cancel():
                future.set_exception(error)
            if isinstance(error, KeyboardInterrupt):
                raise
        else:
            if future.set_running_or_notify_cancel():
                future.set_result(cast(T, value))
        finally:
            future._stop = None
            future._tell_cancelled()

    async def _finished(self, future: Future[Any], function: bytes, arguments: bytes, base: Definition) -> bytes:
        """Runs the job and returns the bytes that it wrote.

        Raises:
            JobFailed: The job did not succeed.
        """
        definition = replace(base, v=None if self._cache else secrets.token_hex(8))
        inputs = {calls.FUNCTION: await self._function(function), calls.CALLS: arguments}
        # Others may wait for the same run. A slot of its own lets this call be cancelled without cancelling theirs.
        namespace = f"call-{secrets.token_hex(8)}" if self._cache else "_"
        submit = asyncio.ensure_future(
            retry_while_unavailable(
                lambda: self._queue.submit(definition, inputs=inputs, namespace=namespace, **self._policy),
                self._reconnect,
            )
        )
        try:
            future._handle = job = await asyncio.shield(submit)
            if self._on_line is not None:
                async for lines in job.log_parts():
                    for line in lines:
                        self._on_line(line)
            result = await job.result()
            return await result.outputs[calls.result_file(self._trusts)].read_bytes()
        except asyncio.CancelledError:
            async with deadline(CANCEL_SECONDS, "cancelling a call"):
                await (await submit).cancel()
            raise

    async def _function(self, packed: bytes) -> DataRef | bytes:
        """Makes a function an input; a large one is stored once."""
        if len(packed) <= INLINE_BYTES:
            return packed
        kept = self._stored.pop(packed, None)
        if kept is None or time.monotonic() - kept[0] > KEPT_SECONDS:
            kept = time.monotonic(), await self._queue.put_blob(packed)
            while len(self._stored) >= KEPT_FUNCTIONS:
                del self._stored[next(iter(self._stored))]
        self._stored[packed] = kept
        return kept[1]

    # --------------------------------------------------------------------------------------------------------- end

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Accepts no more calls, and closes the connection when all calls are done.

        Args:
            wait: Whether to wait for that here.
            cancel_futures: Whether to cancel the calls that are not done.
        """
        with self._lock:
            first, self._over = not self._over, True
            left = list(self._open)
        if cancel_futures:
            for future in left:
                future.cancel()
        if first:
            # The thread is not a daemon, so that a program that does not wait here ends only when its calls are done.
            self._ending = threading.Thread(target=self._end, args=(left,), name="asman executor")
            self._ending.start()
        if wait:
            self._ending.join()

    def _end(self, left: list[Future[Any]]) -> None:
        futures.wait(left)
        with self._lock:
            runs = list(self._runs)
        futures.wait(runs)  # a call that was cancelled before still cancels its job
        try:
            self._loop.run(self._queue.close())
        finally:
            self._loop.stop()


class Options(Maps):
    """A view of an `Executor` whose calls have other resources or files; made by `Executor.options`."""

    def __init__(self, executor: Executor, base: Definition, fields: JobFields) -> None:
        self._executor = executor
        self._base = base
        self._told = ", ".join(f"{name}={value!r}" if name in _TOLD else f"{name}=…" for name, value in fields.items())

    def __repr__(self) -> str:
        return f"{self._executor!r}.options({self._told})"

    def submit(self, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        """Runs a call as `Executor.submit` does."""
        return self._executor._submit(self._base, fn, args, kwargs)

    def _map(
        self,
        fn: Callable[..., T],
        items: Iterable[Iterable[Any]],
        timeout: float | None,
        chunksize: int,
        kwargs: Mapping[str, Any] | None,
        *,
        whole: bool,
    ) -> Iterator[Any]:
        return self._executor._map(fn, items, timeout, chunksize, kwargs, whole=whole, base=self._base)
