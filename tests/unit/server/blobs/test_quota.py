"""The quota of blobs: what is stored, promised and arriving, and how many uploads there may be."""

from __future__ import annotations

import pytest

from asman_server.blobs.quota import UPLOADS, Quota
from asman_shared.errors import Overloaded, QuotaExceeded


def test_room_counts_what_is_stored_promised_and_arriving() -> None:
    quota = Quota(100)
    quota.stored(40)
    quota.open("a", 30)
    with quota.receiving(30):
        with pytest.raises(QuotaExceeded, match="0 B left, too little for 1 B"):
            quota.need(1)
        quota.need(0)
    quota.need(30)
    quota.end("a")
    quota.end("a")
    quota.need(60)
    with pytest.raises(QuotaExceeded):
        quota.need(61)
    quota.removed(40)
    quota.need(100)
    Quota().need(2**60)


def test_uploads_in_progress_are_bounded() -> None:
    quota = Quota()
    quota.need_uploads(UPLOADS)
    quota.open("a", 1)
    with pytest.raises(Overloaded):
        quota.need_uploads(UPLOADS)


def test_exactly_the_quota_fits_and_a_byte_more_says_how_much_is_left() -> None:
    quota = Quota(100)
    quota.stored(60)
    quota.need(40)
    with pytest.raises(QuotaExceeded, match="40 B left, too little for 41 B"):
        quota.need(41)


def test_what_was_reserved_is_free_again_when_its_sender_breaks_off() -> None:
    quota = Quota(10)
    with pytest.raises(RuntimeError, match="broke off"), quota.receiving(10):
        raise RuntimeError("broke off")
    assert quota.arriving == 0


def test_an_upload_that_is_asked_for_again_is_counted_once() -> None:
    quota = Quota(10)
    quota.open("a", 6)
    quota.open("a", 6)
    assert (quota.promised, len(quota.uploads)) == (6, 1)


def test_what_was_collected_is_counted_and_leaves_its_room() -> None:
    quota = Quota(10)
    quota.stored(4)
    quota.stored(6)
    quota.removed(6)
    assert (quota.blobs, quota.bytes, quota.collected, quota.collected_bytes) == (1, 4, 1, 6)
