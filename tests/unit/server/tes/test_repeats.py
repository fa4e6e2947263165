"""A create that comes again at the other address."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import weakref

import pytest

from asman_server.tes import repeats
from asman_server.tes.repeats import REMEMBERED_SECONDS, Earlier, Key, Repeats, digest_of
from asman_shared.errors import Unavailable

KEY: Key = ("queue", "host", b"body")


async def nothing() -> Earlier:
    return {}


class Tasks:
    """Creates tasks with the ids 1, 2, …, as fast as a test says."""

    def __init__(self) -> None:
        self.now = 0.0
        self.count = 0
        self.go = asyncio.Event()
        self.go.set()
        self.earlier: Earlier = {}
        self.reads = 0
        self.away = False
        self.repeats = Repeats(lambda: self.now)

    async def _before(self) -> Earlier:
        self.reads += 1
        if self.away:
            raise Unavailable("the database is away")
        return self.earlier

    async def _create(self) -> str:
        self.count += 1
        made = str(self.count)
        await self.go.wait()
        return made

    async def at(self, prefix: str, key: Key = KEY) -> str:
        return await self.repeats.created(key, prefix, self._create, self._before)


async def test_a_repetition_at_the_other_address_is_the_same_task_once() -> None:
    tasks = Tasks()
    assert [await tasks.at(prefix) for prefix in "aababb"] == ["1", "2", "2", "3", "3", "4"]


async def test_others_are_others() -> None:
    tasks = Tasks()
    keys: list[Key] = [KEY, ("other", *KEY[1:]), (KEY[0], "other", KEY[2]), (*KEY[:2], b"other")]
    assert [await tasks.at(prefix, key) for key, prefix in zip(keys, "abab", strict=True)] == ["1", "2", "3", "4"]


async def test_it_is_forgotten_after_a_minute() -> None:
    tasks = Tasks()
    await tasks.at("a")
    tasks.now = REMEMBERED_SECONDS - 0.1
    assert await tasks.at("b") == "1"
    await tasks.at("a", ("q", "h", b""))
    tasks.now = REMEMBERED_SECONDS
    assert await tasks.at("b") == "3"


async def test_the_first_request_may_be_given_up_while_its_task_is_created() -> None:
    tasks = Tasks()
    tasks.go.clear()
    first = asyncio.ensure_future(tasks.at("a"))
    await asyncio.sleep(0)
    second = asyncio.ensure_future(tasks.at("b"))
    await asyncio.sleep(0)
    first.cancel()
    await asyncio.gather(first, return_exceptions=True)
    tasks.go.set()
    assert await second == "1"
    assert tasks.count == 1


async def test_a_failure_is_not_repeated() -> None:
    tasks = Tasks()

    async def fails() -> str:
        raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        await tasks.repeats.created(KEY, "a", fails, nothing)
    assert await tasks.at("b") == "1"


async def test_a_failure_leaves_nothing_of_its_request_in_memory() -> None:
    class Body:
        """A large body."""

    repeated = Repeats(lambda: 0.0)

    async def refused(body: Body) -> str:
        try:
            raise ValueError("within")
        except ValueError:
            raise KeyError(body.__class__) from None

    left: list[weakref.ref[Body]] = []

    async def request() -> None:
        body = Body()
        left.append(weakref.ref(body))
        with contextlib.suppress(KeyError):
            await repeated.created(KEY, "a", lambda: refused(body), nothing)

    gc.disable()  # the hub collects garbage seldom
    try:
        await request()
        await asyncio.sleep(0)
        assert [each() for each in left] == [None]
    finally:
        gc.enable()


async def test_there_are_never_more_than_are_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(repeats, "REMEMBERED", 3)
    tasks = Tasks()
    for number in range(10):
        await tasks.at("a", ("q", "h", bytes([number])))
    assert len(tasks.repeats._known) <= 4
    assert await tasks.at("b", ("q", "h", bytes([9]))) == "10"
    assert await tasks.at("b", ("q", "h", bytes([0]))) == "11"


async def test_a_task_of_the_hub_before_this_one_is_repeated_at_its_other_address_once() -> None:
    tasks = Tasks()
    tasks.earlier = {digest_of(KEY): ("old", "a")}
    assert [await tasks.at(prefix) for prefix in "bbab"] == ["old", "1", "1", "2"]
    assert tasks.reads == 1


async def test_the_same_address_makes_another_task_after_a_restart_too() -> None:
    tasks = Tasks()
    tasks.earlier = {digest_of(KEY): ("old", "a")}
    assert [await tasks.at(prefix) for prefix in "ab"] == ["1", "1"]


async def test_tasks_of_the_hub_before_are_forgotten_after_a_minute() -> None:
    tasks = Tasks()
    tasks.earlier = {digest_of(KEY): ("old", "a")}
    tasks.now = REMEMBERED_SECONDS
    assert (await tasks.at("b"), tasks.reads) == ("1", 0)


async def test_they_are_read_again_when_they_could_not_be_read() -> None:
    tasks = Tasks()
    tasks.earlier = {digest_of(KEY): ("old", "a")}
    tasks.away = True
    with pytest.raises(Unavailable):
        await tasks.at("b")
    tasks.away = False
    assert (await tasks.at("b"), tasks.reads) == ("old", 2)


async def test_a_task_of_a_deleted_queue_is_not_the_one_of_a_later_queue_with_its_name() -> None:
    tasks = Tasks()
    others: Key = ("other", *KEY[1:])
    assert [await tasks.at("a"), await tasks.at("a", others)] == ["1", "2"]
    tasks.repeats.queue_deleted(KEY[0])
    assert [await tasks.at("b"), await tasks.at("b", others)] == ["3", "2"]
