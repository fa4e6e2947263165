"""Files under plain names: each name is given once, is one plain name, and leads to bytes that stay."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from asman_server.blobs.named_files import FILE_BYTES, blob_named, check_file_name, name_pattern
from asman_shared import limits
from asman_shared.errors import BadRequest, Conflict, NotFound, Overloaded, QuotaExceeded, TooLarge
from tests.support.blob_hub import BlobHub, open_blob_hub, sha256

KEY = "ab" * 32


@pytest.fixture
async def hub(tmp_path: Path) -> AsyncIterator[BlobHub]:
    async with open_blob_hub(f"sqlite:///{tmp_path / 'hub.sqlite'}", tmp_path / "blobs") as opened:
        yield opened


async def stream(body: bytes) -> AsyncIterator[bytes]:
    yield body


@pytest.mark.parametrize(
    ("name", "found"),
    [
        (KEY, KEY),
        (f"{KEY}.txt", KEY),
        (f"{KEY}.tar.gz", KEY),
        (f"{KEY}.{'a' * 64}", KEY),
        (f"{KEY}.{'a' * 65}", None),
        (f"{KEY}.", None),
        (f"{KEY}-x", None),
        (f"{KEY}..x", None),
        (KEY.upper(), None),
        ("file.txt", None),
    ],
)
def test_a_sha256_with_or_without_a_suffix_names_its_blob(name: str, found: str | None) -> None:
    assert blob_named(name) == found


@pytest.mark.parametrize("name", ["a", "a.txt", "ünï cödé", "z" * limits.NAME_LENGTH, KEY[:-1], "a..b"])
def test_plain_names_are_taken_as_they_are(name: str) -> None:
    assert check_file_name(name) == name


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("", "bytes"),
        ("z" * (limits.NAME_LENGTH + 1), "bytes"),
        ("é" * (limits.NAME_LENGTH // 2 + 1), "bytes"),
        (".hidden", "dot"),
        ("..", "dot"),
        ("a/b", "slashes"),
        ("a\\b", "slashes"),
        ("a\nb", "control"),
        ("a\u202eb", "control"),
        ("a\u2028b", "control"),
        ("a\ud800", "control"),
        (f"{KEY}-other", "sha256"),
    ],
)
def test_other_names_are_refused_with_what_is_wrong(name: str, words: str) -> None:
    with pytest.raises(BadRequest, match=words) as caught:
        check_file_name(name)
    assert caught.value.field == "name"


def test_the_form_in_the_interface_s_description_is_what_is_checked() -> None:
    form = re.compile(name_pattern())
    for point in [*range(0xD800), *range(0xE000, 0x10000)]:  # those between are in no text of JSON
        for name in (chr(point), f"a{chr(point)}b"):
            try:
                taken = check_file_name(name) == name
            except BadRequest:
                taken = False
            assert (form.match(name) is not None) is taken, hex(point)


async def test_a_file_is_found_by_its_name_and_by_its_sha256(hub: BlobHub) -> None:
    key = await hub.files.put("a.txt", 5, stream(b"hello"))
    assert key == sha256(b"hello")
    assert await hub.files.sha256("a.txt") == key
    assert await hub.files.sha256(f"{key}.txt") == key
    assert await hub.read(key) == b"hello"


async def test_a_name_is_given_once_and_keeps_what_it_was_given_for(hub: BlobHub) -> None:
    key = await hub.files.put("a.txt", 5, stream(b"hello"))
    with pytest.raises(Conflict, match="taken"):
        await hub.files.put("a.txt", 5, stream(b"other"))
    assert await hub.files.sha256("a.txt") == key


async def test_fewer_bytes_than_announced_store_nothing(hub: BlobHub) -> None:
    with pytest.raises(BadRequest, match="6 bytes were announced, but 5 arrived"):
        await hub.files.put("a.txt", 6, stream(b"hello"))
    with pytest.raises(NotFound):
        await hub.files.sha256("a.txt")
    assert (hub.blobs.quota.blobs, hub.blobs.quota.arriving) == (0, 0)


async def test_a_file_over_the_largest_is_refused_before_it_is_read(hub: BlobHub) -> None:
    async def unread() -> AsyncIterator[bytes]:
        pytest.fail("it was read")
        yield b""

    with pytest.raises(TooLarge):
        await hub.files.put("a.txt", FILE_BYTES + 1, unread())


async def test_bytes_in_memory_are_kept_without_a_name(hub: BlobHub) -> None:
    await hub.files.keep(b"made here", sha256(b"made here"))
    assert await hub.read(sha256(b"made here")) == b"made here"


async def test_a_name_that_nobody_has_given_is_not_found(hub: BlobHub) -> None:
    with pytest.raises(NotFound, match="no file 'nothing'"):
        await hub.files.sha256("nothing")


async def test_a_disk_without_room_takes_neither_files_nor_bytes_in_memory(tmp_path: Path) -> None:
    database = f"sqlite:///{tmp_path / 'hub.sqlite'}"
    async with open_blob_hub(database, tmp_path / "blobs", reserve=2**62) as hub:
        with pytest.raises(QuotaExceeded):
            await hub.files.keep(b"made here", sha256(b"made here"))
        with pytest.raises(QuotaExceeded):
            await hub.files.put("a.txt", 5, stream(b"hello"))
        assert (hub.blobs.quota.blobs, hub.blobs.quota.arriving) == (0, 0)


async def test_a_file_that_is_refused_for_another_reason_costs_its_sender_nothing(hub: BlobHub) -> None:
    taken: list[str] = []
    await hub.files.put("a.txt", 5, stream(b"hello"), lambda: taken.append("first"))
    for name, size, error in (("a.txt", 5, Conflict), ("b.txt", FILE_BYTES + 1, TooLarge), (".b", 5, BadRequest)):
        with pytest.raises(error):
            await hub.files.put(name, size, stream(b"hello"), lambda: taken.append("another"))
    assert taken == ["first"]


async def test_a_file_that_the_limits_of_its_sender_refuse_is_not_received(hub: BlobHub) -> None:
    def refuse() -> None:
        raise Overloaded("too much", retry_after=1)

    with pytest.raises(Overloaded):
        await hub.files.put("a.txt", 5, stream(b"hello"), refuse)
    assert (hub.blobs.quota.blobs, hub.blobs.quota.arriving) == (0, 0)


async def test_a_private_name_is_the_wanted_one_behind_a_token_that_differs_each_time(hub: BlobHub) -> None:
    names = [hub.private_files.name_for("report.csv") for _ in range(2)]
    assert all(re.fullmatch(r"[0-9a-f]{32}-report\.csv", name) for name in names)
    assert names[0] != names[1]
    assert hub.files.name_for("report.csv") == "report.csv"
    for name in names:
        await hub.private_files.put(name, 5, stream(name[:5].encode()))
        assert await hub.private_files.sha256(name) == sha256(name[:5].encode())
    with pytest.raises(NotFound, match="the name in the answer to their upload"):
        await hub.private_files.sha256("report.csv")


async def test_a_file_that_has_a_name_to_guess_is_not_found_once_names_are_private(hub: BlobHub) -> None:
    await hub.files.put("old.csv", 3, stream(b"old"))
    assert await hub.files.sha256("old.csv") == sha256(b"old")
    with pytest.raises(NotFound):
        await hub.private_files.sha256("old.csv")
    assert await hub.private_files.sha256(f"{KEY}.csv") == KEY


@pytest.mark.parametrize("name", [".hidden", "a/b", "n" * 255, "", f"{KEY}-x"])
async def test_a_wrong_name_is_no_private_one_either(hub: BlobHub, name: str) -> None:
    with pytest.raises(BadRequest):
        hub.private_files.name_for(name)
