"""Carries out the effects of the core that make something durable beside the state of a job."""

from __future__ import annotations

from typing import TYPE_CHECKING

from asman_shared.messages import Configured, Deleted, Keeping, Outcome, Purged

from ..core import effects as fx
from ..reply_to import ReplyTo
from ..storage.commit import QueueRow
from ..webhooks.calls import row_of

if TYPE_CHECKING:
    from .shell import QueueShell


def result(shell: QueueShell, effect: fx.StoreResult) -> None:
    """Stores the result of an accepted attempt."""
    outcome: Outcome = effect.outcome
    found = outcome.result
    if found.outputs or found.skipped or found.phases or found.image_digest:
        found.worker = effect.job.worker_name
        shell.committer.result(shell.name, effect.job.id, found)


def begin(shell: QueueShell, effect: fx.BeginRun) -> None:
    """Begins the log of a job's next run, and removes those of runs long ago."""
    shell.logs.begin(effect.job)
    if effect.kept:
        shell.committer.trim_log(shell.name, effect.job, effect.kept)


def deleted(shell: QueueShell, effect: fx.DeleteAnswer) -> None:
    """Answers that a job is deleted, once that is durable."""
    reply_to: ReplyTo = effect.reply_to
    answer = Deleted(ref=reply_to.ref, job=effect.job)
    shell.committer.afterwards(shell.name, lambda: reply_to.say(answer), lambda error: reply_to.refuse(error))


def settings(shell: QueueShell, effect: fx.SaveSettings) -> None:
    """Stores the queue's settings, and answers once they are durable."""
    reply_to: ReplyTo = effect.reply_to
    if shell.on_kept is not None:
        shell.on_kept(shell.name)
    shell.committer.configure(QueueRow(shell.name, effect.own, shell.clock(), effect.retention, effect.paused))
    answer = Configured(reply_to.ref, effect.retention, bool(effect.own), effect.paused)

    def say() -> None:
        reply_to.say(answer)
        shell.fanout.totals()

    shell.committer.afterwards(shell.name, say, lambda error: reply_to.refuse(error))


def keeping(shell: QueueShell, effect: fx.KeepAnswer) -> None:
    """Answers whether a job is kept, once that is durable."""
    shell.tell(effect.job, effect.reply_to, lambda state: Keeping(effect.reply_to.ref, state))


def purged(shell: QueueShell, effect: fx.PurgeAnswer) -> None:
    """Answers how many jobs were removed, once that is durable."""
    reply_to: ReplyTo = effect.reply_to
    answer = Purged(reply_to.ref, effect.count)
    shell.committer.afterwards(shell.name, lambda: reply_to.say(answer), lambda error: reply_to.refuse(error))


def webhook(shell: QueueShell, effect: fx.CallWebhook) -> None:
    """Stores a webhook to call."""
    shell.committer.webhook(row_of(shell.name, shell.short, effect, shell.clock()), effect.job.id)
