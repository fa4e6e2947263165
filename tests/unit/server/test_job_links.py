"""Keys in the addresses of jobs, as a hub makes and checks them."""

from __future__ import annotations

import pytest

from asman_server.job_links import JobLinks

JOB = "0123456789abcdef" * 4
LINKS = JobLinks(b"the secret of a hub")


def test_a_key_opens_the_job_of_its_queue_alone() -> None:
    key = LINKS.path("mine", JOB).partition("~")[2]
    assert LINKS.opens(key, "mine", JOB)
    assert not LINKS.opens(key, "another", JOB)
    assert not LINKS.opens(key, "mine", "f" * 64)
    assert not JobLinks(b"another secret").opens(key, "mine", JOB)


@pytest.mark.parametrize("key", ["", "0" * 32, "é", "\ud800", "x" * 10_000])
def test_no_other_text_is_a_key(key: str) -> None:
    assert not LINKS.opens(key, "mine", JOB)
