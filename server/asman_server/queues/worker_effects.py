"""Carries out the effects of the core that are about workers, most of them before any commit."""

from __future__ import annotations

from typing import TYPE_CHECKING

from asman_shared.messages import WorkerPage

from ..core import effects as fx
from ..reply_to import ReplyTo

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


def dismissing(_shell: QueueShell, effect: fx.DismissAnswer) -> None:
    """Answers which workers are drained, or no longer."""
    reply_to: ReplyTo = effect.reply_to
    reply_to.say(WorkerPage(ref=reply_to.ref, workers=[worker.wire() for worker in effect.workers]))


def dismiss(shell: QueueShell, effect: fx.Dismiss) -> None:
    """Ends a drained worker's connection, after what it still has to hear."""
    worker = effect.worker

    def end() -> None:
        link = shell.links.get(worker.incarnation)
        if link is not None and worker.done:
            link.dismissed()

    shell.committer.afterwards(shell.name, end, None)
