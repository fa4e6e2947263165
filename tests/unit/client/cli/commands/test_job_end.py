"""Cancelling and deleting: one job, several, and all in a state."""

from __future__ import annotations

import json

import pytest

from asman_shared import messages as m
from asman_shared.states import State
from tests.unit.client.cli.running import Run, play
from tests.unit.client.fake_hub import FakeHub


async def waiting(hub: FakeHub, run: Run, *names: str) -> list[str]:
    """Submits jobs that nobody runs; returns their ids."""
    return [(await run("job", "add", hub.url, "-c", name)).out.strip() for name in names]


def states(hub: FakeHub) -> list[State]:
    return [each.state.state for each in hub.jobs.values()]


async def test_a_whole_id_is_cancelled_and_deleted_without_reading_the_job(hub: FakeHub, run: Run) -> None:
    (job,) = await waiting(hub, run, "a")
    ended = await run("job", "cancel", hub.url, job)
    assert (ended.code, ended.err) == (0, "cancelled\n")
    assert (await run("job", "delete", hub.url, f"{hub.address}/j/{job}~{'0' * 32}")).err == "deleted\n"
    assert not hub.all_of(m.Get)
    assert hub.jobs == {}


async def test_an_id_that_is_not_there_is_told_by_the_hub(hub: FakeHub, run: Run) -> None:
    for verb in ("cancel", "delete"):
        ended = await run("job", verb, hub.url, "a" * 64)
        assert (ended.code, "error: " in ended.err, "Traceback" in ended.err) == (125, True, False)


@pytest.mark.parametrize("verb", ["cancel", "delete"])
async def test_several_jobs_are_ended_and_one_that_is_not_there_keeps_no_other(
    hub: FakeHub, run: Run, monkeypatch: pytest.MonkeyPatch, verb: str
) -> None:
    first, second, third = await waiting(hub, run, "a", "b", "c")
    monkeypatch.setenv("ASMAN_QUEUE", hub.url)
    ended = await run("job", verb, first, "a" * 64, second, first)
    assert ended.code == 125
    assert ended.err.splitlines()[0].endswith("ed 2 jobs")
    assert f"error: {'a' * 64}: " in ended.err
    assert (await run("job", verb, hub.url, third, "--json")).code == 0
    assert State.QUEUED not in states(hub)


async def test_all_jobs_in_a_state_are_ended_if_somebody_said_yes(hub: FakeHub, run: Run) -> None:
    await waiting(hub, run, "a", "b")
    ended = await run("job", "cancel", hub.url, "--state", "queued")
    assert (ended.code, "cancel 2 jobs, all that are Queued? Nobody can be asked" in ended.err) == (125, True)
    assert states(hub) == [State.QUEUED] * 2
    ended = await run("job", "cancel", hub.url, "--state", "Running", "--yes")
    assert (ended.code, ended.err) == (0, "cancelled 0 jobs\n")
    ended = await run("job", "cancel", hub.url, "--state", "Queued", "--yes", "--json")
    assert [each["released"] for each in json.loads(ended.out)] == [True, True]
    assert State.QUEUED not in states(hub)


@pytest.mark.parametrize(
    ("words", "says"),
    [
        ((), "no job was named"),
        (("--state", "Finished", "--yes"), "must be Queued or Running"),
        (("--state", "Queued", "--yes", "abcd", "ef01"), "not both"),
        (("abcd", "--yes"), "--yes is for --state"),
    ],
)
async def test_jobs_that_are_not_named_clearly_are_refused(
    hub: FakeHub, run: Run, monkeypatch: pytest.MonkeyPatch, words: tuple[str, ...], says: str
) -> None:
    monkeypatch.setenv("ASMAN_QUEUE", hub.url)
    for verb in ("cancel", "delete"):
        ended = await run("job", verb, *words)
        assert (ended.code, says in ended.err) == (2, True), ended.err


async def test_of_several_words_the_first_is_the_queue_unless_it_is_a_job(
    hub: FakeHub, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = await waiting(hub, run, "a", "b")
    assert (await run("job", "cancel", hub.url, first[:10], second[:10])).err == "cancelled 2 jobs\n"
    monkeypatch.setenv("ASMAN_QUEUE", hub.url)
    ended = await run("job", "delete", f"{hub.address}/j/{first}", second[:10])
    assert (ended.err, hub.jobs) == ("deleted 2 jobs\n", {})


async def test_a_job_that_is_finished_has_nothing_to_cancel(hub: FakeHub, run: Run) -> None:
    play(hub)
    first, second = await waiting(hub, run, "a", "b")
    assert (await run("job", "cancel", hub.url, first)).err == "there was nothing to cancel\n"
    ended = await run("job", "cancel", hub.url, first, second)
    assert ended.err.splitlines() == [
        "cancelled 0 jobs",
        "2 jobs had nothing to cancel; --namespace '*' cancels in all slots",
    ]
