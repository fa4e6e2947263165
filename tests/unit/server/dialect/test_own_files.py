"""Files of the hub in refs of the dialect: which addresses are its own, on a real store."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
from starlette.requests import Request

from asman_server.dialect.own_files import OwnFiles, Stored, hub_address, ref_of
from asman_server.hub import Hub
from tests.support.blob_hub import BlobHub, open_blob_hub, sha256

BODY = b"a file of the hub"
KEY, GONE = sha256(BODY), sha256(b"never stored")


async def _pieces(body: bytes) -> AsyncIterator[bytes]:
    yield body


@pytest.fixture
async def blobs(tmp_path: Path) -> AsyncIterator[BlobHub]:
    async with open_blob_hub(f"sqlite:///{tmp_path / 'hub.sqlite'}", tmp_path / "blobs") as opened:
        await opened.upload(BODY)
        await opened.files.put("a plain name.txt", len(BODY), _pieces(BODY))
        yield opened


def files_of(blobs: BlobHub, host: str, public_url: str = "") -> OwnFiles:
    config = SimpleNamespace(public_url=public_url)
    return OwnFiles(cast(Hub, SimpleNamespace(config=config, blobs=blobs.blobs, files=blobs.files)), host)


@pytest.mark.parametrize(
    ("host", "public_url", "url"),
    [
        ("hub.example", "", "https://hub.example/f/{key}"),
        ("hub.example", "", "https://HUB.example:443/f/{key}.tar.gz"),
        ("hub.example", "", "http://hub.example:80/f/{key}"),
        ("hub.example:443", "", "https://hub.example/f/{key}"),
        ("hub:8000", "", "http://hub:8000/f/{key}?x=1#y"),
        ("hub:8000", "", "/f/{key}"),
        ("[::1]:8000", "", "http://[::1]:8000/f/{key}"),
        ("[::1]", "", "http://[::1]/f/{key}"),
        ("inside:8000", "https://hub.example", "https://hub.example/f/{key}"),
        ("inside:8000", "https://hub.example/asman/", "https://hub.example/asman/f/{key}"),
        ("inside:8000", "https://hub.example", "http://inside:8000/f/a%20plain%20name.txt"),
    ],
)
async def test_an_address_of_the_hub_is_found_however_it_is_written(
    blobs: BlobHub, host: str, public_url: str, url: str
) -> None:
    ref = ("url", url.format(key=KEY))
    assert await files_of(blobs, host, public_url).find([ref]) == {ref: Stored(KEY, len(BODY))}


@pytest.mark.parametrize(
    "url",
    [
        "https://other.example/f/{key}",
        "https://hub.example:8443/f/{key}",
        "http://hub.example:443/f/{key}",
        "//other.example/f/{key}",
        "https://hub.example@other.example/f/{key}",
        "https://hub.example.other/f/{key}",
        "https://hub.example/j/f/{key}",
        "https://hub.example/f/x/{key}",
        "https://hub.example/f/",
        "https://hub.example/f/{gone}",
        "https://hub.example/f/no%20such%20name",
        "https://[hub.example/f/{key}",
        "https://hub.example:x/f/{key}",
    ],
)
async def test_any_other_address_and_a_file_that_is_not_stored_are_nobody_s(blobs: BlobHub, url: str) -> None:
    assert await files_of(blobs, "hub.example").find([("url", url.format(key=KEY, gone=GONE))]) == {}


async def test_a_key_is_of_the_hub_even_if_it_is_not_stored(blobs: BlobHub) -> None:
    refs = [("key", KEY), ("key", f"{KEY}.bin"), ("key", GONE), ("key", "a plain name.txt"), ("key", "no such name")]
    found = await files_of(blobs, "hub.example").find(refs)
    assert found == {
        ("key", KEY): Stored(KEY, len(BODY)),
        ("key", f"{KEY}.bin"): Stored(KEY, len(BODY)),
        ("key", "a plain name.txt"): Stored(KEY, len(BODY)),
        ("key", GONE): Stored(GONE, None),
    }


@pytest.mark.parametrize("value", [None, "text", 5, {}, {"type": "key"}, {"type": "url", "value": 5}, {"value": "x"}])
def test_what_names_no_file_is_no_ref_to_one(value: Any) -> None:
    assert ref_of(value) is None


@pytest.mark.parametrize(
    ("public_url", "told"),
    [("", "https://asked.example:8443"), ("https://hub.example/asman/", "https://hub.example/asman")],
)
def test_the_hub_is_named_as_its_operator_says_or_else_as_it_was_asked(public_url: str, told: str) -> None:
    state = SimpleNamespace(hub=SimpleNamespace(config=SimpleNamespace(public_url=public_url)))
    scope = {
        "type": "http", "method": "GET", "path": "/j/x", "query_string": b"", "scheme": "https",
        "headers": [(b"host", b"asked.example:8443")], "app": SimpleNamespace(state=state),
    }  # fmt: skip
    assert hub_address(Request(scope)) == told
