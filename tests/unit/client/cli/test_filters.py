"""Filters of ``asman job list``."""

from __future__ import annotations

import time
from typing import Any

import pytest

from asman.cli.filters import Wanted
from asman_shared.errors import BadRequest, BadUnit
from asman_shared.states import Reason, State


def wanted(state: list[str] | None = None, **more: Any) -> Wanted:
    options: dict[str, Any] = {"image": "", "grep": "", "tags": None, "worker": "", "namespace": "", "since": None}
    return Wanted.of(state, **{**options, **more})


def job(**more: Any) -> dict[str, Any]:
    summary = {"image": "alpine:3", "command": "echo hello", "tags": ["gpu", "lab"]}
    return {"state": "Finished", "verdict": {"reason": "Failed"}, "summary": summary, "worker": "w1-abc", **more}


def test_a_reason_asks_for_finished_jobs_and_finished_jobs_for_every_reason() -> None:
    failed = wanted(["failed"])
    assert (failed.states, failed.reasons) == ([State.FINISHED], frozenset({Reason.FAILED}))
    both = wanted(["Queued", "FAILED"])
    assert both.states == [State.QUEUED, State.FINISHED]
    assert both.matches({"state": "Queued"})
    assert not both.matches(job(verdict={"reason": "Success"}))
    assert wanted(["finished", "failed"]).reasons == frozenset()


@pytest.mark.parametrize(
    ("option", "yes", "no"),
    [
        ("image", "alp", "busybox"),
        ("grep", "o h", "bye"),
        ("tags", ["lab"], ["lab", "fast"]),
        ("worker", "w1", "w2"),
        ("namespace", "n", "o"),
    ],
)
def test_each_filter_passes_and_refuses_and_is_applied_here(option: str, yes: Any, no: Any) -> None:
    given = job(namespaces=["n"])
    assert wanted(**{option: yes}).matches(given)
    assert not wanted(**{option: no}).matches(given)
    assert wanted(**{option: yes}).filters_locally
    assert not wanted(["running"]).filters_locally


def test_a_job_that_is_built_is_found_by_its_build() -> None:
    built = job(summary={"build": "https://example.org/tool.git"})
    assert wanted(image="tool").matches(built)


def test_jobs_are_too_old_before_a_duration_ago() -> None:
    now = time.time_ns() // 1_000_000
    recent = wanted(since="2h")
    assert recent.too_old({"queued": now - 3 * 3_600_000})
    assert not recent.too_old({"queued": now - 3_600_000})
    assert not wanted().too_old({})


def test_a_word_that_is_neither_a_state_nor_a_reason_is_refused() -> None:
    with pytest.raises(BadRequest, match="'sleeping' is neither a state nor a reason: use one of Queued"):
        wanted(["sleeping"])
    with pytest.raises(BadRequest, match="'removed'"):
        wanted(["removed"])
    for near in ("Faild", "faild"):
        with pytest.raises(
            BadRequest, match=f"'{near}' is neither a state nor a reason: did you mean Failed\\? Use one"
        ):
            wanted([near])
    with pytest.raises(BadUnit):
        wanted(since="2")
