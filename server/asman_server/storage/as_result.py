"""Errors as values, for coroutines that are compiled (`scripts.compiled`): they must not wait inside ``try``."""

from __future__ import annotations

from collections.abc import Awaitable
from typing import TypeVar

from asman_shared.errors import AsmanError

T = TypeVar("T")


async def as_result(work: Awaitable[T]) -> T | AsmanError:
    """What comes of it, or the error that it raises."""
    try:
        return await work
    except AsmanError as error:
        return error
