"""A job: until when it may wait, and the record that is stored of it."""

from __future__ import annotations

import msgspec

from asman_server.core.job import RECORD_VERSION, Job
from asman_shared.messages import Summary
from asman_shared.states import Phase, State


def test_a_job_without_a_limit_may_wait_for_ever() -> None:
    assert Job(id="a", number=1, summary=Summary(), queued=1000).wait_until == 0


def test_a_job_may_wait_from_when_it_was_queued() -> None:
    assert Job(id="a", number=1, summary=Summary(), queued=1000, queue_limit=500).wait_until == 1500


def test_a_job_that_came_back_has_its_whole_wait_again() -> None:
    assert Job(id="a", number=1, summary=Summary(), queued=1000, returned=9000, queue_limit=500).wait_until == 9500


def test_a_job_is_the_same_after_it_was_stored() -> None:
    job = Job(
        id="a",
        number=7,
        summary=Summary(image="i", tags=("x",)),
        state=State.RUNNING,
        phase=Phase.PULLING,
        attempt=3,
        holders=("one",),
        phase_limits={Phase.PULLING: 10},
    )
    assert msgspec.msgpack.decode(msgspec.msgpack.encode(job), type=Job) == job
    assert job.v == RECORD_VERSION
