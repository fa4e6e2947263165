"""Reading from a store that breaks."""

from __future__ import annotations

import asyncio
import hashlib
import os
from pathlib import Path

import pytest

from asman_shared.errors import (
    AsmanError,
    BadRequest,
    ConnectionFailed,
    Forbidden,
    NotFound,
    TimedOut,
    TooLarge,
    Unauthentic,
)
from asman_shared.transfer import Downloader, Http, RetryPolicy, Wanted
from asman_shared.transfer.sink import FileSink, MemorySink

from .fake_store import FakeStore

QUICK = RetryPolicy(tries=4, most=0.001)
BIG = os.urandom(3_000_000)
SHA = hashlib.sha256(BIG).hexdigest()


def downloader(http: Http, retry_policy: RetryPolicy = QUICK) -> Downloader:
    return Downloader(http, asyncio.Semaphore(4), retry_policy)


def by_key(store: FakeStore, key: str = SHA, size: int | None = len(BIG)) -> Wanted:
    async def link() -> str:
        (found,) = await store.links([key])
        if not found.url:
            raise NotFound("it is no longer stored")
        return store.absolute(found.url)

    return Wanted(link, sha256=key, size=size)


def by_url(store: FakeStore, name: str = SHA, most: int | None = None) -> Wanted:
    async def link() -> str:
        return f"{store.base}/{name}"

    return Wanted(link, most=most, renewable=False)


def names(folder: Path) -> list[str]:
    return [path.name for path in folder.iterdir()]


def ranges(store: FakeStore) -> list[str]:
    return [seen.headers.get("Range", "") for seen in store.seen]


async def test_a_broken_download_goes_on_where_it_was(store: FakeStore, http: Http, tmp_path: Path) -> None:
    store.store(BIG)
    store.break_gets = [1_000_000, 500_000]
    moved: list[int] = []
    sink = FileSink(tmp_path / "part")
    assert await downloader(http).fetch(by_key(store), sink, moved.append) == len(BIG)
    await sink.rename(tmp_path / "x")
    assert (tmp_path / "x").read_bytes() == BIG
    assert names(tmp_path) == ["x"]
    assert sum(moved) == len(BIG)
    assert all(size > 0 for size in moved)
    first, second, third = store.seen
    assert "Range" not in first.headers
    assert second.headers["If-Range"] == third.headers["If-Range"] == '"one"'
    assert int(ranges(store)[1].removeprefix("bytes=").rstrip("-")) > 0
    assert third.came < 2_500_000


async def test_a_patient_download_outlives_more_failures_than_its_tries_and_goes_on(
    store: FakeStore, http: Http
) -> None:
    store.store(BIG)
    store.break_gets = [1_000_000]
    store.answers = [(0, ""), *[(503, "the storage is away")] * 10]
    sink = MemorySink()
    patient = RetryPolicy(tries=4, most=0.001, patience=60)
    assert await downloader(http, patient).fetch(by_key(store), sink) == len(BIG)
    assert bytes(sink.data) == BIG
    assert len(store.seen) == 12
    assert store.seen[-1].came < len(BIG)
    store.answers = [(503, "the storage is away")] * 10
    with pytest.raises(AsmanError, match="the storage is away"):
        await downloader(http).fetch(by_key(store), MemorySink())


@pytest.mark.parametrize("size", [len(BIG), None])
async def test_a_range_that_is_sent_with_status_200_is_taken_for_what_it_is(
    store: FakeStore, http: Http, size: int | None
) -> None:
    store.store(BIG)
    store.range_status = 200
    store.break_gets = [1_000_000]
    sink = MemorySink()
    assert await downloader(http).fetch(by_key(store, size=size), sink) == len(BIG)
    assert bytes(sink.data) == BIG
    assert [seen.came < len(BIG) for seen in store.seen] == [True, True]


async def test_a_link_is_asked_for_anew_each_time(store: FakeStore, http: Http) -> None:
    store.store(BIG)
    store.break_gets = [1_000_000]
    store.answers = [(0, ""), (403, "this address has expired")]
    sink = MemorySink()
    await downloader(http).fetch(by_key(store), sink)
    assert bytes(sink.data) == BIG
    assert len(store.linked) == 3


async def test_a_server_without_ranges_begins_again(store: FakeStore, http: Http) -> None:
    store.store(BIG)
    store.ranges = False
    store.break_gets = [1_000_000, 2_000_000]
    moved: list[int] = []
    sink = MemorySink()
    await downloader(http).fetch(by_key(store), sink, moved.append)
    assert bytes(sink.data) == BIG
    assert sum(moved) == len(BIG)
    assert min(moved) < 0


