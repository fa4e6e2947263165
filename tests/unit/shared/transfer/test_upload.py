"""Sending blobs to a store that breaks."""

from __future__ import annotations

import asyncio
import hashlib
import os
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from asman_shared import limits
from asman_shared.errors import (
    AsmanError,
    Conflict,
    ConnectionFailed,
    Forbidden,
    ProtocolError,
    TimedOut,
    TooLarge,
    Unauthentic,
    Unavailable,
)
from asman_shared.transfer import Blob, Http, RetryPolicy, Uploader
from asman_shared.transfer.source import CHUNK, file_state

from .fake_store import PART, FakeStore

QUICK = RetryPolicy(tries=4, most=0.001)
BIG = os.urandom(5 * PART + 100)


def uploader(store: FakeStore, http: Http, retry_policy: RetryPolicy = QUICK) -> Uploader:
    return Uploader(store, http, asyncio.Semaphore(4), retry_policy)


def blob(data: bytes, label: str = "the input 'x'") -> Blob:
    return Blob(hashlib.sha256(data).hexdigest(), len(data), data, label)


def file_blob(path: Path, data: bytes) -> Blob:
    path.write_bytes(data)
    opener = partial(os.open, path, os.O_RDONLY)
    return Blob(hashlib.sha256(data).hexdigest(), len(data), opener, f"'{path.name}'", file_state(path.stat()))


def puts(store: FakeStore) -> int:
    return sum(seen.method == "PUT" for seen in store.seen)


async def test_only_what_is_missing_is_sent_and_a_second_time_moves_nothing(store: FakeStore, http: Http) -> None:
    there = blob(b"there")
    store.store(b"there")
    blobs = [there, blob(b"new"), blob(b""), blob(b"new"), blob(BIG)]
    moved: list[int] = []
    known: list[int] = []
    assert await uploader(store, http).send(blobs, moved.append, known.append) == sum(moved) == len(BIG) + 3
    assert sum(known) == 5
    assert {each.sha256 for each in blobs} == set(store.blobs)
    sent = len(store.seen)
    assert await uploader(store, http).send(blobs) == 0
    assert len(store.seen) == sent
    assert store.asked[-1] == list({each.sha256: None for each in blobs})


async def test_lengths_are_said_and_nothing_else_that_a_signature_may_not_cover(store: FakeStore, http: Http) -> None:
    await uploader(store, http).send([blob(b"small"), blob(BIG)])
    for seen in store.seen:
        assert "Transfer-Encoding" not in seen.headers
        assert "Content-Type" not in seen.headers
        assert seen.headers["X-Ticket"] == seen.name[:8]
        assert int(seen.headers["Content-Length"]) == seen.came


async def test_questions_are_for_as_many_as_may_be(store: FakeStore, http: Http, monkeypatch: Any) -> None:
    monkeypatch.setattr(limits, "BLOBS_PER_REQUEST", 10)
    blobs = [blob(b"%d" % number) for number in range(25)]
    await uploader(store, http).send(blobs)
    assert [len(asked) for asked in store.asked] == [10, 10, 10, 10, 5, 5]
    assert len(store.blobs) == 25


async def test_a_broken_upload_in_parts_goes_on_with_the_parts_that_are_missing(
    store: FakeStore, http: Http, tmp_path: Path
) -> None:
    store.break_puts = [-1, 1000, -1, -1, 50_000]
    moved: list[int] = []
    sent = await uploader(store, http).send([file_blob(tmp_path / "big", BIG)], moved.append)
    assert store.blobs[hashlib.sha256(BIG).hexdigest()] == BIG
    assert sent == sum(moved) == len(BIG)
    assert puts(store) == 6 + 2
    assert 1 < store.most_at_once <= 4


async def test_what_an_earlier_process_sent_is_not_sent_again(store: FakeStore, http: Http) -> None:
    made = blob(BIG)
    store._ticket(made.sha256, made.size)
    store.uploads[made.sha256].parts[PART] = BIG[PART : 2 * PART]
    known: list[int] = []
    assert await uploader(store, http).send([made], there=known.append) == len(BIG) - PART
    assert known == [PART]
    assert store.blobs[made.sha256] == BIG


