"""Running jobs again that did not succeed."""

from __future__ import annotations

import json

import pytest

from asman_shared import messages as m
from asman_shared.states import Reason, State
from tests.unit.client.cli.running import Run, play
from tests.unit.client.fake_hub import FakeHub


async def ended(hub: FakeHub, run: Run, **names: Reason) -> dict[str, str]:
    """Jobs that ended for these reasons; returns their ids by name."""
    made = {}
    for name, reason in names.items():
        play(hub, 0 if reason is Reason.SUCCESS else 3, reason)
        made[name] = (await run("job", "add", hub.url, "--priority", "7", "-c", name)).out.strip()
    hub.on.clear()
    for job in hub.jobs:
        hub.change(job, priority=7, namespaces=["mine"])
    return made


def again(hub: FakeHub) -> list[m.Submit]:
    return [each for each in hub.all_of(m.Submit) if each.reuse == "never"]


async def test_a_failed_job_runs_again_with_its_definition_priority_and_slot(hub: FakeHub, run: Run) -> None:
    jobs = await ended(hub, run, a=Reason.FAILED)
    told = await run("job", "retry", hub.url, jobs["a"][:12])
    assert (told.code, told.out, told.err) == (0, f"{jobs['a']}\n", "queued 1 job again\n")
    (submitted,) = again(hub)
    assert (submitted.definition.command, submitted.priority, submitted.namespace) == ("a", 7, "mine")
    assert hub.jobs[jobs["a"]].state.state is State.QUEUED


async def test_all_that_ended_so_run_again_if_somebody_said_yes(hub: FakeHub, run: Run) -> None:
    jobs = await ended(hub, run, a=Reason.FAILED, b=Reason.SUCCESS, c=Reason.FAILED, d=Reason.TIMED_OUT)
    asked = await run("job", "retry", hub.url, "--state", "failed")
    assert (asked.code, "retry 2 jobs, all that are Failed? Nobody can be asked" in asked.err) == (125, True)
    assert again(hub) == []
    told = await run("job", "retry", hub.url, "--state", "Failed", "--state", "timedout", "--yes", "--json")
    assert {each["id"] for each in json.loads(told.out)} == {jobs[name] for name in "acd"}
    assert [each.namespace for each in again(hub)] == ["_"] * 3, "jobs of one slot would replace each other"
    assert hub.jobs[jobs["b"]].state.state is State.FINISHED


async def test_jobs_that_succeeded_or_have_not_ended_are_refused_and_keep_no_other(hub: FakeHub, run: Run) -> None:
    jobs = await ended(hub, run, a=Reason.SUCCESS, b=Reason.FAILED)
    waiting = (await run("job", "add", hub.url, "-c", "w")).out.strip()
    told = await run("job", "retry", hub.url, jobs["a"], waiting, jobs["b"])
    assert (told.code, told.out) == (125, f"{jobs['b']}\n")
    assert told.err.splitlines() == [
        "queued 1 job again",
        f"error: {jobs['a']}: it succeeded; 'asman run --reuse never' runs it again all the same",
        f"error: {waiting}: it is Queued and has not ended; cancel it first",
    ]


@pytest.mark.parametrize(
    ("words", "says"),
    [
        ((), "or --state Failed to retry all of them"),
        (("--state", "Success", "--yes"), "--state must be one of Failed, Error,"),
        (("--state", "Failed", "--yes", "abcd", "ef01"), "not both"),
    ],
)
async def test_jobs_that_are_not_named_clearly_are_refused(
    hub: FakeHub, run: Run, monkeypatch: pytest.MonkeyPatch, words: tuple[str, ...], says: str
) -> None:
    monkeypatch.setenv("ASMAN_QUEUE", hub.url)
    told = await run("job", "retry", *words)
    assert (told.code, says in told.err) == (2, True), told.err
