"""Errors as values, for compiled coroutines (`build_tools.compiled`), which must not await inside ``try``."""

from __future__ import annotations

from collections.abc import Awaitable
from typing import TypeVar

from asman_shared.errors import AsmanError

T = TypeVar("T")


async def as_result(work: Awaitable[T]) -> T | AsmanError:
    """Returns the result of an awaitable, or the `AsmanError` that it raises."""
    try:
        return await work
    except AsmanError as error:
        return error
