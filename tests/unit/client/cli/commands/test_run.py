"""Running a command as a job: its output, its exit code, and Ctrl-C."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from asman.cli import exits
from asman_shared import messages as m
from asman_shared.states import Reason
from tests.unit.client.cli.running import Run, play
from tests.unit.client.fake_hub import FakeHub, Visitor


async def test_run_shows_both_streams_and_exits_as_the_job_did(hub: FakeHub, run: Run) -> None:
    play(hub, 3)
    ended = await run("run", hub.url, "--", "sh", "-c", "echo one; echo two >&2; exit 3")
    assert (ended.code, ended.out) == (3, "one\n")
    assert ended.err.splitlines()[0].startswith(f"queued: {hub.address}/j/")
    assert ended.err.splitlines()[1:] == ["two", "the job exited with code 3"]
    (seen,) = hub.all_of(m.Submit)
    assert seen.definition.command == ["sh", "-c", "echo one; echo two >&2; exit 3"]
    assert seen.definition.image is None


async def test_run_again_is_cached_and_says_so(hub: FakeHub, run: Run, tmp_path: Path) -> None:
    play(hub)
    await run("run", hub.url, "--", "x")
    ended = await run("run", hub.url, "-o", str(tmp_path / "out"), "--", "x")
    assert (ended.code, ended.out) == (0, "one\n")
    assert ended.err.startswith("cached, not run again: ")
    assert "saved 1 file in" in ended.err
    assert (tmp_path / "out" / "made.txt").read_text() == "made"


async def test_a_failed_job_runs_again_and_the_end_of_its_earlier_run_is_told(hub: FakeHub, run: Run) -> None:
    play(hub, 3)
    first = await run("run", hub.url, "--", "x")
    assert "it ran before" not in first.err
    ended = await run("run", hub.url, "--", "x")
    assert ended.code == 3
    assert ended.err.splitlines()[0].startswith("queued: ")
    assert ended.err.splitlines()[1] == "it ran before, and exited with code 3"


async def test_a_failure_that_any_result_was_asked_for_is_told_as_one(hub: FakeHub, run: Run) -> None:
    play(hub, 3)
    await run("run", hub.url, "--", "x")
    ended = await run("run", hub.url, "--reuse", "any", "--", "x")
    assert ended.code == 3
    assert ended.err.splitlines()[0].startswith("cached, not run again: ")
    assert ended.err.splitlines()[1] == "this result is a failure; without --reuse any, the job runs again"


async def test_run_takes_the_queue_from_the_environment(
    hub: FakeHub, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    play(hub)
    monkeypatch.setenv("ASMAN_QUEUE", hub.url)
    monkeypatch.setenv("MINE", "passed on")
    ended = await run(
        "run",
        "-q",
        "-i",
        "alpine",
        "-e",
        "A=1=2",
        "-e",
        "MINE",
        "--cpus",
        "2",
        "--tag",
        "t",
        "--",
        "echo",
        "-n",
        "--",
        "x",
    )
    assert (ended.code, ended.err) == (0, "two\n")
    (seen,) = hub.all_of(m.Submit)
    assert seen.definition.command == ["echo", "-n", "--", "x"]
    assert (seen.definition.image, seen.definition.tags) == ("alpine", ["t"])
    assert seen.definition.env == {"A": "1=2", "MINE": "passed on"}


async def test_run_without_dashes_takes_the_words_behind_the_queue(hub: FakeHub, run: Run) -> None:
    play(hub)
    assert (await run("run", hub.url, "echo", "hello")).code == 0
    assert hub.all_of(m.Submit)[0].definition.command == ["echo", "hello"]


async def test_run_as_json_keeps_standard_output_for_the_result(hub: FakeHub, run: Run) -> None:
    play(hub, 4)
    ended = await run("run", hub.url, "--json", "--", "x")
    value = json.loads(ended.out)
    assert ended.code == 4
    assert (value["answer"], value["verdict"]["exit_code"], value["state"]) == ("queued", 4, "Finished")
    assert value["outputs"]["made.txt"]["url"] == f"{value['url']}/outputs/made.txt"
    assert "one\n" in ended.err


@pytest.mark.parametrize(
    ("reason", "code"),
    [
        (Reason.TIMED_OUT, 124),
        (Reason.ERROR, 125),
        (Reason.WORKER_LOST, 126),
        (Reason.CANCELLED, 130),
        (Reason.REPLACED, 130),
        (Reason.DELETED, 130),
        (Reason.OUT_OF_MEMORY, 137),
    ],
)
async def test_every_other_end_has_its_code_and_sentence(hub: FakeHub, run: Run, reason: Reason, code: int) -> None:
    play(hub, None, reason, message="because of that", hint="do this")
    ended = await run("run", "-q", hub.url, "--", "x")
    assert ended.code == code
    assert code in exits.EXIT_CODES
    assert ended.err.splitlines()[1].startswith("error: the job ")
    assert ended.err.splitlines()[1].endswith(": because of that")
    assert ended.err.splitlines()[2] == "hint: do this"


async def test_run_says_why_nobody_can_run_it(hub: FakeHub, run: Run) -> None:
    def submit(visitor: Visitor, message: m.Submit) -> None:
        hub._submit(Visitor(hub, visitor.ws), message)
        (job,) = hub.jobs
        visitor.follows.add(job)
        why = "needs 2 gpus; 3 workers are connected and none has one"
        visitor.say(m.Accepted(message.ref, "queued", hub.jobs[job].state, able=0, why=why))

    def follow(visitor: Visitor, message: m.Follow) -> None:
        hub._follow(visitor, message)
        hub.finish(message.job, 0)

    hub.on[m.Follow] = follow
    hub.on[m.Submit] = submit
    ended = await run("run", hub.url, "--", "x")
    assert "waiting: needs 2 gpus; 3 workers are connected and none has one\n" in ended.err


async def test_run_names_what_was_not_kept_and_what_went_wrong_beside_the_exit_code(hub: FakeHub, run: Run) -> None:
    def submit(visitor: Visitor, message: m.Submit) -> None:
        hub._submit(visitor, message)
        (job,) = hub.jobs
        hub.output(job, "made.txt", b"made")
        result = hub.jobs[job].result
        assert result is not None
        result.skipped = {f"{number:02}.bin": "no room" for number in range(23)}
        hub.finish(job, 7, message="23 of 24 outputs could not be stored: no room")

    hub.on[m.Submit] = submit
    ended = await run("run", hub.url, "--", "x")
    assert ended.code == 7
    assert ended.err.splitlines()[1:] == [
        *(f"not kept: {number:02}.bin: no room" for number in range(20)),
        "not kept: 3 more; 'asman job result --json' names them",
        "the job exited with code 7: 23 of 24 outputs could not be stored: no room",
    ]


async def test_a_name_of_an_output_makes_no_line_of_its_own(hub: FakeHub, run: Run) -> None:
    def submit(visitor: Visitor, message: m.Submit) -> None:
        hub._submit(visitor, message)
        (job,) = hub.jobs
        hub.output(job, "made.txt", b"made")
        result = hub.jobs[job].result
        assert result is not None
        result.skipped = {"two\nlines": "the name 'two\nlines' has a \x1b[2Jcontrol character"}
        hub.finish(job, 7)

    hub.on[m.Submit] = submit
    ended = await run("run", hub.url, "--", "x")
    assert ended.err.splitlines()[1:] == [
        "not kept: two\\nlines: the name 'two\\nlines' has a \\x1b[2Jcontrol character",
        "the job exited with code 7",
    ]


async def test_a_success_with_a_trouble_says_it(hub: FakeHub, run: Run) -> None:
    play(hub, message="a process was killed")
    ended = await run("run", hub.url, "--", "x")
    assert (ended.code, ended.err.splitlines()[-1]) == (0, "the job succeeded: a process was killed")


async def test_a_forgotten_dash_is_named_if_the_queue_is_known(
    hub: FakeHub, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ASMAN_QUEUE", hub.url)
    for words in ("echo", "hi"), ("/bin/echo", "a b"), ("nothing",):
        ended = await run("run", *words)
        text = " ".join(f"'{word}'" if " " in word else word for word in words)
        assert (ended.code, hub.jobs) == (2, {})
        assert f"if '{words[0]}' is the command, write: asman run -- {text}" in " ".join(ended.err.split())


@pytest.mark.parametrize("words", [("run",), ("job", "add"), ("run", "-e", "A=1", "--cpus", "2"), ("run", "--")])
async def test_nothing_to_run_is_a_usage_error_before_anything_is_queued(
    hub: FakeHub, run: Run, monkeypatch: pytest.MonkeyPatch, words: tuple[str, ...]
) -> None:
    monkeypatch.setenv("ASMAN_QUEUE", hub.url)
    ended = await run(*words)
    assert (ended.code, "there is nothing to run" in ended.err) == (2, True)
    assert not hub.seen


async def test_a_queue_that_nobody_else_uses_is_told_while_the_job_waits(hub: FakeHub, run: Run) -> None:
    def submit(visitor: Visitor, message: m.Submit) -> None:
        hub._submit(Visitor(hub, visitor.ws), message)
        (job,) = hub.jobs
        visitor.say(m.Accepted(message.ref, "queued", hub.jobs[job].state, able=0, why="no worker is connected"))

    hub.on[m.Submit] = submit
    ended = await run("job", "add", hub.url, "-c", "x")
    assert ended.err.splitlines()[1:] == [
        "waiting: no worker is connected",
        "this queue is new and has no workers: check its name",
    ]