async def test_a_file_that_changes_meanwhile_is_read_from_its_beginning(store: FakeStore, http: Http) -> None:
    other = os.urandom(2_000_000)
    store.store(BIG, "named")
    store.break_gets = [1_000_000]
    done = asyncio.create_task(downloader(http).fetch(by_url(store, "named"), sink := MemorySink()))
    await store.served.wait()
    store.store(other, "named")
    store.etag = '"two"'
    assert await done == len(other)
    assert bytes(sink.data) == other


async def test_nothing_is_pieced_together_that_nothing_vouches_for(store: FakeStore, http: Http) -> None:
    store.store(BIG, "named")
    store.etag = None
    store.break_gets = [1_000_000]
    await downloader(http).fetch(by_url(store, "named"), sink := MemorySink())
    assert bytes(sink.data) == BIG
    assert ranges(store) == ["", ""]


async def test_pieces_of_two_versions_are_noticed_and_read_once_more(store: FakeStore, http: Http) -> None:
    store.store(BIG[::-1], SHA)
    store.etag = None
    store.break_gets = [1_000_000]
    done = asyncio.create_task(downloader(http).fetch(by_key(store), sink := MemorySink()))
    await store.served.wait()
    store.store(BIG)
    await done
    assert bytes(sink.data) == BIG
    assert ranges(store)[0] == ranges(store)[2] == ""
    assert ranges(store)[1] != ""


async def test_an_end_that_comes_too_early_without_a_word_is_no_end(store: FakeStore, http: Http) -> None:
    store.store(BIG)
    store.length = False
    store.break_gets = [1_000_000]
    await downloader(http).fetch(by_key(store), sink := MemorySink())
    assert bytes(sink.data) == BIG


