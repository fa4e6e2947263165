"""The short names of queues in logs and metrics: enough to tell two apart, and not to use one."""

from __future__ import annotations

from asman_server.names import short_name


def test_a_short_name_is_the_same_each_time_and_another_for_another_queue() -> None:
    assert short_name("secret-queue") == short_name("secret-queue")
    assert len({short_name(f"queue-{number}") for number in range(1000)}) == 1000


def test_nothing_of_the_name_is_in_it() -> None:
    assert short_name("abc").startswith("q-")
    assert "abc" not in short_name("abc")
    assert len(short_name("x" * 1000)) == 10
