"""A job: until when it may wait, and the record that is stored of it."""

from __future__ import annotations

import msgspec
import pytest

from asman_server.core.callbacks import Call, Hook
from asman_server.core.job import Job
from asman_server.core.job_record import RECORD_VERSION, JobRecord
from asman_shared.definition import Shape
from asman_shared.messages import Run, Summary, Verdict
from asman_shared.states import Phase, Reason, State


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
    assert Job.unpack(job.pack()).record() == job.record()
    assert job.record().v == RECORD_VERSION


def test_no_field_of_a_job_is_left_out_of_its_record_or_mixed_up_with_another() -> None:
    """Every field has a value of its own, which no other has and which is not its default."""
    values = {
        "id": "a",
        "summary": Summary(image="i"),
        "shape": Shape(cpus=5),
        "state": State.FINISHED,
        "phase": Phase.PULLING,
        "worker": "incarnation",
        "worker_name": "name",
        "holders": ("one", "two"),
        "lane": "one",
        "back": "worker was lost",
        "phase_limits": {Phase.RUNNING: 10},
        "forced": True,
        "kept": True,
        "verdict": Verdict(ok=True, reason=Reason.SUCCESS),
        "previous": Verdict(ok=False, reason=Reason.FAILED),
        "runs": [Run(number=1, queued=2)],
        "hooks": [Hook("one", Call("https://a.example"))],
    }
    names = [name for name in JobRecord.__struct_fields__ if name != "v"]
    values |= {name: 100 + at for at, name in enumerate(names) if name not in values}
    record = JobRecord(**values)  # type: ignore[arg-type]
    job = Job(**values)  # type: ignore[arg-type]
    assert {name: getattr(job, name) for name in names} == values
    assert job.record() == record
    again = Job.unpack(job.pack())
    assert {name: getattr(again, name) for name in names} == values


def test_a_record_leaves_out_what_a_job_does_not_say() -> None:
    kept = msgspec.msgpack.decode(Job(id="a", number=1, summary=Summary()).pack())
    assert sorted(kept) == ["id", "number", "summary"]


@pytest.mark.parametrize(
    ("summary", "source"),
    [(Summary(image="alpine"), "image"), (Summary(build="Dockerfile"), "build"), (Summary(command="true"), "machine")],
)
@pytest.mark.parametrize("cpus", [1000, 2000])
def test_a_job_of_an_earlier_hub_has_the_source_that_its_summary_tells(
    summary: Summary, source: str, cpus: int
) -> None:
    """Shapes of earlier hubs have no source."""
    kept = msgspec.msgpack.decode(Job(id="a", number=1, summary=summary, shape=Shape(cpus=cpus)).pack())
    kept["shape"] = {"cpus": cpus, "memory": 0, "gpus": 0, "tags": [], "platform": "", "duration": 0}
    assert Job.unpack(msgspec.msgpack.encode(kept)).shape == Shape(cpus=cpus, source=source)  # type: ignore[arg-type]
