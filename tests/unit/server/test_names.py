"""The form of a queue's name in logs and metrics."""

from __future__ import annotations

import hashlib

from asman_server.names import short_names

short_name = short_names(b"the hub's secret")


def test_a_short_name_is_the_same_each_time_and_another_for_another_queue() -> None:
    assert short_name("secret-queue") == short_name("secret-queue")
    assert len({short_name(f"queue-{number}") for number in range(1000)}) == 1000


def test_a_short_name_does_not_hold_the_name() -> None:
    assert short_name("abc").startswith("q-")
    assert "abc" not in short_name("abc")
    assert len(short_name("x" * 1000)) == 10


def test_a_guessed_name_can_not_be_checked_without_the_secret_of_the_hub() -> None:
    assert short_name("abc") != short_names(b"the secret of another hub")("abc")
    assert short_name("abc")[2:] != hashlib.sha256(b"abc").hexdigest()[:8]
