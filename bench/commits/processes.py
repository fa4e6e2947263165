"""Ends what a measurement leaves running: hubs, workers and clients whose parent ended before them."""

from __future__ import annotations

import ctypes
import signal
import sys
from types import FrameType

import psutil

PATIENCE = 20.0
"""Time that processes have to end by themselves, in seconds."""
_SET_CHILD_SUBREAPER = 36
"""The number of ``PR_SET_CHILD_SUBREAPER`` in Linux."""


def adopt_orphans() -> None:
    """Makes this process the parent of every process below it that loses its own, so that `end_others` finds it."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def end_by_interrupt() -> None:
    """Treats a request to end (SIGTERM) like Ctrl-C, so that everything that was started is ended first."""

    def interrupt(_number: int, _frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    signal.signal(signal.SIGTERM, interrupt)


def below() -> set[psutil.Process]:
    """Returns all processes that this one has started, directly or not, and that still run."""
    return set(psutil.Process().children(recursive=True))


def end_others(than: set[psutil.Process]) -> int:
    """Kills, each by its own id, what runs below this process and is not in a set; returns how many those were."""
    strays = [process for process in below() if process not in than and _runs(process)]
    for process in strays:
        try:
            process.kill()
        except psutil.NoSuchProcess:
            continue
    psutil.wait_procs(strays, PATIENCE)
    return len(strays)


def _runs(process: psutil.Process) -> bool:
    """Whether it does; one that only waits to be reaped does not."""
    try:
        return bool(process.status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False
