"""Blobs of a queue for a worker: found through the hub, tried again, and verified."""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from asman_shared import limits
from asman_shared.address import parse_address
from asman_shared.errors import AsmanError, ExecutionError, NotFound, TooLarge, Unauthentic, Unavailable
from asman_shared.messages import BlobLink, BlobLinks, GetBlobs, PutBlobs
from asman_shared.transfer import Blob, RetryPolicy
from asman_shared.transfer.locator import R
from asman_worker.files.blobs import Blobs
from devtools.fake_hub import FakeHub
from tests.unit.worker.attempts.test_staging import Locator

BODY = b"hello blob"


def sha256(body: bytes) -> str:
    return hashlib.sha256(body).hexdigest()


class Asked(Locator):
    """Asks the hub, counts how often, and fails as often as a test wants."""

    def __init__(self, hub: FakeHub) -> None:
        super().__init__(hub)
        self.asked: list[int] = []
        self.fails = 0

    async def request(self, message: PutBlobs | GetBlobs, reply: type[R]) -> R:
        if isinstance(message, GetBlobs):
            self.asked.append(len(message.keys))
            if self.fails:
                self.fails -= 1
                raise Unavailable("the hub is away")
        return await super().request(message, reply)


@pytest.fixture
def locator(hub: FakeHub) -> Asked:
    return Asked(hub)


@pytest.fixture
async def blobs(hub: FakeHub, locator: Asked) -> AsyncIterator[Blobs]:
    quick = RetryPolicy(tries=3, most=0.001)
    made = Blobs(locator, parse_address(hub.url), allowed=["127.0.0.1"], reading=quick, sending=quick)
    yield made
    await made.close()


async def stored(blobs: Blobs, *bodies: bytes) -> int:
    return await blobs.send([Blob(sha256(body), len(body), body) for body in bodies], lambda _: None)


async def test_what_was_sent_is_read_back(blobs: Blobs, tmp_path: Path) -> None:
    assert await stored(blobs, BODY, b"other") == len(BODY) + 5
    assert await stored(blobs, BODY) == 0, "the hub has it"
    key = sha256(BODY)
    link = (await blobs.links([key]))[key]
    assert await blobs.fetch(link.url, tmp_path / "a", sha256=key, most=100) == len(BODY)
    assert (tmp_path / "a").read_bytes() == BODY


async def test_each_blob_is_asked_about_once_and_many_in_a_few_questions(
    blobs: Blobs, locator: Asked, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "BLOBS_PER_REQUEST", 2)
    bodies = [b"%d" % number for number in range(5)]
    await stored(blobs, *bodies)
    keys = [sha256(body) for body in bodies]
    found = await blobs.links(keys + keys)
    assert list(found) == keys
    assert locator.asked == [2, 2, 1]


async def test_a_blob_that_is_not_there_is_named(blobs: Blobs) -> None:
    with pytest.raises(NotFound, match=sha256(b"none")):
        await blobs.links([sha256(b"none")])


async def test_a_hub_that_is_away_is_asked_again_up_to_a_bound(blobs: Blobs, locator: Asked) -> None:
    await stored(blobs, BODY)
    locator.fails = 2
    assert list(await blobs.links([sha256(BODY)])) == [sha256(BODY)]
    locator.fails = 3
    with pytest.raises(Unavailable):
        await blobs.links([sha256(BODY)])


async def test_an_address_that_does_not_work_any_more_is_asked_for_anew(blobs: Blobs, tmp_path: Path) -> None:
    await stored(blobs, BODY)
    assert await blobs.fetch("/no/such/address", tmp_path / "a", sha256=sha256(BODY), most=100) == len(BODY)


async def test_other_bytes_than_were_named_are_refused_and_leave_nothing(
    blobs: Blobs, locator: Asked, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    await stored(blobs, BODY)
    url = (await blobs.links([sha256(BODY)]))[sha256(BODY)].url

    async def lies(message: GetBlobs, _reply: type[BlobLinks]) -> BlobLinks:
        return BlobLinks(1, [BlobLink(key, url) for key in message.keys])

    monkeypatch.setattr(locator, "request", lies)
    with pytest.raises(Unauthentic):
        await blobs.fetch(url, tmp_path / "a", sha256=sha256(b"hello blub"), most=100)
    assert list(tmp_path.iterdir()) == []


async def test_one_byte_too_many_is_refused_and_leaves_nothing(blobs: Blobs, tmp_path: Path) -> None:
    await stored(blobs, BODY)
    key = sha256(BODY)
    url = (await blobs.links([key]))[key].url
    with pytest.raises(TooLarge):
        await blobs.fetch(url, tmp_path / "a", sha256=key, most=len(BODY) - 1)
    assert list(tmp_path.iterdir()) == []


async def test_a_disk_that_can_not_be_written_is_the_workers_fault(blobs: Blobs, tmp_path: Path) -> None:
    await stored(blobs, BODY)
    key = sha256(BODY)
    url = (await blobs.links([key]))[key].url
    with pytest.raises(ExecutionError, match="can't write it to its disk") as caught:
        await blobs.fetch(url, tmp_path / "no" / "folder", sha256=key, most=100)
    assert caught.value.fault == "worker"


async def test_an_address_of_a_job_is_not_asked_for_at_the_hub(
    blobs: Blobs, locator: Asked, hub: FakeHub, tmp_path: Path
) -> None:
    with pytest.raises(AsmanError):
        await blobs.fetch(f"{hub.url}/no/such/file", tmp_path / "a", most=100)
    assert locator.asked == []
    assert list(tmp_path.iterdir()) == []
