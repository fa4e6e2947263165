"""Carries out the effects of the core that tell workers something at once, before any commit."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..core import effects as fx

if TYPE_CHECKING:
    from .shell import QueueShell


def abort(shell: QueueShell, effect: fx.Abort) -> None:
    """Tells a worker to stop an attempt."""
    link = shell.links.get(effect.worker.incarnation)
    if link is not None:
        link.abort(effect.job, effect.attempt, effect.why)


def resumed(shell: QueueShell, effect: fx.Resumed) -> None:
    """Answers the registration of a worker."""
    link = shell.links.get(effect.worker.incarnation)
    if link is not None:
        link.resumed(effect)


def changed(shell: QueueShell, effect: fx.WorkerChanged) -> None:
    """Tells followers of the queue about a worker."""
    shell.fanout.worker(effect.worker.wire())
