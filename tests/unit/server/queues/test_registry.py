"""Queues in memory: one timer each, gone when nobody needs them, and no first message lost."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from asman_server.clock import wall_clock
from asman_server.core import QueuePolicy
from asman_server.core import events as ev
from asman_server.queues.registry import Registry
from asman_server.storage.database import make_engine, migrate
from asman_server.storage.group_commit import GroupCommitter
from asman_server.storage.reader import Store, Unfinished
from asman_shared.definition import Definition, Shape
from asman_shared.errors import Unavailable
from asman_shared.messages import Message, Register, Submit, Summary
from devtools.patience import PATIENCE
from tests.support.direct_writer import DirectWriter
from tests.support.rows import Followers, job
from tests.support.submitting import submitted


class Parts:
    """A registry on a database of its own."""

    def __init__(self, folder: Path) -> None:
        self.engine = make_engine(f"sqlite:///{folder / 'hub.sqlite'}")
        self.committer = GroupCommitter(DirectWriter(self.engine))
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
        from asman_server.reply_to import ReplyTo

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
