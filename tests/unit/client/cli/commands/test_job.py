"""Commands about one job: its state, its outputs, waiting, cancelling and deleting."""

from __future__ import annotations

import json
from pathlib import Path

from asman_shared import messages as m
from asman_shared.states import State
from tests.unit.client.cli.running import Run, play
from tests.unit.client.fake_hub import FakeHub, Visitor


async def test_the_nouns_of_a_job(hub: FakeHub, run: Run, tmp_path: Path) -> None:
    play(hub, 3)
    job = (await run("job", "add", hub.url, "-i", "alpine", "-c", "x")).out.strip()
    shown = await run("job", "show", hub.url, job[:8])
    assert f"job  {job}" in shown.out
    assert "exit code  3" in shown.out
    assert json.loads((await run("job", "show", hub.url, job, "--json")).out)["definition"]["image"] == "alpine"
    logs = await run("job", "logs", hub.url, f"{hub.address}/j/{job}")
    assert (logs.out, logs.err, logs.code) == ("one\n", "two\n", 0)
    lines = (await run("job", "logs", hub.url, job, "--json", "--since", "1")).out.splitlines()
    assert [json.loads(line)["text"] for line in lines] == ["two"]
    waited = await run("job", "wait", hub.url, job, "--timeout", "5s")
    assert (waited.code, waited.out) == (3, "")
    result = await run("job", "result", "--json", hub.url, job)
    assert (result.code, list(json.loads(result.out)["outputs"])) == (3, ["made.txt"])
    assert "made.txt" in (await run("job", "outputs", hub.url, job)).out
    await run("job", "outputs", hub.url, job, "-o", str(tmp_path))
    assert (tmp_path / "made.txt").read_text() == "made"
    listed = await run("job", "list", hub.url)
    assert listed.out.splitlines()[1].split()[:2] == [job[:12], "Failed"]
    assert json.loads((await run("job", "list", hub.url, "--state", "queued", "--json")).out) == []
    assert "there was nothing to cancel" in (await run("job", "cancel", hub.url, job)).err
    assert (await run("job", "delete", hub.url, job)).code == 0
    gone = await run("job", "show", hub.url, job)
    assert (gone.code, gone.err) == (125, "error: there is no such job on this queue\n")


async def test_a_wait_that_is_too_long_exits_124(hub: FakeHub, run: Run) -> None:
    job = (await run("job", "add", hub.url, "-c", "x")).out.strip()
    ended = await run("job", "wait", hub.url, job, "--timeout", "10ms")
    assert ended.code == 124
    assert ended.err == f"error: waiting for job {job[:12]} took longer than 0.01 seconds: no worker is connected\n"


async def test_explain_says_it_to_people_and_to_programs(hub: FakeHub, run: Run) -> None:
    def explain(visitor: Visitor, message: m.Explain) -> None:
        visitor.say(
            m.Explanation(
                message.ref, message.job, State.QUEUED, "it needs 2 gpus", workers=3, position=0, waiting_for="gpus"
            )
        )

    hub.on[m.Explain] = explain
    job = (await run("job", "add", hub.url, "-c", "x")).out.strip()
    ended = await run("job", "explain", hub.url, job)
    assert (ended.code, ended.out) == (0, "Queued: it needs 2 gpus\n")
    ended = await run("job", "explain", hub.url, job, "--json")
    assert json.loads(ended.out) == {
        "job": job,
        "state": "Queued",
        "sentence": "it needs 2 gpus",
        "workers": 3,
        "position": 0,
        "waiting_for": "gpus",
    }
