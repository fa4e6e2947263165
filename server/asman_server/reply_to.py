"""The recipient of an answer."""

from __future__ import annotations

from collections.abc import Callable

from msgspec import Struct

from asman_shared.messages import Message


class ReplyTo(Struct, gc=False):
    """The recipient of an answer: it gets a message, or the error instead."""

    ref: int
    say: Callable[[Message], None]
