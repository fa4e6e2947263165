"""Submissions: checked and identified once, whatever asked for them."""

from __future__ import annotations

from typing import Any

import pytest

from asman_server.queues.submission import Submission
from asman_shared.definition import Definition, Requirements
from asman_shared.errors import BadDefinition, BadRequest
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
        (0, None, 0, 0),
        (5000, None, 0, 5000),
        (0, "7s", 0, 7000),
        (0, None, 9000, 9000),
        (5000, "7s", 9000, 5000),
        (8000, "7s", 9000, 7000),
        (8000, "7s", 6000, 6000),
    ],
)
def test_the_shortest_limit_of_the_run_that_anybody_gave_counts(
    request_limit: int, own: str | None, phase: int, effective: int
) -> None:
    definition = Definition(image="a", requirements=Requirements(max_duration=own) if own else None)
    found = event(definition, time_limit=request_limit, phase_limits={Phase.RUNNING: phase})
    assert found.run_limit == effective


def test_limits_of_no_time_at_all_are_none() -> None:
    found = event(phase_limits={Phase.PULLING: 100, Phase.STAGING: 0})
    assert found.phase_limits == {Phase.PULLING: 100}
    assert event().phase_limits is None


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
