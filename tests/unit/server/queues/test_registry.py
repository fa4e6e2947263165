"""Queues in memory: one timer each, gone when nobody needs them, and no first message lost."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from asman_server.clock import wall_clock
from asman_server.core import QueuePolicy
from asman_server.core import events as ev
from asman_server.queues import deletion
from asman_server.queues.registry import Registry
from asman_server.reply_to import ReplyTo
from asman_server.storage import group_commit
from asman_server.storage.commit import Commit
from asman_server.storage.database import make_engine, migrate
from asman_server.storage.group_commit import GroupCommitter
from asman_server.storage.reader import Store, Unfinished
from asman_shared.definition import Definition, Shape
from asman_shared.errors import CloseCode, Conflict, NotFound, Unavailable
from asman_shared.messages import Message, Register, Submit, Summary
from devtools.patience import PATIENCE
from tests.support.direct_writer import DirectWriter
from tests.support.rows import Followers, job
from tests.support.submitting import submitted


class Parts:
    """A registry on a database of its own."""

    def __init__(self, folder: Path) -> None:
        self.engine = make_engine(f"sqlite:///{folder / 'hub.sqlite'}")
        self.writer = DirectWriter(self.engine)
        self.committer = GroupCommitter(self.writer)
        self.store = Store(self.engine)
        self.registry = Registry(self.committer, self.store, wall_clock, QueuePolicy())


@pytest.fixture
async def parts(tmp_path: Path) -> Parts:
    made = Parts(tmp_path)
    await migrate(made.engine)
    return made


async def test_a_queue_has_one_timer_however_much_happens(parts: Parts, monkeypatch: pytest.MonkeyPatch) -> None:
    loop = asyncio.get_running_loop()
    made: list[float] = []
    original = loop.call_later

    def counted(delay: float, *rest: Any, **more: Any) -> asyncio.TimerHandle:
        made.append(delay)
        return original(delay, *rest, **more)

    monkeypatch.setattr(loop, "call_later", counted)
    try:
        async with parts.registry.using("q") as shell:
            for number in range(50):
                info = Register(incarnation=f"{number:016}", name="w", cpus=1)
                shell.apply(ev.WorkerJoined(number, info))
                shell.apply(ev.Submitted(f"{number:064x}", Shape(), Summary(), queue_limit=1000))
            assert len(made) == 1
            shell._ticked()
            assert len(made) == 2, "one follows the other"
            shell.stop_timers()
            assert shell._tick is None
    finally:
        await parts.engine.dispose()


async def test_an_idle_queue_has_no_timer_and_leaves_memory_at_once(parts: Parts) -> None:
    async with parts.registry.using("q") as shell:
        assert shell._tick is None
        assert parts.registry.queues == {"q": shell}
    assert parts.registry.queues == {}
    await parts.engine.dispose()


async def test_a_queue_that_nobody_uses_leaves_memory_while_others_are_written(parts: Parts) -> None:
    """Or a hub that is never idle would never let go of any."""
    made = job(1)
    followers = Followers()
    followers.name = "busy"
    parts.committer.changed(followers, made, first=True)
    async with parts.registry.using("q"):
        pass
    assert parts.registry.queues == {}
    async with parts.registry.using("busy"):
        pass
    assert list(parts.registry.queues) == ["busy"], "what is not written yet is only in memory"
    await parts.engine.dispose()


class KeysAway:
    """Keys that can't be read from the database."""

    def __init__(self) -> None:
        self.forgotten: list[str] = []

    async def loaded(self, _queue: str) -> None:
        raise Unavailable("the database is away")

    def keep(self, queue: str) -> None:
        raise AssertionError(queue)

    def unloaded(self, queue: str) -> None:
        self.forgotten.append(queue)

    def deleted(self, queue: str) -> None:
        raise AssertionError(queue)


async def test_a_queue_whose_keys_can_not_be_read_is_not_begun(parts: Parts, monkeypatch: pytest.MonkeyPatch) -> None:
    """Or its timer would go on beside the queue that is loaded at the next try."""
    asked: list[str] = []

    async def unfinished(queue: str) -> Unfinished:
        asked.append(queue)
        return Unfinished([], 0, 0)

    monkeypatch.setattr(parts.store, "unfinished", unfinished)
    keys = KeysAway()
    registry = Registry(parts.committer, parts.store, wall_clock, QueuePolicy(), keys=keys)
    with pytest.raises(Unavailable):
        async with registry.using("q"):
            pass
    assert (asked, registry.queues, keys.forgotten) == ([], {}, ["q"])
    await parts.engine.dispose()


