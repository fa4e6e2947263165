"""SIGTERM and SIGHUP for commands that follow a job: CI systems and closed terminals send these instead of Ctrl-C."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager

from asman_shared.running.full_outputs import give_up_full_outputs

from . import exits
from .terminal import Terminal

_SIGNALS = ("SIGTERM", "SIGHUP")


class Stopped:
    """The signal that has stopped a command, if one has."""

    def __init__(self) -> None:
        self.signal: signal.Signals | None = None

    def code(self, otherwise: int) -> int:
        """Returns the exit code: 128 and the number of the signal, as shells say it, or ``otherwise``."""
        return otherwise if self.signal is None else 128 + self.signal


@contextmanager
def stop_signals() -> Iterator[Stopped]:
    """Cancels the current task at SIGTERM and SIGHUP, as Ctrl-C does; an ignored signal stays ignored (``nohup``)."""
    loop, task, stopped = asyncio.get_running_loop(), asyncio.current_task(), Stopped()

    def stop(number: signal.Signals) -> None:
        if stopped.signal is None and task is not None:
            stopped.signal = number
            task.cancel()

    held = []
    for name in _SIGNALS:
        number = getattr(signal, name, None)  # Windows has no SIGHUP
        if number is None or signal.getsignal(number) is signal.SIG_IGN:
            continue
        try:
            loop.add_signal_handler(number, stop, number)
        except (NotImplementedError, RuntimeError, ValueError):  # not the main thread, or a loop without signals
            continue
        held.append(number)
    interrupted = signal.getsignal(signal.SIGINT)
    if held:
        give_up_full_outputs((*held, *((signal.SIGINT,) if callable(interrupted) else ())))
    try:
        yield stopped
    finally:
        if held:
            signal.signal(signal.SIGINT, interrupted)
        for number in held:
            loop.remove_signal_handler(number)


async def stoppable(work: Callable[[Stopped], Awaitable[int]], terminal: Terminal) -> int:
    """Does the work of a command; returns its exit code, also when a signal has stopped it in the middle."""
    with stop_signals() as stopped:
        try:
            return await work(stopped)
        except asyncio.CancelledError:
            if stopped.signal is None:
                raise
            terminal.note("stopped before the hub had answered")
            return stopped.code(exits.CANCELLED)
