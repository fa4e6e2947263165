"""Notes of tasks that stay in memory while clients ask for them."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from asman_server.core import Job
from asman_server.tes import note_cache
from asman_server.tes.note_cache import NoteCache
from asman_shared.messages import Summary


class Stored:
    """A store that counts what is read from it, and reads when a test lets it."""

    def __init__(self) -> None:
        self.notes: dict[tuple[str, str], bytes] = {}
        self.reads = 0
        self.lets = asyncio.Event()
        self.lets.set()

    async def note(self, queue: str, job_id: str) -> bytes | None:
        self.reads += 1
        found = self.notes.get((queue, job_id))
        await self.lets.wait()
        return found


def job(name: str, queued: int = 1) -> Job:
    return Job(id=name, number=1, summary=Summary(), queued=queued)


def made() -> tuple[Stored, NoteCache]:
    store: Any = Stored()
    return store, NoteCache(store)


async def test_a_note_is_read_once_and_so_is_that_there_is_none() -> None:
    store, cache = made()
    store.notes["q", "a"] = b"note"
    for _ in range(3):
        assert await cache.note("q", job("a")) == b"note"
        assert await cache.note("q", job("b")) is None
        assert await cache.note("other", job("a")) is None
    assert store.reads == 3


async def test_a_note_of_another_run_or_a_newer_one_is_read_again() -> None:
    store, cache = made()
    store.notes["q", "a"] = b"first"
    assert await cache.note("q", job("a")) == b"first"
    store.notes["q", "a"] = b"second"
    assert await cache.note("q", job("a", queued=2)) == b"second"
    store.notes["q", "a"] = b"third"
    cache.replaced("q", "a")
    assert await cache.note("q", job("a", queued=2)) == b"third"


async def test_what_was_read_before_a_newer_note_was_stored_is_not_kept() -> None:
    store, cache = made()
    store.notes["q", "a"] = b"old"
    store.lets.clear()
    reading = asyncio.create_task(cache.note("q", job("a")))
    await asyncio.sleep(0)
    store.notes["q", "a"] = b"new"
    cache.replaced("q", "a")
    store.lets.set()
    assert await reading == b"old"
    assert await cache.note("q", job("a")) == b"new"


async def test_the_notes_that_were_not_asked_for_longest_make_room(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(note_cache, "CACHE_BYTES", 10_000)
    store, cache = made()
    for name in "abc":
        store.notes["q", name] = b"x" * 4_000
    for name in "abac":
        await cache.note("q", job(name))
    assert store.reads == 3
    await cache.note("q", job("a"))
    assert store.reads == 3
    await cache.note("q", job("b"))
    assert store.reads == 4
