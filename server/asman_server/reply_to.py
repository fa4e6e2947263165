"""Whom an answer is for."""

from __future__ import annotations

from collections.abc import Callable

from msgspec import Struct

from asman_shared.messages import Message


class ReplyTo(Struct, gc=False):
    """Where an answer goes: a message to whoever asked, or the error instead."""

    ref: int
    say: Callable[[Message], None]
