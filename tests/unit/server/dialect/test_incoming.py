"""Messages of the dialect: read leniently, whatever else is in them, and refused when they can't be."""

from __future__ import annotations

import json
from typing import Any

import pytest

from asman_server.dialect.incoming import EnqueueJob, Logs, Query, Registration, StateChange, Wanted, hear
from asman_shared.errors import BadRequest


def heard(kind: str, payload: Any) -> Any:
    told, found = hear(json.dumps({"type": kind, "payload": payload, "more": 1}).encode())
    assert told == kind
    return found


def test_a_change_of_any_state_is_read_with_its_value() -> None:
    found = heard(
        "StateChange",
        {
            "state": "Queued",
            "job": "a",
            "tag": "t",
            "value": {
                "type": "Queued",
                "enqueued": {
                    "id": "x",
                    "debug": True,
                    "control": {"namespace": "n", "maxDuration": "5m", "callbacks": {"queued": {"url": "https://h/"}}},
                },
            },
        },
    )
    assert isinstance(found, StateChange)
    assert (found.state, found.job, found.tag) == ("Queued", "a", "t")
    enqueued = found.value.enqueued
    assert isinstance(enqueued, EnqueueJob)
    assert enqueued.control is not None
    assert (enqueued.id, enqueued.control.namespace, enqueued.control.max_duration) == ("x", "n", "5m")
    assert enqueued.control.callbacks is not None
    assert enqueued.control.callbacks.queued is not None
    assert enqueued.control.callbacks.queued.url == "https://h/"


def test_members_have_the_names_of_the_dialect() -> None:
    assert heard("QueryJob", {"jobId": "a"}) == Query("a")
    assert heard("RequestJobDefinitions", {"jobIds": ["a"]}) == Wanted(["a"])
    assert heard("WorkerRegistration", {"id": "w", "maxJobDuration": 5}) == Registration("w", max_job_duration=5)
    assert heard("JobStatusLogs", {"jobId": "a", "logs": [["x", 1, True]]}) == Logs("a", "", [["x", 1, True]])


@pytest.mark.parametrize("kind", ["ClearJobCache", "Ping", "", "__class__"])
def test_a_type_without_a_payload_of_ours_is_told_alone(kind: str) -> None:
    assert heard(kind, {"anything": [1]}) is None
    assert hear(json.dumps({"type": kind}).encode()) == (kind, None)


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"{",
        b"[]",
        b"null",
        b'{"payload": {}}',
        b'{"type": 5}',
        b'{"type": "QueryJob"}',
        b'{"type": "QueryJob", "payload": {"jobId": 5}}',
        b'{"type": "StateChange", "payload": {"state": "Queued"}}',
        b'{"type": "JobStatusLogs", "payload": {"jobId": "a", "logs": [5]}}',
        b'\xff{"type": "x"}',
        b"[" * 200_000,
    ],
)
def test_what_can_not_be_read_is_refused(text: bytes) -> None:
    with pytest.raises(BadRequest):
        hear(text)
