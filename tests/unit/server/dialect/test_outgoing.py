"""Jobs and workers as the dialect shows them, in its own words and units."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest
from msgspec import UNSET

from asman_server.core import events as ev
from asman_server.core.job_state import state_of
from asman_server.dialect.outgoing import (
    LISTED,
    REASONS,
    duration_text,
    encode,
    finished_value,
    incarnation_of,
    job_of,
    jobs_frame,
    listed_job,
    member,
    requirements_of,
    size_text,
    text_frame,
    worker_id,
    worker_of,
    workers_of,
)
from asman_shared.definition import Shape
from asman_shared.messages import JobState, Register, Summary, Verdict
from asman_shared.states import Reason, State
from asman_shared.units import GIB, KIB, MIB
from tests.support.core_world import World, job_id


def state(kind: State = State.QUEUED, **more: Any) -> JobState:
    return JobState(id="a", rev=1, state=kind, attempt=0, queued=5, **more)


def shown(value: Any) -> Any:
    return json.loads(encode(value))


@pytest.mark.parametrize(
    ("ms", "text"), [(1, "1ms"), (999, "999ms"), (1000, "1s"), (1500, "1500ms"), (60_000, "1m"), (5_400_000, "90m")]
)
def test_a_duration_is_told_in_the_largest_unit_that_holds_it_evenly(ms: int, text: str) -> None:
    assert duration_text(ms) == text


def test_hours_and_no_time_are_durations_too() -> None:
    assert (duration_text(7_200_000), duration_text(0)) == ("2h", "0ms")


@pytest.mark.parametrize(
    ("size", "text"),
    [(1, "1b"), (KIB, "1k"), (KIB + 1, "1025b"), (3 * MIB, "3m"), (2 * GIB, "2g"), (GIB + MIB, "1025m")],
)
def test_a_size_is_told_in_the_largest_unit_that_holds_it_evenly(size: int, text: str) -> None:
    assert size_text(size) == text


@pytest.mark.parametrize(
    ("shape", "told"),
    [
        (Shape(cpus=2000), {"cpus": 2}),
        (Shape(cpus=1500, gpus=1), {"cpus": 1.5, "gpus": 1}),
        (Shape(memory=GIB, duration=60_000), {"memory": "1g", "maxDuration": "1m"}),
    ],
)
def test_only_what_is_not_usual_is_required(shape: Shape, told: dict[str, Any]) -> None:
    assert shown(requirements_of(shape)) == told


def test_a_job_that_any_worker_can_run_requires_nothing() -> None:
    assert requirements_of(Shape()) is UNSET
    assert shown(requirements_of(Shape(), cpus_sent=True)) == {"cpus": 1}
    assert shown(requirements_of(Shape(gpus=1), cpus_sent=True)) == {"cpus": 1, "gpus": 1}
    assert requirements_of(Shape(tags=frozenset({"a"}))) is UNSET


def test_every_reason_has_a_word_and_a_run_that_ended_by_itself_is_a_success() -> None:
    assert set(REASONS) == set(Reason)
    assert REASONS[Reason.FAILED] == REASONS[Reason.SUCCESS] == "Success"
    assert set(Reason) - LISTED == {Reason.CANCELLED, Reason.REPLACED, Reason.WORKER_LOST, Reason.DELETED}


def test_a_worker_is_known_by_its_name_unless_that_is_the_id_of_another() -> None:
    assert worker_id(incarnation_of("mine"), "mine") == "mine"
    assert worker_id("0123456789abcdef", "mine") == "mine"
    assert worker_id("0123456789abcdef", "mine", {incarnation_of("mine")}) == "01234567"
    assert worker_id("0123456789abcdef", "") == "01234567"
    assert incarnation_of("mine") != incarnation_of("mine ")
    assert len(incarnation_of("\ud800")) == 32


def test_a_waiting_job_has_no_worker_and_the_time_at_which_it_was_queued() -> None:
    told = shown(listed_job(state(namespaces=["n"]), "w", Shape(), []))
    assert told == {"queuedTime": 5, "time": 5, "state": "Queued", "worker": "", "namespaces": ["n"]}


def test_a_running_job_has_its_worker_and_the_time_at_which_it_began() -> None:
    told = shown(listed_job(state(State.RUNNING, started=7), "w", None, ["t"]))
    assert (told["time"], told["worker"], told["tags"]) == (7, "w", ["t"])


def test_a_finished_job_says_how_and_when_it_ended() -> None:
    made = state(State.FINISHED, started=7, finished=9, worker="w", verdict=Verdict(ok=False, reason=Reason.TIMED_OUT))
    told = shown(listed_job(made, "w", None, []))
    assert (told["time"], told["finishedReason"]) == (9, "TimedOut")
    assert "finished" not in told, "with it, pages do not fetch the result"
    assert shown(finished_value(made)) == {"time": 9, "reason": "TimedOut", "type": "Finished", "worker": "w"}


def test_an_end_without_a_verdict_is_an_error() -> None:
    assert finished_value(state(State.FINISHED)).reason == "Error"


def test_a_job_in_memory_is_told_with_its_requirements_and_the_worker_that_has_it() -> None:
    w = World()
    w.join("host", cpus=4)
    w.submit(1, shape=Shape(cpus=2000))
    made = state_of(w.core.jobs[job_id(1)])
    assert worker_of(w.core, made) == "host"
    told = shown(job_of(w.core, made))
    assert (told["worker"], told["requirements"]) == ("host", {"cpus": 2})


def test_a_job_that_is_only_stored_is_told_by_its_summary() -> None:
    told = shown(job_of(None, state(State.RUNNING, worker="w", summary=Summary(tags=("t",)))))
    assert (told["worker"], told["tags"]) == ("w", ["t"])
    assert "requirements" not in told


def test_workers_that_are_connected_are_listed_up_to_a_bound() -> None:
    w = World()
    for name in ("a", "b", "c"):
        w.join(name, cpus=1.5 if name == "a" else 2, max_duration=60_000 if name == "a" else 0)
    w.submit(1, shape=Shape(cpus=1500))
    w.drain("b")
    w.lose("c")
    told = [shown(worker) for worker in workers_of(w.core, 99, 10)]
    assert [worker["id"] for worker in told] == ["a", "b"]
    assert (told[0]["cpus"], told[0]["maxJobDuration"], told[0]["time"]) == (1.5, "1m", 99)
    assert (told[1]["cpus"], told[1]["maxJobDuration"]) == (2, "")
    assert len(workers_of(w.core, 99, 1)) == 1


def body(frame: bytes) -> Any:
    return json.loads(frame[frame.index(b"{") :])


def test_messages_are_json_with_a_type_and_a_payload_if_there_is_one() -> None:
    assert body(text_frame("Ping")) == {"type": "Ping"}
    assert body(text_frame("X", {"a": None})) == {"type": "X", "payload": {"a": None}}


@pytest.mark.parametrize(("subset", "kind"), [(True, "JobStateUpdates"), (False, "JobStates")])
def test_a_list_of_jobs_is_one_object_by_their_ids(subset: bool, kind: str) -> None:
    jobs = b",".join([member("a", b"1"), member("b", b"2")])
    payload = {"state": {"jobs": {"a": 1, "b": 2}}, "isSubset": subset}
    assert body(jobs_frame(jobs, subset=subset)) == {"type": kind, "payload": payload}
    assert body(jobs_frame(b"", subset=subset))["payload"]["state"] == {"jobs": {}}


def test_absent_members_are_left_out() -> None:
    assert msgspec.json.decode(encode(finished_value(state(State.FINISHED, finished=1)))) == {
        "time": 1,
        "reason": "Error",
        "type": "Finished",
    }


def test_native_workers_of_one_name_are_one_worker_with_the_cpus_and_gpus_of_all() -> None:
    w = World()
    for session, (name, cpus, gpus, longest) in enumerate(
        [("host", 1.1, 1, 3_600_000), ("host", 2.2, 2, 5_400_000), ("other", 4, 0, 0), ("host", 0.7, 0, 0)], start=1
    ):
        info = Register(incarnation=f"{session:016}", name=name, cpus=cpus, gpus=gpus, max_duration=longest)
        w.send(ev.WorkerJoined(session, info))
        if session == 3:
            told = [shown(worker) for worker in workers_of(w.core, 99, 10)]
            assert [(one["id"], one["cpus"], one["gpus"], one["maxJobDuration"]) for one in told] == [
                ("host", 3.3, 3, "90m"),
                ("other", 4, 0, ""),
            ]
    (host,) = workers_of(w.core, 99, 1)
    assert (host.cpus, host.max_job_duration) == (4, ""), "one of them takes a job of any duration"
