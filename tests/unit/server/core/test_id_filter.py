"""The filter that spares a question to the store: what was put in is never denied."""

from __future__ import annotations

from hashlib import sha256

from hypothesis import given
from hypothesis import strategies as st

from asman_server.core.id_filter import IdFilter


def job_id(number: int) -> str:
    return sha256(str(number).encode()).hexdigest()


@given(st.lists(st.text()))
def test_what_was_put_in_is_never_denied(ids: list[str]) -> None:
    found = IdFilter()
    for one in ids:
        found.add(one)
    assert all(one in found for one in ids)


def test_nothing_is_in_an_empty_filter() -> None:
    assert job_id(1) not in IdFilter()


def test_hardly_any_other_id_is_taken_for_one_that_was_put_in() -> None:
    found = IdFilter()
    for number in range(20_000):
        found.add(job_id(number))
    assert all(job_id(number) in found for number in range(20_000))
    assert sum(job_id(number) in found for number in range(20_000, 40_000)) < 20
