"""Plants a mistake for the duration of a block, to see that it is found."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any


@contextmanager
def planted(owner: Any, name: str, make: Callable[[Any], Any]) -> Iterator[None]:
    """Replaces a member of a module or class for the duration of a block."""
    original = owner.__dict__[name]
    setattr(owner, name, make(original))
    try:
        yield
    finally:
        setattr(owner, name, original)
