"""What all stores have in common: places of blobs, and what a disk's errors mean."""

from __future__ import annotations

import errno
import os

import pytest

from asman_server.blobs.store import disk_error, new_place, sha256_of
from asman_shared.errors import AsmanError, QuotaExceeded, Unavailable

KEY = "ab" * 32


def test_a_place_is_new_each_time_and_names_its_blob() -> None:
    places = {new_place(KEY) for _ in range(1000)}
    assert len(places) == 1000
    for place in places:
        assert place.startswith(f"ab/{KEY}-")
        assert sha256_of(place) == KEY


@pytest.mark.parametrize(
    ("name", "found"),
    [
        (KEY, KEY),
        (f"x/y/{KEY}.parts", KEY),
        (KEY[:-1], ""),
        (KEY.upper(), ""),
        (f"{KEY}/file", ""),
        ("", ""),
        ("g" * 64, ""),
    ],
)
def test_a_name_that_begins_with_no_sha256_stands_for_no_blob(name: str, found: str) -> None:
    assert sha256_of(name) == found


@pytest.mark.parametrize(
    ("number", "kind"),
    [
        (errno.ENOSPC, QuotaExceeded),
        (errno.EDQUOT, QuotaExceeded),
        (errno.EIO, Unavailable),
        (errno.EROFS, Unavailable),
    ],
)
def test_a_full_disk_is_told_apart_from_one_that_fails(number: int, kind: type[AsmanError]) -> None:
    found = disk_error(OSError(number, os.strerror(number)))
    assert type(found) is kind
    assert os.strerror(number) in found.message
