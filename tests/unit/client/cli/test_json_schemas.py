"""The published schemas of --json output."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

from asman.cli.json_schemas import SHAPES, schema_of
from asman_shared import messages as m
from asman_shared.states import Phase, State
from tests.support.shapes import holds
from tests.unit.client.cli.running import Run, play
from tests.unit.client.fake_hub import FakeHub


async def test_what_is_written_as_json_is_what_its_schema_says(hub: FakeHub, run: Run, tmp_path: Path) -> None:
    play(hub, 3)
    (tmp_path / "f").write_bytes(b"y" * 5000)
    job = json.loads((await run("run", hub.url, "-i", "alpine", "--json", "--", "x")).out)["id"]
    hub.on[m.Explain] = lambda visitor, seen: visitor.say(
        m.Explanation(seen.ref, seen.job, State.FINISHED, "it failed")
    )
    hub.on[m.Summarise] = lambda visitor, seen: visitor.say(
        m.JobSummary(seen.ref, hub.jobs[job].state, phase=Phase.RUNNING, last=hub.jobs[job].lines, lines=2)
    )
    hub.on[m.Configure] = lambda visitor, seen: visitor.say(m.Configured(seen.ref, 60_000, own=True))
    hub.on[m.Keep] = lambda visitor, seen: visitor.say(m.Keeping(seen.ref, hub.jobs[job].state))
    hub.on[m.Purge] = lambda visitor, seen: visitor.say(m.Purged(seen.ref, 1))
    hub.on[m.DeleteQueue] = lambda visitor, seen: visitor.say(m.DeletedQueue(seen.ref, 3, 1))
    hub.workers = [m.WorkerState("w", 1, "ready", cpus=2)]
    hub.on[m.Dismiss] = lambda visitor, seen: visitor.say(m.WorkerPage(seen.ref, hub.workers))
    key = hashlib.sha256(b"y" * 5000).hexdigest()
    commands: list[tuple[str, ...]] = [
        ("run", hub.url, "-i", "alpine", "-o", str(tmp_path / "out"), "--json", "--", "y"),
        ("job", "add", hub.url, "-i", "alpine", "--json"),
        ("job", "copy", hub.url, job, "--to", hub.url, "--json"),
        ("job", "show", hub.url, job, "--json"),
        ("job", "wait", hub.url, job, "--json"),
        ("job", "result", hub.url, job, "--json"),
        ("job", "cancel", hub.url, job, "--json"),
        ("job", "list", hub.url, "--json"),
        ("job", "outputs", hub.url, job, "--json"),
        ("job", "logs", hub.url, job, "--json"),
        ("job", "summary", hub.url, job, "--json"),
        ("job", "explain", hub.url, job, "--json"),
        ("job", "url", hub.url, job, "--json"),
        ("queue", "new", "--json"),
        ("queue", "add", hub.url, "--as", "mine", "--json"),
        ("queue", "list", "--json"),
        ("queue", "status", hub.url, "--json"),
        ("queue", "keys", hub.url, "--json"),
        ("queue", "retention", hub.url, "--json"),
        ("queue", "pause", hub.url, "--json"),
        ("queue", "resume", hub.url, "--json"),
        ("queue", "drain", hub.url, "w", "--json"),
        ("queue", "purge", hub.url, "--yes", "--json"),
        ("job", "keep", hub.url, job, "--json"),
        ("blob", "put", hub.url, str(tmp_path / "f"), "--json"),
        ("blob", "get", hub.url, key, "-o", str(tmp_path / "g"), "--json"),
        ("job", "delete", hub.url, job, "--json"),
        ("queue", "delete", hub.url, "--yes", "--json"),
    ]
    for words in commands:
        name = "run" if words[0] == "run" else " ".join(words[:2])
        assert json.loads((await run("schema", *name.split())).out) == json.loads(json.dumps(schema_of(name)))
        out = (await run(*words)).out
        values = map(json.loads, out.splitlines()) if name == "job logs" else [json.loads(out)]
        for value in values:
            assert value, name
            holds(value, name)
    named = {"run" if words[0] == "run" else " ".join(words[:2]) for words in commands}
    elsewhere = {"job retry", "queue watch", "up", "hub", "worker", "doctor", "backup", "restore", "check", "move"}
    assert named == set(SHAPES) - elsewhere  # they are in the integration tests
    ended = await run("schema", "job", "sing")
    assert (ended.code, "no schema for 'job sing'" in ended.err) == (125, True)
