"""Following a log: every line once, in order, the end last; who is slow is served from the store."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any, cast

import msgspec
import pytest

from asman_server.core import Job
from asman_server.core import events as ev
from asman_server.core.job_state import state_of
from asman_server.delivery.send_buffer import Flusher, SendBuffer
from asman_server.logs import follow as module
from asman_server.logs.follow import LogFollow
from asman_server.queues.shell import QueueShell
from asman_shared.encoded import EncodedMessage, Language
from asman_shared.messages import Changed, Outcome
from devtools.patience import PATIENCE
from tests.support.log_harness import JOB, WORKER, LogHarness, line


class Wire:
    """A connection that keeps what it is sent."""

    def __init__(self) -> None:
        self.open = True
        self.room = True
        self.messages: list[Any] = []
        self.on_drain: Callable[[], None] = lambda: None
        self.on_stop: Callable[[], None] = lambda: None

    @property
    def direct(self) -> Callable[[bytes], object]:
        return self.write

    def write(self, frame: bytes) -> bool:
        start = {126: 4, 127: 10}.get(frame[1], 2)
        self.messages += msgspec.msgpack.decode(frame[start:])
        return True

    @property
    def said(self) -> list[Any]:
        """Numbers of lines, ``("gap", n)`` before the line at which one ended, and ``end``."""
        told: list[Any] = []
        for message in self.messages:
            if message["type"] == "changed":
                told.append("end")
                continue
            if message.get("gap") is not None:
                told.append(("gap", message["gap"]))
            told += [one[0] for one in message["lines"]]
        return told


class Shell:
    """What a follower needs of its queue."""

    def __init__(self, harness: LogHarness) -> None:
        self.logs = harness.logs
        self.core = harness.core
        self._harness = harness

    async def job(self, _job_id: str) -> Job:
        return self._harness.job


class Scene:
    """One client that follows one log."""

    def __init__(self, tasks: asyncio.TaskGroup) -> None:
        self.harness = LogHarness()
        self.wire = Wire()
        self.tasks = tasks
        self.send_buffer = SendBuffer(self.wire, Language.MSGPACK, Flusher(), lambda: None)
        self.over: list[str] = []

    async def follow(self, since: int = 0) -> LogFollow:
        made = LogFollow(
            cast(QueueShell, Shell(self.harness)), JOB, since, self.send_buffer, self.tasks, self.over.append
        )
        await made.start()
        return made

    async def store(self) -> None:
        self.harness.logs.flush()
        self.harness.chunks.commit()

    def finish(self) -> EncodedMessage:
        self.harness.core.handle(ev.AttemptFinished(WORKER, JOB, 1, Outcome(kind="exited", exit_code=0)), 2)
        self.harness.logs.finished(JOB)
        return EncodedMessage(Changed(seq=1, job=state_of(self.harness.job)))

    def end(self, follow: LogFollow) -> None:
        """The job is finished, and the follower is told."""
        encoded = self.finish()
        follow.finish(state_of(self.harness.job), encoded)

    async def until(self, *said: Any) -> None:
        """Waits until all of this was said, and nothing else."""
        async with asyncio.timeout(PATIENCE):
            while len(self.wire.said) < len(said):
                await asyncio.sleep(0)
        assert self.wire.said == list(said)

    async def rest(self) -> None:
        """Lets everything happen that is about to."""
        for _ in range(20):
            await asyncio.sleep(0)


@pytest.fixture
async def scene() -> AsyncIterator[Scene]:
    async with asyncio.TaskGroup() as tasks:
        made = Scene(tasks)
        yield made
        made.send_buffer.close()
        made.harness.logs.flush()


async def test_a_follower_that_is_level_is_pushed_each_line_once(scene: Scene) -> None:
    follow = await scene.follow()
    await scene.rest()
    await scene.harness.add(line(0), line(1))
    await scene.harness.add(line(1), line(2))
    await scene.until(0, 1, 2)
    assert scene.harness.chunks.reads == 0, "all of it was at hand"
    follow.stop()


async def test_a_late_follower_gets_what_was_and_what_comes_without_a_seam(scene: Scene) -> None:
    await scene.harness.add(line(0), line(1))
    await scene.store()
    await scene.harness.add(line(2))
    follow = await scene.follow()
    await scene.harness.add(line(3))
    await scene.until(0, 1, 2, 3)
    await scene.harness.add(line(4))
    await scene.until(0, 1, 2, 3, 4)
    follow.stop()


async def test_a_follower_may_begin_anywhere(scene: Scene) -> None:
    await scene.harness.add(*(line(n) for n in range(10)))
    follow = await scene.follow(since=7)
    await scene.until(7, 8, 9)
    follow.stop()


async def test_lines_that_are_no_longer_kept_are_an_explicit_gap(scene: Scene) -> None:
    await scene.harness.add(*(line(n) for n in range(10)))
    await scene.store()
    scene.harness.chunks.stored.clear()
    log = await scene.harness.logs.open(JOB)
    while log.recent[0].seq < 6:
        log.recent.popleft()
    follow = await scene.follow()
    await scene.until(("gap", 6), 6, 7, 8, 9)
    await scene.harness.add(line(12))
    await scene.until(("gap", 6), 6, 7, 8, 9, ("gap", 12), 12)
    follow.stop()


async def test_lines_that_are_missing_inside_a_page_are_an_explicit_gap(scene: Scene) -> None:
    await scene.harness.add(*(line(n) for n in (0, 1, 4, 5, 9)))
    await scene.store()
    (await scene.harness.logs.open(JOB)).recent.clear()
    follow = await scene.follow()
    await scene.until(0, 1, ("gap", 4), 4, 5, ("gap", 9), 9)
    follow.stop()


async def test_a_job_that_ends_while_its_log_is_taken_up_leaves_no_follower_behind(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    await scene.harness.add(line(0))
    await scene.store()
    scene.harness.logs.open_logs.clear()
    asked, answer = asyncio.Event(), asyncio.Event()
    heads = scene.harness.logs._heads

    async def late(job_id: str, start: int) -> Any:
        asked.set()
        await answer.wait()
        return await heads(job_id, start)

    monkeypatch.setattr(scene.harness.logs, "_heads", late)
    beginning = asyncio.ensure_future(scene.follow())
    await asked.wait()
    scene.finish()
    answer.set()
    await beginning
    await scene.until(0)
    await scene.rest()
    assert scene.over == [JOB]
    assert scene.harness.logs.open_logs == {}


async def test_an_end_that_is_told_while_the_log_is_taken_up_comes_after_the_last_line(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    await scene.harness.add(line(0))
    await scene.store()
    scene.harness.logs.open_logs.clear()
    asked, answer = asyncio.Event(), asyncio.Event()
    heads = scene.harness.logs._heads

    async def late(job_id: str, start: int) -> Any:
        asked.set()
        await answer.wait()
        return await heads(job_id, start)

    monkeypatch.setattr(scene.harness.logs, "_heads", late)
    follow = LogFollow(
        cast(QueueShell, Shell(scene.harness)), JOB, 0, scene.send_buffer, scene.tasks, scene.over.append
    )
    beginning = asyncio.ensure_future(follow.start())
    await asked.wait()
    scene.end(follow)
    answer.set()
    await beginning
    await scene.until(0, "end")
    assert scene.over == [JOB]
    assert scene.harness.logs.open_logs == {}


async def test_a_slow_follower_is_not_pushed_to_and_fetches_later(scene: Scene) -> None:
    follow = await scene.follow()
    await scene.rest()
    scene.wire.room = False
    for number in range(50):
        await scene.harness.add(line(number))
    await scene.rest()
    assert scene.send_buffer.waiting == 0, "nothing piles up for it"
    await scene.store()
    scene.wire.room = True
    scene.wire.on_drain()
    await scene.until(*range(50))
    await scene.harness.add(line(50))
    await scene.until(*range(51))
    follow.stop()


async def test_the_end_comes_after_the_last_line(scene: Scene) -> None:
    follow = await scene.follow()
    await scene.rest()
    scene.wire.room = False
    await scene.harness.add(line(0), line(1))
    scene.end(follow)
    await scene.rest()
    assert scene.wire.said == []
    assert scene.over == []
    scene.wire.room = True
    scene.wire.on_drain()
    await scene.until(0, 1, "end")
    await scene.store()
    assert scene.over == [JOB]
    assert scene.harness.logs.open_logs == {}


async def test_the_end_waits_for_a_catching_up_that_is_under_way(scene: Scene) -> None:
    await scene.harness.add(line(0))
    follow = await scene.follow()
    scene.end(follow)
    await scene.until(0, "end")


async def test_a_run_that_is_cut_short_by_a_later_one_is_ended_at_once_and_once(scene: Scene) -> None:
    follow = await scene.follow()
    await scene.rest()
    scene.wire.room = False
    await scene.harness.add(line(0), line(1))
    scene.end(follow)
    await scene.rest()
    follow.cut_short()
    assert scene.over == [JOB]
    scene.wire.room = True
    scene.wire.on_drain()
    await scene.until("end")
    await scene.store()
    await scene.rest()
    assert scene.wire.said == ["end"]
    assert scene.harness.logs.open_logs == {}


async def test_one_that_watches_the_whole_queue_is_told_the_end_by_others(scene: Scene) -> None:
    follow = await scene.follow()
    await scene.harness.add(line(0))
    scene.finish()
    follow.finish(state_of(scene.harness.job), None)
    async with asyncio.timeout(PATIENCE):
        while not scene.over:
            await asyncio.sleep(0)
    await scene.until(0)
    await scene.rest()
    assert scene.wire.said == [0]


async def test_a_finished_log_is_read_to_its_end_and_that_is_it(scene: Scene) -> None:
    await scene.harness.add(line(0), line(1))
    scene.finish()
    await scene.store()
    scene.harness.logs.close(JOB)
    await scene.follow()
    await scene.until(0, 1)
    await scene.rest()
    assert scene.over == [JOB]
    assert scene.harness.logs.open_logs == {}


async def test_while_the_store_is_away_the_follower_waits_and_loses_nothing(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "RETRY_SECONDS", 0.0)
    await scene.harness.add(line(0))
    await scene.store()
    (await scene.harness.logs.open(JOB)).recent.clear()
    scene.harness.chunks.away = True
    follow = await scene.follow()
    await scene.rest()
    await scene.harness.add(line(1))
    assert scene.wire.said == []
    assert scene.harness.chunks.reads > 1
    scene.harness.chunks.away = False
    await scene.until(0, 1)
    follow.stop()


async def test_after_stop_nothing_is_said(scene: Scene) -> None:
    follow = await scene.follow()
    follow.stop()
    await scene.harness.add(line(0))
    scene.end(follow)
    await scene.rest()
    assert scene.wire.messages == []
    assert scene.over == []
