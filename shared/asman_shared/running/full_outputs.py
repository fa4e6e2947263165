"""Ends a process by a signal although its output is full: a pipe that nobody reads, a terminal that was held.

A write to such a pipe blocks for as long as the reader likes, and with it the event loop, which then takes no signal.
So at a signal a thread looks at both outputs. One that stays full is replaced by nothing, and the write that waits for
room is interrupted: it goes on into nothing, and the process ends as it would have ended.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import threading
import time
from collections.abc import Iterable
from types import FrameType
from typing import Final

PATIENCE: Final = 3.0
"""Time for which an output may be full after a signal before it is given up, in seconds."""
_LOOK: Final = 0.1
"""Time between two looks at the outputs, in seconds."""
_OUTPUTS: Final = (1, 2)
"""Standard output and standard error."""


def give_up_full_outputs(numbers: Iterable[int]) -> None:
    """From the first of these signals on, lets no full output hold up the process.

    To be called in the main thread, after the event loop got its handlers of these signals, which are still called.
    Where outputs can't be looked at (Windows), it does nothing.
    """
    if not hasattr(select, "poll"):
        return
    for number in numbers:
        _add(number)
    # Its only effect is that a system call ends, and is then repeated. By default the signal is ignored.
    signal.signal(signal.SIGURG, lambda *_: None)


def _add(number: int) -> None:
    before = signal.getsignal(number)

    def signalled(caught: int, frame: FrameType | None) -> None:
        _watch()
        if callable(before):
            before(caught, frame)

    # Unlike the loop's own handler, this one is called even while the main thread waits in a system call.
    signal.signal(number, signalled)


def _watch() -> None:
    """Starts the thread, once."""
    name = "full outputs"
    if all(each.name != name for each in threading.enumerate()):
        threading.Thread(target=_give_up, name=name, daemon=True).start()


def _give_up() -> None:
    """Replaces each output that stays full, up to the end of the process."""
    left = dict.fromkeys(_OUTPUTS, time.monotonic())
    while left:
        now = time.monotonic()
        for output in list(left):
            if not is_full(output):
                left[output] = now
            elif now - left[output] >= PATIENCE:
                del left[output]
                _replace(output)
        time.sleep(_LOOK)


def is_full(output: int) -> bool:
    """Whether a write to this file descriptor would wait."""
    looked = select.poll()
    looked.register(output, select.POLLOUT)
    return not looked.poll(0)


def _replace(output: int) -> None:
    nothing = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nothing, output)
    os.close(nothing)
    own = threading.get_ident()
    for thread in threading.enumerate():
        if thread.ident is not None and thread.ident != own:
            with contextlib.suppress(ProcessLookupError):  # it has just ended
                signal.pthread_kill(thread.ident, signal.SIGURG)
