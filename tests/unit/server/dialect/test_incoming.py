"""Messages of the dialect: read leniently, whatever else is in them, and refused when they can't be."""

from __future__ import annotations

import json
from typing import Any

import pytest

from asman_server.dialect.ids import as_javascript
from asman_server.dialect.incoming import (
    EARLY_BYTES,
    EARLY_BYTES_OF_ALL,
    EARLY_MESSAGES,
    EarlyMessages,
    EarlyRoom,
    EnqueueJob,
    Logs,
    Query,
    Registration,
    StateChange,
    Unread,
    Wanted,
    hear,
    unread,
)
from asman_shared.errors import BadDefinition, BadRequest, Unavailable


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
        b'{"type": "JobStatusLogs", "payload": {"jobId": "a", "logs": 5}}',
        b'\xff{"type": "x"}',
        b"[" * 200_000,
    ],
)
def test_what_can_not_be_read_is_refused(text: bytes) -> None:
    with pytest.raises(BadRequest):
        hear(text)


def change(state: str, job: str, value: str) -> bytes:
    """A change whose value is written as it is given."""
    head = json.dumps({"type": "StateChange", "more": ["[{", {"a": ['\\"]']}]})
    payload = json.dumps({"tag": "", "state": state, "job": job, "last": []})
    return f'{head[:-1]},"payload":{payload[:-1]},"value":{value}}}}}'.encode()


@pytest.mark.parametrize("depth", [1_000, 5_000, 1_000_000])
@pytest.mark.parametrize(("opens", "closes"), [("[", "]"), ('{"a":', "}"), ('[{"a":[', "]}]")])
def test_a_change_that_is_nested_too_deeply_is_known_by_its_outer_parts(depth: int, opens: str, closes: str) -> None:
    depth = depth if opens == "[" else min(depth, 50_000)
    text = change("Queued", "a [ job", opens * depth + "1" + closes * depth)
    with pytest.raises(BadRequest, match="nested at most 100 levels"):
        hear(text)
    assert unread(text) == Unread("StateChange", "Queued", "a [ job")


@pytest.mark.parametrize("value", ["[" * 5000, "]" * 5, "[" * 2000 + "}" * 1998, '"'])
def test_a_change_that_is_no_json_is_known_by_nothing(value: str) -> None:
    assert unread(change("Queued", "a", value)) == Unread()


def ended(outputs: str, **more: Any) -> bytes:
    """An end of a run, whose outputs are written as they are given."""
    value = json.dumps({"reason": "Success", "result": {"StatusCode": 3, **more, "outputs": "OUTPUTS"}})
    payload = json.dumps({"state": "Finished", "job": "a", "value": "VALUE"})
    value = value.replace('"OUTPUTS"', outputs)
    return b'{"type":"StateChange","payload":' + payload.replace('"VALUE"', value).encode() + b"}"


def test_half_a_character_costs_an_end_of_a_run_and_its_logs_no_more_than_itself() -> None:
    _, end = hear(ended(r'{"cut \ud83d": {"value": "\ude00 \\ud83d \ud83d\ude00"}, "good": "x"}'))
    assert end.value.result["StatusCode"] == 3
    assert end.value.result["outputs"] == {"cut �": {"value": "� \\ud83d 😀"}, "good": "x"}
    _, logs = hear(rb'{"type":"JobStatusLogs","payload":{"jobId":"a","logs":[["one\n",1],["cut \ud83d",2]]}}')
    assert logs == Logs("a", "", [["one\n", 1], ["cut �", 2]])


@pytest.mark.parametrize("depth", [1_000, 100_000])
def test_a_value_that_is_nested_too_deeply_costs_an_end_of_a_run_no_more_than_itself(depth: int) -> None:
    deep = "[" * depth + r'"\ud83d"' + "]" * depth
    _, end = hear(ended('{"deep": {"type": "json", "value": ' + deep + '}, "good": "x"}'))
    assert end.value.result["StatusCode"] == 3
    assert end.value.result["outputs"]["good"] == "x"
    with pytest.raises(BadDefinition, match="nested at most 100 levels"):
        as_javascript(end.value.result["outputs"]["deep"])


def test_half_a_character_in_any_other_message_is_still_refused() -> None:
    for text in (
        rb'{"type":"StateChange","payload":{"state":"Queued","job":"a","value":{"message":"\ud83d"}}}',
        rb'{"type":"QueryJob","payload":{"jobId":"\ud83d"}}',
        rb'{"type":"WorkerRegistration","payload":{"id":"\ud83d"}}',
    ):
        with pytest.raises(BadRequest, match="half a character"):
            hear(text)


def test_early_messages_have_a_bound_for_each_worker_and_one_for_all() -> None:
    room = EarlyRoom()
    several = [EarlyMessages(room) for _ in range(EARLY_BYTES_OF_ALL // EARLY_BYTES)]
    for each in several:
        each.add(b"x" * EARLY_BYTES)
        with pytest.raises(BadRequest, match="a worker registers first: at most 100 messages and 16 MiB wait"):
            each.add(b"x")
    late = EarlyMessages(room)
    with pytest.raises(Unavailable, match="too many messages wait for registrations"):
        late.add(b"x")
    assert several[0].take() == [b"x" * EARLY_BYTES]
    assert several[0].take() == [], "they are counted back once"
    late.add(b"y" * EARLY_BYTES)
    for each in (*several, late):
        each.take()
    assert room.used == 0


def test_a_worker_has_a_hundred_early_messages_at_most() -> None:
    early = EarlyMessages(EarlyRoom())
    for number in range(EARLY_MESSAGES):
        early.add(b"%d" % number)
    with pytest.raises(BadRequest):
        early.add(b"more")
    assert early.take() == [b"%d" % number for number in range(EARLY_MESSAGES)]
