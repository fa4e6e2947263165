"""Queues from the command line: new ones, known ones, their status and retention."""

from __future__ import annotations

import json
import stat
from pathlib import Path

from asman_shared import messages as m
from tests.unit.client.cli.running import Run, play
from tests.unit.client.fake_hub import FakeHub, Visitor


async def test_the_queues_that_were_used_are_known_and_secret(hub: FakeHub, run: Run, tmp_path: Path) -> None:
    made = json.loads((await run("queue", "new", "--hub", hub.address, "--as", "lab", "--json")).out)
    assert made["worker"] == f"asman worker {made['url']}"
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
    assert f"asman worker {url}" in made.err
    assert json.loads((await run("queue", "new", "--json")).out)["url"].startswith("http://localhost:8000/q/")
    hub.workers = [m.WorkerState("w1", 1, "ready", name="laptop", cpus=4, executor="docker")]
    status = await run("queue", "status", hub.url)
    assert status.out.splitlines()[0] == "0 queued, 0 running, 0 finished"
    assert status.out.splitlines()[2].split()[:4] == ["laptop", "ready", "0", "0/4"]
    assert json.loads((await run("queue", "status", hub.url, "--json")).out)["workers"][0]["name"] == "laptop"


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
