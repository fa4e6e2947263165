"""Rights of a key: a queue's name grants all of them, and what grants none is refused."""

from __future__ import annotations

import pytest

from asman_server.access import ALL_RIGHTS, Access, Right, access
from asman_shared.errors import BadRequest, Forbidden


def test_the_name_of_a_queue_grants_every_right() -> None:
    granted = access("a-queue")
    assert granted == Access("a-queue", ALL_RIGHTS)
    for right in Right:
        granted.need(right)


@pytest.mark.parametrize("right", list(Right))
def test_a_right_that_is_not_granted_is_refused_by_its_name(right: Right) -> None:
    with pytest.raises(Forbidden, match=f"'{right}'"):
        Access("a-queue", ALL_RIGHTS - {right}).need(right)


@pytest.mark.parametrize("key", ["", "-a", " a b", "a/b", "a" * 1000, "\N{GRINNING FACE}"])
def test_what_can_not_be_the_name_of_a_queue_is_refused(key: str) -> None:
    with pytest.raises(BadRequest) as caught:
        access(key)
    assert caught.value.field == "queue"
