"""What every store of blobs must do: the same tests on a folder and on a real S3 server."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from asman_server.blobs import Quota
from asman_server.blobs import service as service_module
from asman_server.blobs import store as port_module
from asman_server.blobs.service import STALLED_ATTEMPTS
from asman_server.storage.blob_changes import UploadRow
from asman_shared import limits
from asman_shared.errors import BadRequest, QuotaExceeded, TooLarge, Unavailable
from asman_shared.messages import BlobTicket
from asman_shared.units import KIB, MIB
from devtools.patience import PATIENCE
from tests.support.blob_hub import QUEUE, BlobHub, open_blob_hub, sha256
from tests.support.s3 import S3Server
from tests.support.weed import WeedServer

PART = 64 * KIB
LEAST_PART = 5 * MIB
"""Least size of a part in AWS's S3, in bytes."""
BODY = b"hello blob"
KEY = sha256(BODY)
BIG = os.urandom(3 * PART + 100)
BIG_KEY = sha256(BIG)

OpenHub = Callable[..., AbstractAsyncContextManager[BlobHub]]


@pytest.fixture(params=["folder", "s3", "weed"])
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(autouse=True)
def _small_parts(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Parts are small, but SeaweedFS takes none that are smaller than those of AWS, besides the last."""
    if "kind" in request.fixturenames and request.getfixturevalue("kind") == "weed":
        large = os.urandom(3 * LEAST_PART + 100)
        for name, value in (("PART", LEAST_PART), ("BIG", large), ("BIG_KEY", sha256(large))):
            monkeypatch.setattr(sys.modules[__name__], name, value)
    monkeypatch.setattr(limits, "PART_BYTES", PART)


@pytest.fixture
def again(kind: str, request: pytest.FixtureRequest, tmp_path: Path) -> OpenHub:
    """Opens a hub on the same database and store each time."""
    s3: S3Server | WeedServer | None = request.getfixturevalue(kind) if kind != "folder" else None
    bucket = s3.new_bucket() if s3 else ""
    return lambda **more: open_blob_hub(
        f"sqlite:///{tmp_path / 'hub.sqlite'}", tmp_path / "blobs", s3, bucket=bucket, **more
    )


@pytest.fixture
async def hub(again: OpenHub) -> AsyncIterator[BlobHub]:
    async with again() as opened:
        yield opened


# ---------------------------------------------------------------------------------------------------------- sending


@pytest.mark.parametrize("size", ["nothing", "small", "one part", "a byte more", "big"])
async def test_what_was_sent_is_there(hub: BlobHub, size: str) -> None:
    body = {"nothing": b"", "small": BODY, "one part": BIG[:PART], "a byte more": BIG[: PART + 1], "big": BIG}[size]
    assert await hub.read(sha256(body)) is None
    await hub.upload(body)
    (ticket,) = await hub.ask(body)
    assert ticket == BlobTicket(sha256=sha256(body), exists=True)
    assert await hub.read(sha256(body)) == body
    assert (hub.blobs.quota.blobs, hub.blobs.quota.bytes) == (1, len(body))
    assert (hub.blobs.quota.uploads, hub.blobs.quota.promised, hub.blobs.quota.arriving) == ({}, 0, 0)


async def test_it_is_not_there_before_it_has_come(hub: BlobHub) -> None:
    for _ in range(3):
        small, big = await hub.ask(BODY, BIG)
        assert not (small.exists or big.exists or small.pending or big.pending)
    assert small.missing == len(BODY)
    assert big.missing == len(BIG)
    assert [part.number for part in big.parts] == [1, 2, 3, 4]
    assert sum(part.size for part in big.parts) == len(BIG)


async def test_only_what_is_missing_is_asked_for(hub: BlobHub) -> None:
    await hub.upload(BODY)
    tickets = await hub.ask(b"a", BODY, b"c", BODY)
    assert [ticket.exists for ticket in tickets] == [False, True, False, True]
    assert [ticket.sha256 for ticket in tickets] == [sha256(b) for b in (b"a", BODY, b"c", BODY)]


async def test_the_parts_that_came_are_not_asked_for_again_after_a_restart(again: OpenHub) -> None:
    async with again() as hub:
        (ticket,) = await hub.ask(BIG)
        for part in ticket.parts[1:3]:
            assert await hub.send_part(ticket, part, BIG) in (200, 201)
    async with again() as hub:
        (ticket,) = await hub.ask(BIG)
        assert [part.number for part in ticket.parts] == [1, 4]
        assert ticket.missing == PART + 100
        await hub.send(ticket, BIG)
        assert (await hub.settled(BIG_KEY, len(BIG))).exists
        assert await hub.read(BIG_KEY) == BIG


async def test_an_upload_of_which_no_other_part_ever_comes_is_begun_anew(hub: BlobHub) -> None:
    """Seen at a storage that had begun an upload and then refused one of its parts, for ever."""

    def begun() -> set[str]:
        return set(hub.blobs.quota.uploads)

    (ticket,) = await hub.ask(BIG)
    first = begun()
    for part in ticket.parts[:2]:
        await hub.send_part(ticket, part, BIG)
        for _ in range(STALLED_ATTEMPTS):
            (ticket,) = await hub.ask(BIG)
        assert begun() == first
    assert len(ticket.parts) == 2
    (ticket,) = await hub.ask(BIG)
    assert len(begun()) == 1
    assert not begun() & first
    assert len(ticket.parts) == 4
    await hub.upload(BIG)
    assert await hub.read(BIG_KEY) == BIG


async def test_what_was_all_sent_before_the_hub_ended_is_verified_by_the_next_one(again: OpenHub) -> None:
    async with again() as hub:
        tickets = await hub.ask(BODY, BIG)
        for ticket, body in zip(tickets, (BODY, BIG), strict=True):
            await hub.send(ticket, body)
    async with again() as hub:
        assert await hub.read(BIG_KEY) == BIG
        assert await hub.read(KEY) == BODY


async def test_a_ticket_names_so_many_parts_and_the_next_ones_come_with_the_next_answer(
    hub: BlobHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "PARTS_PER_TICKET", 3)
    (ticket,) = await hub.ask(BIG)
    assert [part.number for part in ticket.parts] == [1, 2, 3]
    await hub.send(ticket, BIG)
    (ticket,) = await hub.ask(BIG)
    assert [part.number for part in ticket.parts] == [4]
    await hub.upload(BIG)


async def test_many_who_send_the_same_at_once_store_it_once(hub: BlobHub) -> None:
    await asyncio.gather(*(hub.upload(BODY, BIG, queue=f"queue-{n % 3}") for n in range(9)))
    assert await hub.read(BIG_KEY) == BIG
    assert (hub.blobs.quota.blobs, hub.blobs.quota.bytes) == (2, len(BODY) + len(BIG))
    assert (hub.blobs.quota.uploads, hub.blobs.quota.promised) == ({}, 0)
    await hub.collector.strays(hub.clock() / 1000 + 3600)
    assert await hub.read(BIG_KEY) == BIG
    assert await hub.read(KEY) == BODY


async def test_people_of_another_queue_do_not_share_an_upload_in_progress(hub: BlobHub) -> None:
    (mine,) = await hub.ask(BIG, queue="mine")
    await hub.send_part(mine, mine.parts[0], BIG)
    (theirs,) = await hub.ask(BIG, queue="theirs")
    assert len(theirs.parts) == 4
    wrong = bytes(len(BIG))
    await hub.send(theirs, wrong)
    refused = await hub.settled(BIG_KEY, len(BIG), queue="theirs")
    assert refused.refused
    (mine,) = await hub.ask(BIG, queue="mine")
    assert [part.number for part in mine.parts] == [2, 3, 4]


async def test_thousands_of_small_blobs_are_asked_about_a_thousand_at_a_time(hub: BlobHub) -> None:
    bodies = [b"%d" % n for n in range(3_000)]
    await hub.upload(*bodies[1_990:2_010])
    missing = 0
    for at in range(0, len(bodies), limits.BLOBS_PER_REQUEST):
        tickets = await hub.ask(*bodies[at : at + limits.BLOBS_PER_REQUEST])
        missing += sum(bool(ticket.url) for ticket in tickets)
    assert missing == 2_980


# ------------------------------------------------------------------------------------------------------ wrong bytes


async def test_wrong_bytes_under_a_right_name_are_refused_and_gone(hub: BlobHub) -> None:
    (ticket,) = await hub.ask(BODY)
    assert await hub.send(ticket, b"hello blub") in (200, 400, 422)
    ticket = await hub.settled(KEY, len(BODY))
    assert not ticket.exists
    assert ticket.url
    assert await hub.read(KEY) is None
    await hub.upload(BODY)
    assert await hub.read(KEY) == BODY
    await hub.collector.strays(hub.clock() / 1000 + 3600)
    assert await hub.read(KEY) == BODY


async def test_wrong_bytes_in_one_of_the_parts_are_refused_and_gone_and_said_once(hub: BlobHub) -> None:
    (ticket,) = await hub.ask(BIG)
    await hub.send(ticket, BIG[:-1] + b"?")
    ticket = await hub.settled(BIG_KEY, len(BIG))
    assert "nothing was kept" in ticket.refused
    assert [part.number for part in ticket.parts] == [1, 2, 3, 4]
    (ticket,) = await hub.ask(BIG)
    assert ticket.refused == ""
    assert await hub.read(BIG_KEY) is None
    await hub.upload(BIG)


async def test_an_address_that_is_used_again_with_other_bytes_changes_nothing(hub: BlobHub) -> None:
    tickets = await hub.ask(BODY, BIG)
    await hub.upload(BODY, BIG)
    await hub.send(tickets[0], b"hello blub")
    await hub.send(tickets[1], bytes(len(BIG)))
    assert await hub.read(KEY) == BODY
    assert await hub.read(BIG_KEY) == BIG


async def test_a_body_that_is_cut_off_leaves_nothing(hub: BlobHub) -> None:
    async def cut(body: bytes) -> AsyncIterator[bytes]:
        yield body[: len(body) // 2]
        raise ConnectionError("the cable is out")

    small, big = await hub.ask(BODY, BIG)
    for url, body in ((small.url, BODY), (big.parts[0].url, BIG[:PART])):
        headers = {**small.headers, "Content-Length": str(len(body))}
        with pytest.raises((aiohttp.ClientError, ConnectionError)):
            await hub.put(url, cut(body), headers=headers)
    small, big = await hub.ask(BODY, BIG)
    assert (small.missing, big.missing) == (len(BODY), len(BIG))
    await hub.upload(BODY, BIG)


@pytest.mark.parametrize("sent", [BODY[:-1], BODY + b"!", b""], ids=["less", "more", "nothing"])
async def test_another_size_than_announced_is_refused(hub: BlobHub, sent: bytes) -> None:
    (ticket,) = await hub.ask(BODY)
    assert await hub.send(ticket, sent) >= 400
    (ticket,) = await hub.ask(BODY)
    assert not ticket.exists
    await hub.upload(BODY)


async def test_a_size_that_is_not_the_blobs_is_refused_and_the_right_one_may_be_said_later(hub: BlobHub) -> None:
    (ticket,) = await hub.blobs.tickets(QUEUE, [(KEY, len(BODY) - 1)])
    assert await hub.send(ticket, BODY[:-1]) in (200, 400, 422)
    assert not (await hub.settled(KEY, len(BODY) - 1)).exists
    (ticket,) = await hub.blobs.tickets(QUEUE, [(KEY, PART * 2)])
    assert len(ticket.parts) == 2
    await hub.upload(BODY)
    assert await hub.read(KEY) == BODY


# ---------------------------------------------------------------------------------------------------------- reading


async def test_ranges_are_read(hub: BlobHub) -> None:
    await hub.upload(BIG)
    for header, wanted in (
        ("bytes=0-9", BIG[:10]),
        (f"bytes={PART - 5}-{PART + 4}", BIG[PART - 5 : PART + 5]),
        (f"bytes={len(BIG) - 3}-", BIG[-3:]),
        ("bytes=-7", BIG[-7:]),
    ):
        assert await hub.read(BIG_KEY, headers={"Range": header}) == wanted
    (link,) = await hub.blobs.links(QUEUE, [BIG_KEY])
    assert link.size == len(BIG)
    assert (await hub.get(link.url, headers={"Range": f"bytes={len(BIG)}-"}))[0] == 416


async def test_expired_addresses_are_refused(hub: BlobHub, monkeypatch: pytest.MonkeyPatch) -> None:
    await hub.upload(BIG)
    monkeypatch.setattr(port_module, "TICKET_SECONDS", 1)
    for module in ("folder", "s3"):
        monkeypatch.setattr(f"asman_server.blobs.{module}.TICKET_SECONDS", -10 if module == "folder" else 1)
    small, _ = await hub.ask(BODY, BIG[:-1])
    (link,) = await hub.blobs.links(QUEUE, [BIG_KEY])  # signed last, so it is the last to expire
    async with asyncio.timeout(PATIENCE):
        while (await hub.get(link.url))[0] == 200:  # the storage has its own clock
            await asyncio.sleep(0.2)
    assert (await hub.get(link.url))[0] in (400, 403)
    assert await hub.send(small, BODY) in (400, 403)
    (ticket,) = await hub.ask(BODY)
    assert not ticket.exists


async def test_forged_addresses_are_refused(hub: BlobHub) -> None:
    await hub.upload(BODY)
    (link,) = await hub.blobs.links(QUEUE, [KEY])
    (other, big) = await hub.ask(b"other", BIG)
    name = "signature=" if "signature=" in link.url else "X-Amz-Signature="
    for url in (link.url, other.url, big.parts[0].url):
        head, _, tail = url.partition(name)
        forged = head + name + ("0" if tail[0] != "0" else "1") + tail[1:]
        assert (await hub.get(forged) if url == link.url else (await hub.put(forged, b"other"),))[0] == 403
        unsigned = head.rstrip("?&")
        assert (await hub.get(unsigned) if url == link.url else (await hub.put(unsigned, b"x"),))[0] in (400, 403)
    # What was signed for one blob, part or method is good for no other.
    assert (await hub.get(link.url.replace(KEY, sha256(b"other"))))[0] == 403
    assert await hub.put(link.url, BODY) == 403
    assert await hub.put(other.url.replace(sha256(b"other"), KEY), b"other") == 403


# ----------------------------------------------------------------------------------------------------------- bounds


async def test_a_blob_over_the_largest_is_refused(hub: BlobHub) -> None:
    with pytest.raises(TooLarge, match="64 GiB"):
        await hub.blobs.tickets(QUEUE, [(KEY, port_module.BLOB_BYTES + 1)])


async def test_blobs_that_are_too_large_together_are_refused_before_any_upload_begins(again: OpenHub) -> None:
    async with again(quota=Quota(len(BIG) + 50)) as hub:
        with pytest.raises(QuotaExceeded):
            await hub.ask(BIG, b"x" * 51)
        assert hub.blobs.quota.promised == 0
        await hub.ask(BIG, b"x" * 50)


async def test_a_quota_counts_what_is_stored_and_what_is_promised(again: OpenHub) -> None:
    async with again(quota=Quota(len(BIG) + 50)) as hub:
        await hub.ask(BIG)
        with pytest.raises(QuotaExceeded, match=r"quota for blobs is .* 50 B left, too little for 51 B"):
            await hub.blobs.tickets(QUEUE, [(KEY, 51)])
        await hub.upload(BODY)
        await hub.upload(BIG)
        with pytest.raises(QuotaExceeded):
            await hub.ask(b"x" * 41)
        await hub.upload(b"x" * 40)
        (ticket,) = await hub.ask(BIG)
        assert ticket.exists
    async with again(quota=Quota(len(BIG) + 50)) as hub:
        with pytest.raises(QuotaExceeded, match="0 B left"):
            await hub.ask(b"y")


async def test_while_the_database_fails_nothing_is_promised_and_then_it_goes_on(
    hub: BlobHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def away(_commit: Any) -> None:
        raise Unavailable("the disk is full")

    with monkeypatch.context() as patch:
        patch.setattr(hub.committer._writer, "commit", away)
        with pytest.raises(Unavailable, match="disk is full"):
            await hub.ask(BIG)
    await hub.upload(BIG, BODY)
    assert await hub.read(BIG_KEY) == BIG


# ------------------------------------------------------------------------------------------------------- plain HTTP


async def test_put_get_and_exists_by_plain_http(hub: BlobHub) -> None:
    for body in (BODY, BIG):
        address = f"/f/{sha256(body)}.txt"
        assert (await hub.get(address + "/exists")) == (404, b'{"exists":false}')
        assert (await hub.get(address))[0] == 404
        assert await hub.put(address, body) in (200, 201)
        async with asyncio.timeout(PATIENCE):
            while (told := await hub.get(address + "/exists"))[0] == 404:  # it is being verified
                await asyncio.sleep(0.05)
        assert told == (200, b'{"exists":true}')
        assert (await hub.get(f"/f/{sha256(body)}/exists"))[0] == 200
        assert await hub.get(address) == (200, body)
        assert (await hub.get(address, headers={"Range": "bytes=2-4"}))[1] == body[2:5]
        assert await hub.put(address, body) in (200, 201)
        async with hub.http.head(hub.url + address) as head:
            assert (head.status, head.headers["Content-Length"]) == (200, str(len(body)))
            assert head.headers["ETag"] == f'"{sha256(body)}"'
            assert head.headers["Access-Control-Allow-Origin"] == "*"
            assert "sandbox" in head.headers["Content-Security-Policy"]
            assert head.content_type == "text/plain"
        assert (await hub.get(address, headers={"If-None-Match": f'"{sha256(body)}"'}))[0] == 304
        (ticket,) = await hub.ask(body)
        assert ticket.exists


async def test_plain_http_verifies_a_name_that_is_a_sha256(hub: BlobHub) -> None:
    assert await hub.put(f"/f/{KEY}", b"hello blub") in (200, 400, 422)
    assert (await hub.get(f"/f/{KEY}/exists"))[0] == 404
    assert await hub.put(f"/f/{KEY}", BODY) in (200, 201)
    assert await hub.get(f"/f/{KEY}") == (200, BODY)


async def test_a_reader_waits_for_what_is_being_verified(hub: BlobHub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(service_module, "PATIENCE", 0)
    assert await hub.put(f"/f/{KEY}", BODY) in (200, 201)
    assert await hub.get(f"/f/{KEY}") == (200, BODY)
    assert await hub.get(f"/f/{KEY}/exists") == (200, b'{"exists":true}')
    (ticket,) = await hub.ask(BIG)
    await hub.send(ticket, BIG)
    assert await hub.read(BIG_KEY) == BIG


@pytest.mark.parametrize("kind", ["s3", "weed"])  # the hub verifies its own folder's blobs while they arrive
async def test_a_reader_is_told_to_ask_again_if_that_takes_long(hub: BlobHub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(service_module, "PATIENCE", 0)
    monkeypatch.setattr(service_module, "READER_PATIENCE", 0.01)
    goes_on = asyncio.Event()
    settle = hub.store.settle

    async def slowly(upload: UploadRow) -> str:
        await goes_on.wait()
        return await settle(upload)

    monkeypatch.setattr(hub.store, "settle", slowly)
    assert await hub.put(f"/f/{KEY}", BODY) in (200, 201)
    for address in (f"/f/{KEY}", f"/f/{KEY}/exists"):
        status, said = await hub.get(address)
        assert status == 503
        assert b"being verified" in said
    with pytest.raises(Unavailable, match="being verified"):
        await hub.read(KEY)
    assert await hub.blobs.missing(QUEUE, [KEY, BIG_KEY]) == [BIG_KEY]
    goes_on.set()
    monkeypatch.setattr(service_module, "READER_PATIENCE", PATIENCE)
    assert await hub.get(f"/f/{KEY}") == (200, BODY)
    assert await hub.read(KEY) == BODY


async def test_another_plain_name_is_given_once(hub: BlobHub) -> None:
    name = "/f/ein%20Häuflein.csv"
    assert (await hub.get(name + "/exists"))[0] == 404
    assert await hub.put(name, BODY) == 201
    assert await hub.put(name, BODY) == 409
    assert await hub.put(name, b"other") == 409
    assert await hub.get(name) == (200, BODY)
    assert (await hub.get(name + "/exists"))[0] == 200
    both = await asyncio.gather(*(hub.put("/f/raced", b"%d" % n) for n in range(8)))
    assert sorted(both) == [201] + [409] * 7


@pytest.mark.parametrize(
    "name",
    [
        "..%2F..%2Fetc%2Fpasswd",
        "a%2F%2Fb",
        "a%5Cb",
        ".hidden",
        "..",
        "a%00b",
        "a%0Ab",
        "n" * 300,
        "%E2%80%AEgpj.exe",
        KEY + "-more",
    ],
)
async def test_hostile_names_are_refused(hub: BlobHub, name: str) -> None:
    import yarl

    url = yarl.URL(f"{hub.url}/f/{name}", encoded=True)
    for method in ("PUT", "GET"):
        async with hub.http.request(method, url, data=BODY if method == "PUT" else None) as answer:
            assert answer.status in (400, 404, 405), await answer.text()
    assert hub.blobs.quota.blobs == 0


async def test_a_plain_name_has_a_largest_size_and_says_its_size(hub: BlobHub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("asman_server.blobs.named_files.FILE_BYTES", 10)
    assert await hub.put("/f/small", b"0123456789") == 201
    assert await hub.put("/f/large", b"0123456789a") == 413

    async def stream() -> AsyncIterator[bytes]:
        yield BODY

    assert await hub.put("/f/chunked", stream()) == 400
    with pytest.raises(BadRequest, match="announced"):
        await hub.files.put("short", 9, stream_of(b"1"))


async def stream_of(body: bytes) -> AsyncIterator[bytes]:
    yield body


async def test_an_upload_that_is_verified_twice_is_counted_once(hub: BlobHub) -> None:
    """Some storages complete an upload a second time as if it were the first."""
    await hub.upload(BIG)
    (row,) = (await hub.blobs.catalogue.stored([BIG_KEY])).values()
    counted = (hub.blobs.quota.blobs, hub.blobs.quota.bytes)
    await hub.blobs.store_blob(BIG_KEY, len(BIG), row.place)
    assert (hub.blobs.quota.blobs, hub.blobs.quota.bytes) == counted == (1, len(BIG))
    assert await hub.read(BIG_KEY) == BIG
