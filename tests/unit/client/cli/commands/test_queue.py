"""Queues from the command line: new ones, known ones, their status and retention."""

from __future__ import annotations

import json
import stat
from pathlib import Path

import pytest

from asman_shared import messages as m
from tests.unit.client.cli.running import Run, play
from tests.unit.client.fake_hub import FakeHub, Visitor


async def test_the_queues_that_were_used_are_known_and_secret(hub: FakeHub, run: Run, tmp_path: Path) -> None:
    made = json.loads((await run("queue", "new", "--hub", hub.address, "--as", "lab", "--json")).out)
    assert made["worker"] == f"ASMAN_QUEUE={made['url']} asman worker"
    file = tmp_path / "settings" / "queues.json"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    await run("job", "list", hub.url)
    listed = json.loads((await run("queue", "list", "--json")).out)
    assert [(each["name"], each["url"]) for each in listed] == [("", hub.url), ("lab", made["url"])]
    assert "@lab" in (await run("queue", "list")).out
    play(hub)
    assert (await run("run", "@lab", "--", "x")).code == 0
    ended = await run("run", "@nobody", "--", "x")
    assert (ended.code, "no queue named 'nobody'" in ended.err) == (125, True)
    assert (await run("queue", "list", "--forget", "@lab")).code == 0
    assert (await run("queue", "list", "--forget", made["url"])).code == 125
    assert (await run("queue", "new", "--as", "a b")).code == 125


async def test_queue_new_and_status(hub: FakeHub, run: Run) -> None:
    made = await run("queue", "new", "--hub", hub.address)
    url = made.out.strip()
    assert url.startswith(f"{hub.address}/q/")
    assert f"  ASMAN_QUEUE={url} asman worker\n" in made.err
    assert f"  ASMAN_QUEUE={url} asman run -i alpine -- echo hello\n" in made.err
    assert json.loads((await run("queue", "new", "--json")).out)["url"].startswith("http://localhost:8000/q/")
    nobody = await run("queue", "status", hub.url)
    assert nobody.err == "this queue has no jobs and no workers: is its name right?\n"
    hub.workers = [m.WorkerState("w1", 1, "ready", name="laptop", cpus=4, executor="docker")]
    status = await run("queue", "status", hub.url)
    assert status.out.splitlines()[0] == "0 queued, 0 running, 0 finished"
    assert status.out.splitlines()[2].split()[:4] == ["laptop", "ready", "0", "0/4"]
    assert json.loads((await run("queue", "status", hub.url, "--json")).out)["workers"][0]["name"] == "laptop"
    assert status.err == ""


async def test_queue_status_shows_what_a_worker_remarks_about_itself(hub: FakeHub, run: Run) -> None:
    said = "2 workers on this machine offer 48 GiB of memory, and it has 24 GiB"
    hub.workers = [
        m.WorkerState("w1", 1, "ready", name="laptop", agent="asman-worker/1.0"),
        m.WorkerState("w2", 1, "ready", name="other", agent=f"asman-worker/1.0 ({said})"),
    ]
    assert (await run("queue", "status", hub.url)).err == f"worker 'other': {said}\n"


async def test_queue_status_invents_nothing_about_a_worker_that_has_not_come_back(hub: FakeHub, run: Run) -> None:
    hub.workers = [m.WorkerState("w1", 1, "away", name="laptop", jobs=1, remark="")]
    shown = (await run("queue", "status", hub.url)).out.splitlines()[-1]
    assert shown.split() == ["laptop", "away", "1", "?", "?", "?", "?"]
    hub.workers = [m.WorkerState("w1", 1, "ready", name="laptop", executor="docker", cpus=2, remark="it shares memory")]
    told = await run("queue", "status", hub.url)
    assert told.out.splitlines()[-1].split() == ["laptop", "ready", "0", "0/2", "0/0", "docker"]
    assert told.err == "worker 'laptop': it shares memory\n"


