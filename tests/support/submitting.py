"""Submits a request to a queue's shell as the doors of the hub do."""

from __future__ import annotations

from asman_server.access import access
from asman_server.delivery.fanout import Follower
from asman_server.queues.shell import QueueShell
from asman_server.reply_to import ReplyTo
from asman_shared.messages import Submit


async def submitted(shell: QueueShell, request: Submit, reply_to: ReplyTo, follower: Follower | None = None) -> None:
    waiting = shell.submit(shell.submission(request, access(shell.name)), reply_to, follower)
    if waiting is not None:
        await waiting
