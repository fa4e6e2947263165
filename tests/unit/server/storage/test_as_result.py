"""Errors as values: an expected one is returned, and any other is raised."""

from __future__ import annotations

import pytest

from asman_server.storage.as_result import as_result
from asman_shared.errors import NotFound


async def test_a_result_is_returned() -> None:
    async def work() -> int:
        return 7

    assert await as_result(work()) == 7


async def test_an_error_of_ours_is_returned_and_not_raised() -> None:
    error = NotFound("it is not here")

    async def work() -> int:
        raise error

    assert await as_result(work()) is error


async def test_any_other_error_is_raised() -> None:
    async def work() -> int:
        raise KeyError("a fault in the program")

    with pytest.raises(KeyError):
        await as_result(work())
