"""Whoever follows a job is told how it ended, whatever else it asks for meanwhile."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from asman_server.clock import wall_clock
from asman_server.core import QueuePolicy
from asman_server.core import effects as fx
from asman_server.core import events as ev
from asman_server.core.job import Job
from asman_server.core.job_state import state_of
from asman_server.queues.shell import QueueShell
from asman_server.reply_to import ReplyTo
from asman_server.storage.database import make_engine, migrate
from asman_server.storage.group_commit import GroupCommitter
from asman_server.storage.reader import Store
from asman_shared.definition import Definition
from asman_shared.encoded import EncodedMessage
from asman_shared.identity import job_id
from asman_shared.messages import Accepted, Held, JobState, Message, Outcome, Register, Submit
from asman_shared.states import Phase, Reason
from devtools.patience import PATIENCE
from tests.support.direct_writer import DirectWriter
from tests.support.submitting import submitted

WORKER = "worker-000000000"
MADE = Definition(image="a", command="b")
JOB = job_id(MADE)


class Follower:
    """A client that keeps what it is told of the jobs that it follows."""

    def __init__(self) -> None:
        self.states: list[JobState] = []

    def changed(self, encoded: EncodedMessage, state: JobState) -> None:
        self.states.append(state)

    def announce(self, encoded: EncodedMessage) -> None: ...


@pytest.fixture
async def shell(tmp_path: Path) -> AsyncIterator[QueueShell]:
    """A queue whose group commit writes only when `written` is called."""
    engine = make_engine(f"sqlite:///{tmp_path / 'hub.sqlite'}")
    await migrate(engine)
    made = QueueShell("q", GroupCommitter(DirectWriter(engine)), Store(engine), wall_clock, QueuePolicy())
    await made.load()
    yield made
    await made.close()
    await engine.dispose()


async def written(shell: QueueShell) -> None:
    """Makes everything durable and tells it."""
    writing = asyncio.get_running_loop().create_task(shell.committer.run())
    async with asyncio.timeout(PATIENCE):
        await shell.committer.written()
    writing.cancel()
    await asyncio.gather(writing, return_exceptions=True)


async def submit(shell: QueueShell, follower: Follower, *, follow: bool = True) -> list[Message]:
    told: list[Message] = []
    await submitted(shell, Submit(ref=1, definition=MADE, follow=follow), ReplyTo(1, told.append), follower)
    return told


async def test_a_job_that_is_submitted_again_between_its_end_and_the_commit_still_tells_its_end(
    shell: QueueShell,
) -> None:
    follower = Follower()
    await submit(shell, follower)
    shell.apply(ev.WorkerJoined(1, Register(incarnation=WORKER, name="w", cpus=1)))
    await written(shell)
    shell.apply(ev.AttemptFinished(WORKER, JOB, 1, Outcome(kind="exited", exit_code=0)))
    told = await submit(shell, follower)
    await written(shell)
    (answer,) = told
    assert isinstance(answer, Accepted)
    assert answer.answer == "cached"
    verdict = follower.states[-1].verdict
    assert verdict is not None
    assert verdict.reason is Reason.SUCCESS


async def test_whoever_is_answered_with_a_cached_result_follows_nothing(shell: QueueShell) -> None:
    first, second = Follower(), Follower()
    await submit(shell, first)
    shell.apply(ev.WorkerJoined(1, Register(incarnation=WORKER, name="w", cpus=1)))
    shell.apply(ev.AttemptFinished(WORKER, JOB, 1, Outcome(kind="exited", exit_code=0)))
    await submit(shell, second)
    assert list(shell.fanout.followers[JOB]) == [first]
    await written(shell)
    assert shell.fanout.followers == {}
    assert second.states == []


async def test_a_submitter_that_does_not_want_to_follow_does_not(shell: QueueShell) -> None:
    await submit(shell, Follower(), follow=False)
    assert shell.fanout.followers == {}


async def test_the_removal_of_an_earlier_run_does_not_make_a_refused_one_durable(
    shell: QueueShell, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The removal and the next run share a commit, of which the database takes the removal alone."""
    follower = Follower()
    await submit(shell, follower)
    shell.apply(ev.WorkerJoined(1, Register(incarnation=WORKER, name="w", cpus=1)))
    shell.apply(ev.AttemptFinished(WORKER, JOB, 1, Outcome(kind="exited", exit_code=0)))
    await written(shell)
    earlier = shell.core.jobs[JOB]
    shell.apply(ev.DeleteRequested(JOB, ReplyTo(2, lambda _message: None)))
    removed = state_of(earlier, summary=False)
    await asyncio.sleep(0.002)  # runs differ by the time of their submission
    await submit(shell, follower)
    run = shell.core.jobs[JOB]
    assert run.queued != removed.queued
    shell.apply(ev.AttemptFinished(WORKER, JOB, run.attempt, Outcome(kind="exited", exit_code=0)))

    shell.not_stored(state_of(run), "no column can hold it", [], ended=True, whole=False)
    assert run.verdict is not None
    assert run.verdict.reason is Reason.ERROR
    shell.publish([(removed, False)])
    forgotten: list[int] = []
    monkeypatch.setattr(shell.committer, "forget", lambda _queue, job: forgotten.append(job.queued))
    shell.not_stored(state_of(run), "no column can hold that either", [], ended=False, whole=False)
    assert JOB not in shell.core.jobs
    assert forgotten == [run.queued], "a run that was never stored was taken for one that is in the store"


class Link:
    """A worker's connection that keeps what it is told."""

    session = 1

    def __init__(self) -> None:
        self.acknowledged: list[bool] = []
        self.kept: list[str] = []
        self.aborted: list[str] = []

    def assign(self, job: Job, attempt: int, definition: Definition) -> None: ...

    def abort(self, job: str, attempt: int, why: str) -> None: ...

    def acknowledge(self, job: str, attempt: int, accepted: bool) -> None:
        self.acknowledged.append(accepted)

    def resumed(self, effect: fx.Resumed) -> None:
        self.kept = [kept.job for kept in effect.keep]
        self.aborted = [held.job for held in effect.abort]

    def replaced(self) -> None: ...

    def dismissed(self) -> None: ...


async def test_a_worker_that_comes_back_before_its_outcome_is_durable_forgets_it_only_then(shell: QueueShell) -> None:
    """Or a hub that is killed in between has lost the outcome, and the command runs again."""
    link, outcome = Link(), Outcome(kind="exited", exit_code=0)
    await submit(shell, Follower())
    await written(shell)
    shell.join(link, Register(incarnation=WORKER, name="w", cpus=1))
    shell.apply(ev.PhaseReported(WORKER, JOB, 1, Phase.RUNNING))
    shell.apply(ev.AttemptFinished(WORKER, JOB, 1, outcome))
    shell.leave(link, WORKER)
    held = [Held(JOB, 1, Phase.RUNNING, True)]
    shell.join(link, Register(incarnation=WORKER, name="w", cpus=1, holding=held))
    assert (link.kept, link.aborted) == ([JOB], [])
    shell.apply(ev.AttemptFinished(WORKER, JOB, 1, outcome))
    assert link.acknowledged == []
    await written(shell)
    assert len(link.acknowledged) == 2
    shell.join(link, Register(incarnation=WORKER, name="w", cpus=1, holding=held))
    assert (link.kept, link.aborted) == ([], [JOB])
