"""Rows and commits for tests of the durable state, and somebody who waits for a commit."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

from asman_server.core import Job
from asman_server.storage import row_kinds
from asman_server.storage.commit import Commit, JobRow, LogChunk, WebhookRow
from asman_server.storage.group_commit import GroupCommitter
from asman_server.storage.reader import pack_lines
from asman_server.storage.row_kinds import RESULT_BLOBS, RESULTS
from asman_shared.errors import AsmanError
from asman_shared.messages import JobState, LogLine, Summary
from asman_shared.states import Phase, State
from devtools.patience import PATIENCE


def job_id(number: int) -> str:
    return f"{number:064x}"


def job(number: int, state: State = State.QUEUED, **more: Any) -> Job:
    return Job(id=job_id(number), number=number, summary=Summary(image="a"), state=state, holders=("_",), **more)


def row(made: Job, queue: str = "q") -> JobRow:
    return JobRow(queue, made.id, made.number, made.state.value, made.finished, made.pack())


def chunk(number: int, first: int, texts: Sequence[str], queue: str = "q") -> LogChunk:
    lines = [LogLine(first + n, 1000, 0, said, Phase.RUNNING) for n, said in enumerate(texts)]
    return LogChunk(queue, job_id(number), first, first + len(lines) - 1, len("".join(texts)), pack_lines(lines))


def webhook(name: str, due: int = 0, host: str = "h:443") -> WebhookRow:
    return WebhookRow(name, "q", "queued", host, "https://h/", b"{}", 1, 0, due)


def commit(**parts: Any) -> Commit:
    """A commit; rows are named by their tables."""
    puts = {kind: kind.puts(parts.pop(kind.name, ())) for kind in row_kinds.KINDS}
    puts[RESULT_BLOBS] = {key: [] for key in puts[RESULTS]} | puts[RESULT_BLOBS]
    return Commit(puts, **parts)


class Followers:
    """A publisher that keeps what it is told.

    ``given_up`` holds id, revision, and whether it ended a run or can't be stored at all, of each refused job."""

    name = "q"

    def __init__(self) -> None:
        self.told: list[tuple[str, int]] = []
        self.given_up: list[tuple[str, int, bool, bool]] = []

    def due(self, made: Job) -> int:
        return made.wait_until

    def publish(self, changes: list[tuple[JobState, bool]]) -> None:
        self.told += [(state.id, state.rev) for state, _ in changes]

    def not_stored(self, made: JobState, _why: str, _calls: list[WebhookRow], *, ended: bool, whole: bool) -> None:
        self.given_up.append((made.id, made.rev, ended, whole))


class Ask:
    """One answer that waits for a commit."""

    def __init__(self, committer: GroupCommitter, made: Job) -> None:
        self.answer: asyncio.Future[JobState | AsmanError] = asyncio.get_running_loop().create_future()
        committer.answer("q", made, self.answer.set_result, self.answer.set_result)

    async def get(self) -> JobState | AsmanError:
        async with asyncio.timeout(PATIENCE):
            return await self.answer