async def test_a_break_after_the_last_byte_costs_nothing(http: Http) -> None:
    async def all_but_the_end(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n")
        writer.close()

    server = await asyncio.start_server(all_but_the_end, "127.0.0.1", 0)
    links = [f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/"]

    async def link() -> str:
        return links.pop()

    sink = MemorySink()
    wanted = Wanted(link, sha256=hashlib.sha256(b"x").hexdigest(), size=1)
    try:
        assert await downloader(http).fetch(wanted, sink) == 1
    finally:
        await http.close()
        server.close()
    assert bytes(sink.data) == b"x"


async def test_a_download_that_is_always_cut_is_given_up(store: FakeStore, http: Http, tmp_path: Path) -> None:
    store.store(BIG)
    store.ranges = False
    store.break_gets = [1_000_000] * 99
    sink = FileSink(tmp_path / "part")
    with pytest.raises(ConnectionFailed, match="the download broke off"):
        await downloader(http).fetch(by_key(store), sink)
    await sink.discard()
    assert names(tmp_path) == []
    assert len(store.seen) <= 8


async def test_wrong_bytes_under_a_right_name_are_refused(store: FakeStore, http: Http, tmp_path: Path) -> None:
    store.store(BIG[::-1], SHA)
    sink = FileSink(tmp_path / "part")
    with pytest.raises(Unauthentic, match=f"but should have {SHA[:12]}"):
        await downloader(http).fetch(by_key(store), sink)
    await sink.discard()
    assert names(tmp_path) == []
    assert len(store.seen) == 1


@pytest.mark.parametrize("length", [True, False])
async def test_more_bytes_than_there_should_be_are_refused(store: FakeStore, http: Http, length: bool) -> None:
    store.store(BIG + b"x", SHA)
    store.length = length
    with pytest.raises(Unauthentic, match=r"there are 3000001 bytes|more than 3000000 bytes"):
        await downloader(http).fetch(by_key(store), MemorySink())


@pytest.mark.parametrize("length", [True, False])
async def test_too_much_is_refused_with_its_size(store: FakeStore, http: Http, length: bool) -> None:
    store.store(BIG)
    store.length = length
    with pytest.raises(TooLarge, match=r"(the maximum is|more than) 1000 B"):
        await downloader(http).fetch(by_url(store, most=1000), MemorySink())
    assert await downloader(http).fetch(by_url(store, most=len(BIG)), MemorySink()) == len(BIG)


async def test_a_forged_signature_is_not_tried_for_long(store: FakeStore, http: Http) -> None:
    store.store(BIG)
    store.forged = True
    with pytest.raises(Forbidden, match="the signature of this address is wrong"):
        await downloader(http).fetch(by_key(store), MemorySink())
    assert len(store.seen) == 3


async def test_an_address_that_can_not_be_renewed_is_refused_once(store: FakeStore, http: Http) -> None:
    store.answers = [(403, "Request has expired")]
    with pytest.raises(AsmanError, match=r"HTTP status 403 \(Request has expired\)"):
        await downloader(http).fetch(by_url(store), MemorySink())
    with pytest.raises(NotFound, match="HTTP status 404"):
        await downloader(http).fetch(by_url(store, "nothing"), MemorySink())
    assert len(store.seen) == 2


async def test_a_blob_that_goes_meanwhile_is_said_to_be_gone(store: FakeStore, http: Http) -> None:
    store.store(BIG)
    store.break_gets = [1_000_000]
    done = asyncio.create_task(downloader(http).fetch(by_key(store), MemorySink()))
    await store.served.wait()
    store.blobs.clear()
    with pytest.raises(NotFound, match="no longer stored"):
        await done


async def test_bytes_that_were_compressed_unasked_are_not_taken_for_the_file(store: FakeStore, http: Http) -> None:
    store.store(BIG)
    store.encoding = "br"
    with pytest.raises(AsmanError, match=r"compressed \(br\)"):
        await downloader(http).fetch(by_url(store), MemorySink())


@pytest.mark.parametrize("url", ["ftp://example.com/x", "http://", "/relative", "http://[::1"])
async def test_what_is_no_address_is_said(http: Http, url: str) -> None:
    async def link() -> str:
        return url

    with pytest.raises(BadRequest, match="is not an http address"):
        await downloader(http).fetch(Wanted(link), MemorySink())


async def test_a_wrong_address_is_said_without_its_signature(http: Http) -> None:
    async def link() -> str:
        return "http:///x?signature=secret"

    with pytest.raises(BadRequest) as error:
        await downloader(http).fetch(Wanted(link), MemorySink())
    assert "secret" not in str(error.value)


async def test_silence_has_a_limit_and_so_has_all_of_it(http: Http) -> None:
    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc")
        await reader.read()
        writer.close()

    server = await asyncio.start_server(silent, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]

    async def link() -> str:
        return f"http://127.0.0.1:{port}/"

    try:
        with pytest.raises(ConnectionFailed, match="the download broke off"):
            await downloader(http, RetryPolicy(tries=2, stall=0.1, most=0.001)).fetch(Wanted(link), MemorySink())
        with pytest.raises(TimedOut, match="longer than"):
            await downloader(http, RetryPolicy(total=0.1)).fetch(Wanted(link), MemorySink())
    finally:
        await http.close()
        server.close()


async def test_a_cancelled_download_leaves_no_file(store: FakeStore, http: Http, tmp_path: Path) -> None:
    store.store(BIG)
    came = asyncio.Event()
    sink = FileSink(tmp_path / "part")

    async def fetch() -> None:
        try:
            await downloader(http).fetch(by_key(store), sink, lambda _size: came.set())
            await asyncio.Event().wait()
        finally:
            await sink.discard()

    task = asyncio.create_task(fetch())
    await came.wait()
    task.cancel()
    await asyncio.wait([task])
    assert task.cancelled()
    assert names(tmp_path) == []


async def test_a_full_disk_is_the_readers_error_and_leaves_nothing(
    store: FakeStore, http: Http, small_disk: Path
) -> None:
    store.store(BIG)
    sink = FileSink(small_disk / "part")
    with pytest.raises(OSError, match="No space left on device"):
        await downloader(http).fetch(by_key(store), sink)
    await sink.discard()
    assert names(small_disk) == []
    assert len(store.seen) == 1


async def test_a_file_that_is_there_is_not_written_through(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").write_bytes(b"precious")
    (tmp_path / "part").symlink_to(tmp_path / "elsewhere")
    sink = FileSink(tmp_path / "part")
    await sink.feed(b"x")
    with pytest.raises(FileExistsError):
        await sink.settle()
    await sink.discard()
    assert (tmp_path / "elsewhere").read_bytes() == b"precious"
    assert (tmp_path / "part").is_symlink()


async def test_a_file_has_its_name_when_it_is_on_the_disk(tmp_path: Path) -> None:
    sink = FileSink(tmp_path / "part", 0o755)
    assert await sink.settle() == hashlib.sha256(b"").hexdigest()
    await sink.rename(tmp_path / "x", durable=True)
    await sink.discard()
    assert (tmp_path / "x").stat().st_mode & 0o777 == 0o755
    assert names(tmp_path) == ["x"]
