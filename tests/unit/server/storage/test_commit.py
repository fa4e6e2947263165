"""One transaction as data: whether it does nothing but put rows."""

from __future__ import annotations

from typing import Any

import pytest

from asman_server.storage.commit import KeyRow, QueueRow
from tests.support.rows import commit, job, row, webhook


def test_a_commit_of_rows_alone_only_puts() -> None:
    assert commit().only_puts
    assert commit(jobs=[row(job(1))]).only_puts


@pytest.mark.parametrize(
    "more",
    [
        {"forget": [("q", "a")]},
        {"trim": [("q", "a", 1)]},
        {"drop_chunks": [("q", "a", 0)]},
        {"webhooks": [webhook("a")]},
        {"webhooks_later": [("a", 1, 2)]},
        {"webhooks_done": ["a"]},
        {"forget_queues": ["q"]},
        {"queues": [QueueRow("q", 0, 0, 0)]},
        {"keys": [KeyRow("5a", "q", "read", 1)]},
        {"forget_keys": [("q", 1)]},
        {"blobs": [object()]},
    ],
    ids=lambda more: next(iter(more)),
)
def test_a_commit_that_does_anything_else_does_not(more: dict[str, Any]) -> None:
    assert not commit(jobs=[row(job(1))], **more).only_puts
