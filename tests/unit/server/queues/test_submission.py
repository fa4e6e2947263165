"""Submissions: checked and identified once, whatever asked for them."""

from __future__ import annotations

from typing import Any

import pytest

from asman_server.queues.submission import Submission, time_limit
from asman_shared.definition import Definition, Requirements
from asman_shared.errors import BadDefinition, BadRequest, BadUnit
from asman_shared.identity import job_id
from asman_shared.messages import Callback, Callbacks, Submit
from asman_shared.states import Phase

MADE = Definition(image="alpine", command="true")


def of(definition: Definition = MADE, *, alias: str = "", known_id: str = "", **more: Any) -> Submission:
    return Submission.of(Submit(ref=5, definition=definition, **more), alias=alias, known_id=known_id)


def event(definition: Definition = MADE, **more: Any) -> Any:
    made = of(definition, **more)
    return made.event(made.effective(), "me")


def test_the_id_is_that_of_the_definition() -> None:
    made = of(id=job_id(MADE))
    assert (made.job_id, made.ref) == (job_id(MADE), 5)


def test_another_id_than_the_definitions_is_refused() -> None:
    with pytest.raises(BadDefinition, match=f"which is {job_id(MADE)[:12]}…") as caught:
        of(id="0" * 64)
    assert caught.value.field == "id"


def test_an_id_that_is_known_from_before_counts() -> None:
    assert of(known_id="ab" * 32).job_id == "ab" * 32


def test_all_namespaces_at_once_hold_no_job() -> None:
    with pytest.raises(BadDefinition, match="all of them") as caught:
        of(namespace="*")
    assert caught.value.field == "namespace"


def test_the_phase_of_the_hub_has_the_hubs_limit() -> None:
    with pytest.raises(BadRequest) as caught:
        of(phase_limits={Phase.ASSIGNED: 1})
    assert caught.value.field == "phase_limits.assigned"


@pytest.mark.parametrize(
    ("request_limit", "own", "phase", "effective"),
    [
        (None, None, None, 0),
        (5000, None, None, 5000),
        (None, "7s", None, 7000),
        (None, None, 9000, 9000),
        (5000, "7s", 9000, 5000),
        (8000, "7s", 9000, 7000),
        (8000, "7s", 6000, 6000),
    ],
)
def test_the_shortest_limit_of_the_run_that_anybody_gave_counts(
    request_limit: int | None, own: str | None, phase: int | None, effective: int
) -> None:
    definition = Definition(image="a", requirements=Requirements(max_duration=own) if own else None)
    phases = {} if phase is None else {Phase.RUNNING: phase}
    found = event(definition, time_limit=request_limit, phase_limits=phases)
    assert found.run_limit == effective


@pytest.mark.parametrize(
    ("wrong", "field"),
    [
        ({"time_limit": 0}, "time_limit"),
        ({"queue_limit": 0}, "queue_limit"),
        ({"phase_limits": {Phase.PULLING: 100, Phase.STAGING: 0}}, "phase_limits.staging"),
    ],
)
def test_zero_is_no_time_limit_and_the_remedy_is_told(wrong: dict[str, Any], field: str) -> None:
    with pytest.raises(
        BadUnit, match="0 is no time limit, which has at least 1 ms: leave it out for no limit"
    ) as caught:
        of(**wrong)
    assert caught.value.field == field


@pytest.mark.parametrize("wrong", [-1, 2**53])
def test_a_time_limit_has_its_range(wrong: int) -> None:
    with pytest.raises(BadUnit, match="a time limit has 1 to ") as caught:
        of(queue_limit=wrong)
    assert caught.value.field == "queue_limit"
    assert event(queue_limit=2**53 - 1).queue_limit == 2**53 - 1


def test_the_refusal_of_a_time_limit_is_short_and_shows_an_empty_text_as_one() -> None:
    with pytest.raises(BadUnit) as caught:
        time_limit(10**4000, "time_limit")
    assert len(caught.value.message) < 200
    with pytest.raises(BadUnit, match=r"^an empty text is no time limit"):
        time_limit(" ", "time_limit")


def test_a_time_limit_that_is_left_out_is_none() -> None:
    found = event()
    assert (found.run_limit, found.queue_limit, found.phase_limits) == (0, 0, None)
    assert event(phase_limits={Phase.PULLING: 100}).phase_limits == {Phase.PULLING: 100}


def test_everything_that_was_asked_for_is_in_the_event() -> None:
    found = event(namespace="n", priority=3, reuse="never", queue_limit=7, max_attempts=2)
    assert (found.job, found.reply_to, found.namespace) == (job_id(MADE), "me", "n")
    assert (found.priority, found.reuse, found.queue_limit, found.max_attempts) == (3, "never", 7, 2)
    assert (found.summary.image, found.summary.command) == ("alpine", "true")


def test_webhooks_come_along_with_the_id_that_their_submitter_knows() -> None:
    wanted = Callbacks(finished=Callback(url="https://example.org/x"))
    calls = event(callbacks=wanted, alias="old-id").calls
    assert (calls.queued, calls.finished.url, calls.finished.known_as) == (None, "https://example.org/x", "old-id")
    assert event().calls is None


def test_private_webhooks_are_the_operators_to_allow() -> None:
    wanted = Submit(ref=1, definition=MADE, callbacks=Callbacks(queued=Callback(url="http://127.0.0.1/x")))
    with pytest.raises(BadRequest):
        Submission.of(wanted)
    assert Submission.of(wanted, private_webhooks=True).job_id == job_id(MADE)