async def test_worker_list_shows_the_workers_of_a_queue(hub: FakeHub, run: Run) -> None:
    hub.workers = [m.WorkerState("w1", 1, "ready", name="laptop", executor="docker", cpus=2)]
    listed, shown = await run("worker", "list", hub.url), await run("queue", "status", hub.url)
    assert (listed.code, listed.out, listed.err) == (0, shown.out, shown.err)
    assert (await run("worker", "list", hub.url, "more")).code == 2


async def test_queue_retention_is_shown_and_set(hub: FakeHub, run: Run) -> None:
    def configure(visitor: Visitor, message: m.Configure) -> None:
        kept = message.retention or 7 * 86_400_000
        visitor.say(m.Configured(message.ref, kept, own=bool(message.retention)))

    hub.on[m.Configure] = configure
    assert (await run("queue", "retention", hub.url)).out == "7d (the hub's setting)\n"
    assert (await run("queue", "retention", hub.url, "--set", "30d")).out == "30d (set for this queue)\n"
    shown = await run("queue", "retention", hub.url, "--set", "default", "--json")
    assert json.loads(shown.out) == {"retention": 7 * 86_400_000, "own": False}
    assert [message.retention for message in hub.all_of(m.Configure)] == [None, 30 * 86_400_000, 0]
    wrong = await run("queue", "retention", hub.url, "--set", "soon")
    assert wrong.code != 0
    assert "'soon' is not a duration" in wrong.err


async def test_queue_add_gives_the_address_of_a_colleague_a_short_name(hub: FakeHub, run: Run) -> None:
    ended = await run("queue", "add", hub.url, "--as", "lab")
    assert (ended.code, ended.out) == (0, "")
    assert ended.err.startswith("@lab is a queue on ")
    assert (await run("queue", "status", "@lab")).code == 0
    other = "http://hub.example/q/~" + "a" * 52
    ended = await run("queue", "add", other, "--as", "lab")
    assert f"another queue had this name before: {hub.url}" in ended.err
    listed = json.loads((await run("queue", "list", "--json")).out)
    assert {each["url"]: each["name"] for each in listed} == {other: "lab", hub.url: ""}
    for words in (("hub.example", "--as", "x"), (other, "--as", "a b"), (other, "--as", "")):
        assert (await run("queue", "add", *words)).code == 125
    assert (await run("queue", "add", other)).code == 2


async def test_queue_new_is_on_the_hub_of_the_queue_that_is_set(
    hub: FakeHub, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ASMAN_QUEUE", hub.url)
    assert (await run("queue", "new")).out.startswith(f"{hub.address}/q/")
    assert (await run("queue", "new", "--hub", "http://other.example")).out.startswith("http://other.example/q/")
    monkeypatch.setenv("ASMAN_HUB", "http://hub.example")
    assert (await run("queue", "new")).out.startswith("http://hub.example/q/")


async def test_queue_new_says_which_queue_loses_its_short_name(hub: FakeHub, run: Run) -> None:
    await run("queue", "add", hub.url, "--as", "lab")
    made = await run("queue", "new", "--hub", hub.address, "--as", "lab")
    said = "another queue had the name @{} before: {}"
    assert made.err.startswith(said.format("lab", hub.url))
    again = await run("queue", "new", "--hub", hub.address, "--as", "lab", "--json")
    assert again.err.startswith(said.format("lab", made.out.strip()))
    assert "another queue" not in (await run("queue", "new", "--as", "fresh")).err


async def test_a_queue_is_deleted_only_after_a_yes_and_nobody_is_dialled_before_that(hub: FakeHub, run: Run) -> None:
    hub.on[m.DeleteQueue] = lambda visitor, seen: visitor.say(m.DeletedQueue(seen.ref, 3, 1))
    asked = await run("queue", "delete", "http://127.0.0.1:9/q/nobody")
    assert (asked.code, "Nobody can be asked here: add --yes" in asked.err) == (125, True)
    told = await run("queue", "delete", hub.url, "--yes")
    assert (told.code, told.err) == (0, "deleted the queue and 3 jobs; 1 worker was disconnected\n")
