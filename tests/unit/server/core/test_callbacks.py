"""Webhooks as jobs remember them."""

from __future__ import annotations

import msgspec

from asman_server.core.callbacks import Call, Hook


def test_everything_that_somebody_chose_counts_towards_a_jobs_limit() -> None:
    assert Hook("name", Call("https://h/", b"12345")).size == 4 + 10 + 5
    assert Hook("", Call("")).size == 0


def test_a_hook_is_the_same_after_it_was_stored() -> None:
    hook = Hook("n", Call("https://h/", b"{}", "old-id"))
    assert msgspec.msgpack.decode(msgspec.msgpack.encode(hook), type=Hook) == hook
