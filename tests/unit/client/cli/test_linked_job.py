"""A job that is read by its URL alone, and the queue that a URL names."""

from __future__ import annotations

import json
from typing import Any

import pytest

from asman.cli.linked_job import LinkedJob, queue_in
from tests.unit.client.cli.running import Run, play
from tests.unit.client.fake_hub import FakeHub

JOB = "ab" * 32
KEY = f"~{'0' * 32}"


@pytest.mark.parametrize(
    ("text", "queue"),
    [
        (f"http://h/j/{JOB}#?queue=lab", "http://h/q/lab"),
        (f"https://h/path/j/{JOB}{KEY}#?queue=lab&line=4", "https://h/path/q/lab"),
        (f"http://h/j/{JOB}#?queue=https%3A%2F%2Fother%2Fq%2Flab", "https://other/q/lab"),
        (f"http://h/j/{JOB}#?queue=local", None),
        (f"http://h/j/{JOB}{KEY}", None),
        (JOB, None),
        ("http://h/q/lab", None),
    ],
)
def test_the_queue_in_a_url_is_found(text: str, queue: str | None) -> None:
    assert queue_in(text) == queue


@pytest.mark.parametrize("text", [JOB, f"http://h/j/{JOB}", f"http://h/j/{JOB}~00", f"x/j/{JOB}{KEY}", ""])
def test_a_job_without_its_key_is_not_read_by_its_url(text: str) -> None:
    assert LinkedJob.of(text) is None


class Answers:
    """The hub's answers about one job, by the last part of the address."""

    def __init__(self, **answers: Any) -> None:
        self.answers = {"definition": {"image": "alpine", "command": "x"}, "result": None, **answers}

    def __call__(self, path: str) -> tuple[int, bytes]:
        assert path.startswith(f"/j/{JOB}{KEY}/")
        name = path.rpartition("/")[2].removesuffix(".json")
        if name == "stream":
            events = (f"event: state\ndata: {json.dumps(each)}\n\n" for each in self.answers["stream"])
            return 200, "".join(events).encode()
        return 200, json.dumps({"data": self.answers[name]}).encode()


FINISHED = {
    "queuedTime": 1_700_000_000_000,
    "finished": {
        "time": 1_700_000_005_000,
        "reason": "Success",
        "worker": "vm",
        "result": {"StatusCode": 3, "duration": 1500, "outputs": {"a b.txt": {"type": "key", "value": "cd" * 32}}},
    },
}


async def test_show_needs_no_queue_for_a_url_with_a_key(hub: FakeHub, run: Run) -> None:
    hub.rest = Answers(result=FINISHED)
    url = f"{hub.address}/j/{JOB}{KEY}"
    shown = await run("job", "show", url)
    facts = [line.split(maxsplit=1) for line in shown.out.splitlines()]
    assert (shown.code, shown.err) == (0, "")
    for fact in (
        ["job", JOB],
        ["url", url],
        ["state", "Failed"],
        ["took", "1.5 s"],
        ["worker", "vm"],
        ["image", "alpine"],
    ):
        assert fact in facts
    assert "   exit code  3" in shown.out.splitlines()
    assert "      output  a b.txt" in shown.out.splitlines()
    value = json.loads((await run("job", "show", url, "--json")).out)
    assert (value["id"], value["state"], value["verdict"]["reason"], value["verdict"]["exit_code"]) == (
        JOB,
        "Finished",
        "Failed",
        3,
    )
    assert value["outputs"]["a b.txt"]["url"] == f"{url}/outputs/a%20b.txt"
    assert (value["outputs"]["a b.txt"]["sha256"], value["definition"]["command"]) == ("cd" * 32, "x")
    assert hub.seen == []


@pytest.mark.parametrize(
    ("events", "state"),
    [
        ([{"state": "Queued"}], "Queued"),
        ([{"state": "Queued"}, {"state": "Running"}], "Running"),
        ([{"state": "Finished", "reason": "WorkerLost"}], "WorkerLost"),
        ([], "not finished"),
    ],
)
async def test_show_tells_the_state_of_a_job_without_a_result(
    hub: FakeHub, run: Run, events: list[Any], state: str
) -> None:
    hub.rest = Answers(stream=events)
    shown = await run("job", "show", f"{hub.address}/j/{JOB}{KEY}")
    assert f"       state  {state}" in shown.out.splitlines()


async def test_a_wrong_key_is_told_in_a_sentence(hub: FakeHub, run: Run) -> None:
    hub.rest = Answers(definition=None)
    shown = await run("job", "show", f"{hub.address}/j/{JOB}{KEY}")
    assert (shown.code, "there is no such job, or this is not its key" in shown.err) == (125, True)


async def test_a_job_of_another_queue_is_shown_by_its_key_all_the_same(
    hub: FakeHub, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ASMAN_QUEUE", hub.url)
    hub.rest = Answers(result=FINISHED)
    shown = await run("job", "show", f"{hub.address}/j/{JOB}{KEY}")
    assert (shown.code, "       state  Failed" in shown.out.splitlines()) == (0, True), shown.err


async def test_every_command_takes_the_queue_in_the_url_that_run_prints(hub: FakeHub, run: Run) -> None:
    play(hub, 3)
    job = (await run("job", "add", hub.url, "-c", "x")).out.strip()
    url = f"{hub.address}/j/{job}{KEY}#?queue=test-queue"
    assert f"         job  {job}" in (await run("job", "show", url)).out.splitlines()
    assert (await run("job", "logs", url)).out == "one\n"
    assert (await run("job", "wait", url)).code == 3