async def test_what_is_said_while_the_queue_is_loaded_is_not_lost(
    parts: Parts, monkeypatch: pytest.MonkeyPatch
) -> None:
    loaded = asyncio.Event()

    async def slowly(_queue: str) -> Unfinished:
        await loaded.wait()
        return Unfinished([], 0, 0)

    monkeypatch.setattr(parts.store, "unfinished", slowly)
    answers: asyncio.Queue[Message] = asyncio.Queue()

    async def submit(ref: int) -> None:
        async with parts.registry.using("q") as shell:
            request = Submit(ref=ref, definition=Definition(image=f"a{ref}"))
            await submitted(shell, request, ReplyTo(ref, answers.put_nowait))

    writing = asyncio.ensure_future(parts.committer.run())
    asking = [asyncio.ensure_future(submit(ref)) for ref in range(5)]
    await asyncio.sleep(0)
    assert answers.empty()
    loaded.set()
    async with asyncio.timeout(PATIENCE):
        await asyncio.gather(*asking)
        refs = {getattr(await answers.get(), "ref", None) for _ in range(5)}
    assert refs == set(range(5))
    writing.cancel()
    await asyncio.wait([writing])
    await parts.engine.dispose()


class FakeSocket:
    """A connection that notes the code with which it is closed."""

    def __init__(self) -> None:
        self.code: CloseCode | None = None

    def close_soon(self, code: CloseCode) -> None:
        self.code = code


async def test_nobody_hears_of_a_deletion_before_it_is_durable_and_the_name_is_fresh_afterwards(parts: Parts) -> None:
    asking, other = FakeSocket(), FakeSocket()
    deleted: list[str] = []
    parts.registry.on_deleted.append(deleted.append)
    answers: asyncio.Queue[Message] = asyncio.Queue()
    request = Submit(ref=1, definition=Definition(image="a"))
    async with parts.registry.using("q") as shell:
        await submitted(shell, request, ReplyTo(1, answers.put_nowait))
        shell.sockets |= {asking, other}
        deleting = asyncio.ensure_future(parts.registry.delete(shell, asking))
        await asyncio.sleep(0)
        with pytest.raises(Unavailable, match="being deleted; try again"):
            await submitted(shell, request, ReplyTo(2, answers.put_nowait))
        with pytest.raises(Unavailable, match="being deleted; try again"):
            await parts.registry.delete(shell)
        with pytest.raises(Unavailable, match="being deleted; try again"):
            await parts.registry.queue("q")
        assert (other.code, deleted) == (None, [])
        writing = asyncio.ensure_future(parts.committer.run())
        async with asyncio.timeout(PATIENCE):
            assert (await deleting).jobs == 1
        assert (asking.code, other.code, deleted) == (None, CloseCode.DELETED, ["q"])
        with pytest.raises(NotFound, match="has deleted this queue"):
            await submitted(shell, request, ReplyTo(3, answers.put_nowait))
        with pytest.raises(NotFound):
            await shell.job("a" * 64)
    async with parts.registry.using("q") as fresh:
        assert (fresh is shell, fresh.is_new, fresh.core.jobs) == (False, True, {})
    writing.cancel()
    await asyncio.wait([writing])
    await parts.engine.dispose()


async def test_a_queue_of_too_many_jobs_for_one_commit_is_not_deleted_and_goes_on(
    parts: Parts, monkeypatch: pytest.MonkeyPatch
) -> None:
    answers: asyncio.Queue[Message] = asyncio.Queue()
    monkeypatch.setattr(deletion, "MOST_JOBS", 1)
    async with parts.registry.using("q") as shell:
        for image in ("a", "b"):
            await submitted(shell, Submit(ref=1, definition=Definition(image=image)), ReplyTo(1, answers.put_nowait))
        with pytest.raises(Conflict, match=r"^the queue has 2 jobs, and one with more than 1 .*asman queue purge"):
            await parts.registry.delete(shell)
        await submitted(shell, Submit(ref=1, definition=Definition(image="c")), ReplyTo(1, answers.put_nowait))
        assert (len(shell.core.jobs), parts.registry.queues["q"]) == (3, shell)
    await parts.engine.dispose()


async def test_whose_order_failed_with_the_database_is_closed_like_all_others_once_the_queue_is_deleted(
    parts: Parts, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(group_commit, "RETRY_FIRST", 0.0)
    asking, away = FakeSocket(), True
    write = parts.writer.commit

    async def commit(made: Commit) -> None:
        if away:
            raise Unavailable("the disk is full")
        await write(made)

    monkeypatch.setattr(parts.writer, "commit", commit)
    ended: asyncio.Queue[str] = asyncio.Queue()
    parts.registry.on_deleted.append(ended.put_nowait)
    writing = asyncio.ensure_future(parts.committer.run())
    async with parts.registry.using("q") as shell, parts.registry.using("r") as second:
        shell.sockets.add(asking)
        with pytest.raises(Unavailable, match="deleted as soon as it can"):
            await parts.registry.delete(shell, asking)
        with pytest.raises(Unavailable, match="the disk is full"):
            await parts.registry.delete(second)
        assert not second.deleted
        assert asking.code is None
        away = False
        async with asyncio.timeout(PATIENCE):
            assert await ended.get() == "q"
        assert asking.code is CloseCode.DELETED
    writing.cancel()
    await asyncio.wait([writing])
    await parts.engine.dispose()