async def test_a_whole_blob_whose_connection_breaks_is_sent_again(store: FakeStore, http: Http) -> None:
    store.break_puts = [10, 20, 30]
    moved: list[int] = []
    await uploader(store, http).send([blob(b"x" * 100_000)], moved.append)
    assert sum(moved) == 100_000
    assert len({seen.name for seen in store.seen}) == 1
    assert puts(store) == 4


async def test_it_is_given_up_when_nothing_moves_for_so_many_tries(store: FakeStore, http: Http) -> None:
    store.break_puts = [1] * 99
    with pytest.raises(ConnectionFailed, match="the upload broke off"):
        await uploader(store, http).send([blob(b"x" * 1000)])
    assert len(store.asked) == 4


async def test_signatures_are_in_no_error_and_no_log(
    store: FakeStore, http: Http, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("DEBUG")
    store.break_puts = [1] * 99
    with pytest.raises(ConnectionFailed) as broken:
        await uploader(store, http).send([file_blob(tmp_path / "x", BIG)])
    store.break_puts.clear()
    store.forged = True
    with pytest.raises(Forbidden) as refused:
        await uploader(store, http).send([blob(b"x")])
    logged = "\n".join(record.getMessage() for record in caplog.records if record.name.startswith("asman"))
    for text in (str(broken.value), str(refused.value), logged):
        assert text
        assert "serial=" not in text


async def test_what_moves_between_failures_makes_them_count_anew(store: FakeStore, http: Http) -> None:
    store.break_puts = [0, 0, 0, -1] * 20
    made = Uploader(store, http, asyncio.Semaphore(1), QUICK)
    await made.send([blob(BIG)])
    assert store.blobs[hashlib.sha256(BIG).hexdigest()] == BIG


async def test_results_wait_for_a_store_that_is_away_for_as_long_as_their_caller(store: FakeStore, http: Http) -> None:
    store.answers = [(503, "not now")] * 100
    await uploader(store, http, RetryPolicy(tries=None, most=0.0001)).send([blob(b"x")])
    assert puts(store) == 101


async def test_what_is_being_looked_at_is_asked_for_again(store: FakeStore, http: Http) -> None:
    store.pending = 2
    await uploader(store, http).send([blob(b"x")])
    assert puts(store) == 1
    assert len(store.asked) == 4


async def test_what_is_looked_at_for_ever_is_given_up(store: FakeStore, http: Http) -> None:
    store.pending = 10**6
    with pytest.raises(Unavailable, match="the store has been verifying the upload for"):
        await uploader(store, http, RetryPolicy(pending=0.2)).send([blob(b"x")])


async def test_bytes_that_arrive_as_others_are_refused_with_their_name(store: FakeStore, http: Http) -> None:
    wrong = Blob(hashlib.sha256(b"right").hexdigest(), 5, b"wrong", "the output 'x'")
    with pytest.raises(Unauthentic, match=r"the output 'x' arrived with other bytes .*these are other bytes"):
        await uploader(store, http).send([wrong])
    assert store.blobs == {}
    assert puts(store) == 2


async def test_parts_that_arrive_as_others_are_refused_with_their_name(store: FakeStore, http: Http) -> None:
    wrong = Blob(hashlib.sha256(b"right").hexdigest(), len(BIG), BIG, "the output 'x'")
    with pytest.raises(Unauthentic, match=r"the output 'x' arrived with other bytes .*its parts are not"):
        await uploader(store, http).send([wrong])
    assert store.blobs == {}


async def test_a_refusal_of_what_somebody_else_sent_is_not_held_against_us(store: FakeStore, http: Http) -> None:
    made = blob(BIG)
    store.refusals[made.sha256] = "what came before was wrong"
    await uploader(store, http).send([made])
    assert store.blobs[made.sha256] == BIG


async def test_an_expired_address_is_replaced_by_a_fresh_one(store: FakeStore, http: Http) -> None:
    store.answers = [(403, "this address has expired"), (403, "again")]
    await uploader(store, http).send([blob(b"x")])
    assert len(store.blobs) == 1


async def test_a_signature_that_is_never_good_ends_it_even_for_the_patient(store: FakeStore, http: Http) -> None:
    store.forged = True
    with pytest.raises(Forbidden, match=r"HTTP status 403 \(the signature of this address is wrong\)"):
        await uploader(store, http, RetryPolicy(tries=None, most=0.001)).send([blob(b"x")])
    assert puts(store) == 3


@pytest.mark.parametrize(
    ("status", "kind"), [(413, TooLarge), (507, AsmanError), (400, AsmanError), (429, Unavailable), (500, Unavailable)]
)
async def test_an_answer_that_is_no_success_is_said(
    store: FakeStore, http: Http, status: int, kind: type[AsmanError]
) -> None:
    store.answers = [(status, "because of this")] * 9
    with pytest.raises(kind, match=rf"HTTP status {status} \(because of this\)"):
        await uploader(store, http).send([blob(b"x")])
    assert puts(store) == (4 if kind is Unavailable else 1)


@pytest.mark.parametrize("change", ["written", "shorter", "gone"])
async def test_a_file_that_changes_before_it_is_sent_is_noticed(
    store: FakeStore, http: Http, tmp_path: Path, change: str
) -> None:
    path = tmp_path / "data"
    made = file_blob(path, BIG)
    match change:
        case "written":
            path.write_bytes(BIG[::-1])
        case "shorter":
            path.write_bytes(BIG[:-1])
        case "gone":
            path.unlink()
    with pytest.raises(Conflict, match=r"'data' (changed|can't be read any more)"):
        await uploader(store, http).send([made])
    assert puts(store) == 0


async def test_a_file_that_changes_while_it_is_sent_is_noticed(store: FakeStore, http: Http, tmp_path: Path) -> None:
    path = tmp_path / "data"
    made = file_blob(path, os.urandom(3 * CHUNK))

    class Whole(FakeStore):
        def _ticket(self, sha256: str, size: int) -> Any:
            return super()._ticket(sha256, 1)

    whole = Whole()
    whole.base = store.base

    def moved(size: int) -> None:
        if size > 0:
            with path.open("ab") as file:
                file.write(b"more")

    with pytest.raises(Conflict, match="'data' changed while it was uploaded"):
        await Uploader(whole, http, asyncio.Semaphore(1), QUICK).send([made], moved)
    assert store.blobs == {}


async def test_a_store_that_does_not_read_is_not_waited_for_without_end(store: FakeStore, http: Http) -> None:
    store.deaf = True
    with pytest.raises(ConnectionFailed, match=r"nothing (moved|came) for"):
        await uploader(store, http, RetryPolicy(tries=2, stall=0.2, most=0.001)).send([blob(BIG)])


async def test_all_of_it_has_a_limit_in_time_too(store: FakeStore, http: Http) -> None:
    store.deaf = True
    with pytest.raises(TimedOut, match=r"longer than 0\.1 seconds"):
        await uploader(store, http, RetryPolicy(total=0.1)).send([blob(BIG)])


async def test_a_store_that_forgets_what_it_takes_does_not_keep_us_for_ever(store: FakeStore, http: Http) -> None:
    store.amnesia = True
    with pytest.raises(ProtocolError, match="accepted the input 'x' and then asked for it again"):
        await uploader(store, http).send([blob(b"x")])


async def test_cancelling_ends_it_at_once(store: FakeStore, http: Http, tmp_path: Path) -> None:
    store.deaf = True
    moved: list[int] = []
    task = asyncio.create_task(uploader(store, http).send([file_blob(tmp_path / "x", BIG)], moved.append))
    await store.served.wait()
    task.cancel()
    await asyncio.wait([task])
    assert task.cancelled()
    assert sum(moved) == 0
