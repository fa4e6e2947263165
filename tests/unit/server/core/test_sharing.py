"""What jobs have in common is kept once, and stays what it was."""

from __future__ import annotations

import pytest

from asman_server.core import Job, sharing
from asman_server.core.sharing import Shared
from asman_shared.definition import Shape
from asman_shared.messages import Summary
from tests.support.core_world import job_id


def stored(number: int) -> Job:
    """A job as it comes out of the store: nothing in it is shared with another."""
    shape = Shape(cpus=1500, memory=2**31, tags=frozenset({"gpu"}))
    summary = Summary(image="alpine:3.20", command=f"echo {number}", cpus=1.5, memory=2**31)
    return Job.unpack(Job(job_id(number), number, summary, shape, holders=("somebody",), lane="somebody").pack())


def test_equal_values_become_one_and_nothing_changes() -> None:
    shared = Shared()
    one, two = stored(1), stored(2)
    for job, before in ((one, stored(1)), (two, stored(2))):
        shared.slim(job)
        assert job.record() == before.record()
    assert one.shape is two.shape
    assert one.summary.image is two.summary.image
    assert one.summary.cpus is two.summary.cpus
    assert one.summary.memory is two.summary.memory is one.shape.memory
    assert one.holders is two.holders
    assert one.lane is two.lane


def test_what_is_remembered_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sharing, "KNOWN", 10)
    shared = Shared()
    for number in range(100):
        job = stored(number)
        job.summary.image = f"image-{number}"
        shared.slim(job)
        assert job.summary.image == f"image-{number}"
        assert len(shared._known) <= 15
