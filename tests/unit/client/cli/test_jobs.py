"""Commands about complete jobs (standard input, links, copies), blobs, and the list of used queues."""

from __future__ import annotations

import hashlib
import io
import json
import stat
import sys
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from asman.cli.commands.queue_watch import line_of
from asman.cli.given import MOST_BYTES
from asman.cli.json_schemas import SHAPES, schema_of
from asman_shared import messages as m
from asman_shared.definition import DataRef, Definition
from asman_shared.job_url import encode_value, read_job_url
from asman_shared.states import Phase, Reason, State
from tests.support.shapes import holds
from tests.unit.client.fake_hub import FakeHub

from .test_main import Run, play, run

__all__ = ["run"]

Typed = Callable[[str], None]


@pytest.fixture
def typed(monkeypatch: pytest.MonkeyPatch) -> Typed:
    """Puts a text on standard input."""

    def put(text: str) -> None:
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(text.encode())))

    return put


@pytest.mark.parametrize(
    "text",
    [
        '{"image": "alpine", "command": ["echo", "1"], "env": {"A": "b"}}',
        "image: alpine\ncommand: [echo, '1']\nenv:\n  A: b\n",
        '{"definition": {"image": "alpine", "command": ["echo", "1"], "env": {"A": "b"}}, "priority": 7}',
        "priority: 7\ndefinition: {image: alpine, command: [echo, '1'], env: {A: b}}",
    ],
)
async def test_a_definition_from_standard_input(hub: FakeHub, run: Run, typed: Typed, text: str) -> None:
    typed(text)
    ended = await run("job", "add", hub.url, "-")
    assert (ended.code, ended.out.strip()) == (0, next(iter(hub.jobs)))
    (seen,) = hub.all_of(m.Submit)
    assert seen.definition == Definition(image="alpine", command=["echo", "1"], env={"A": "b"})
    assert seen.priority == (7 if "definition" in text else 0)


async def test_options_go_before_standard_input_and_the_environment_behind_it(
    hub: FakeHub, run: Run, typed: Typed, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ASMAN_QUEUE", hub.url)
    monkeypatch.setenv("ASMAN_IMAGE", "busybox")
    typed('{"definition": {"image": "alpine", "command": "x"}, "priority": 7, "timeout": "1m"}')
    assert (await run("job", "add", "-", "-c", "y", "--priority", "9")).code == 0
    (seen,) = hub.all_of(m.Submit)
    assert (seen.definition.image, seen.definition.command) == ("alpine", "y")
    assert (seen.priority, seen.time_limit) == (9, 60_000)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("{", "not valid JSON"),
        ("a: [", "neither JSON nor YAML"),
        ("[1]", "must be an object"),
        ('{"imge": "x"}', "imge"),
        ('{"definition": {}, "prio": 1}', "'prio'"),
        ('{"definition": 3}', "not an object"),
        (" " * (MOST_BYTES + 1), "larger than 4 MiB"),
    ],
    ids=range(7),
)
async def test_standard_input_that_can_not_be_read(hub: FakeHub, run: Run, typed: Typed, text: str, says: str) -> None:
    typed(text)
    ended = await run("job", "add", hub.url, "-")
    assert ended.code == 125
    assert says in ended.err
    assert "Traceback" not in ended.err


async def test_limits_and_builds_are_said_by_options(hub: FakeHub, run: Run, tmp_path: Path) -> None:
    play(hub)
    (tmp_path / "Dockerfile").write_text("FROM alpine")
    options = ["--timeout", "20m", "--queue-timeout", "1h", "--phase-timeout", "pulling=10m", "--max-attempts", "1"]
    ended = await run(
        "run",
        hub.url,
        *options,
        "--dockerfile",
        str(tmp_path / "Dockerfile"),
        "--build-arg",
        "A=1",
        "-w",
        "/w",
        "--",
        "x",
    )
    assert ended.code == 0
    (seen,) = hub.all_of(m.Submit)
    assert (seen.time_limit, seen.queue_limit, seen.max_attempts) == (1_200_000, 3_600_000, 1)
    assert seen.phase_limits == {Phase.PULLING: 600_000}
    assert seen.definition.build is not None
    assert (seen.definition.build.dockerfile, seen.definition.build.build_args) == ("FROM alpine", ["A=1"])
    assert (await run("run", hub.url, "--git", "https://g/x.git#v1", "--dockerfile", "d/File", "--", "x")).code == 0
    build = hub.all_of(m.Submit)[1].definition.build
    assert build is not None
    assert (build.context, build.filename, build.dockerfile) == ("https://g/x.git#v1", "d/File", None)


async def test_a_folder_is_packed_sent_and_built(hub: FakeHub, run: Run, tmp_path: Path) -> None:
    play(hub)
    (tmp_path / "tool" / "d").mkdir(parents=True)
    (tmp_path / "tool" / "d" / "File").write_text("FROM alpine")
    words = ["--build", str(tmp_path / "tool"), "--dockerfile", "d/File", "--build-arg", "A=1"]
    assert (await run("run", hub.url, *words, "--", "x")).code == 0
    build = hub.all_of(m.Submit)[0].definition.build
    assert build is not None
    assert (build.filename, build.build_args, build.dockerfile) == ("d/File", ["A=1"], None)
    assert build.context is not None
    with tarfile.open(fileobj=io.BytesIO(hub.blobs[build.context.removeprefix("key:")])) as packed:
        assert "d/File" in packed.getnames()
    ended = await run("run", hub.url, "--build", str(tmp_path / "tool"), "--", "x")
    assert (ended.code, f"there is no file '{tmp_path}/tool/Dockerfile'" in ended.err) == (125, True)


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["--phase-timeout", "pulling"], "pulling=10m"),
        (["--phase-timeout", "napping=10m"], "unknown phase"),
        (["--build-arg", "A=1"], "--git, --build or --dockerfile"),
        (["--build", ".", "--git", "https://g/x.git"], "one place"),
        (["--build", "/no/such/folder"], "/no/such/folder"),
        (["--dockerfile", "/no/such/file"], "/no/such/file"),
        (["--file", "/no/such/file"], "/no/such/file"),
        (["--timeout", "20"], "not a duration"),
        (["--reuse", "maybe"], "--reuse"),
    ],
)
async def test_wrong_options_are_told_in_a_sentence(hub: FakeHub, run: Run, words: list[str], says: str) -> None:
    for command in (["run", hub.url, *words, "--", "x"], ["job", "add", hub.url, *words]):
        ended = await run(*command)
        assert ended.code == 125
        assert says in ended.err
        assert "Traceback" not in ended.err
    assert hub.jobs == {}


async def test_a_job_s_link_holds_all_of_it_and_runs(hub: FakeHub, run: Run) -> None:
    play(hub)
    await run("run", hub.url, "-i", "alpine", "-e", "A=b c", "--", "echo", "ü")
    (job,) = hub.jobs
    link = (await run("job", "url", hub.url, job[:8])).out.strip()
    found = read_job_url(link)
    assert (found.definition, found.hub, found.queue) == (hub.jobs[job].definition, hub.address, "test-queue")
    ended = await run("run", link)
    assert (ended.code, ended.out) == (0, "one\n")
    assert ended.err.startswith("cached, not run again:")
    assert "queue=" not in (await run("job", "url", hub.url, job, "--no-queue")).out
    value = json.loads((await run("job", "url", hub.url, job, "--json")).out)
    assert value == {"id": job, "url": link}


async def test_links_of_pages_run_with_what_they_say(hub: FakeHub, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    play(hub)
    job = encode_value({"command": "run ${what}", "image": "alpine"})
    control = encode_value({"namespace": "doc-1"})
    monkeypatch.setenv("ASMAN_QUEUE", hub.url)
    link = f"{hub.address}/#?job={job}&what=it&control={control}&maxJobDuration=5m"
    assert (await run("run", link, "-e", "B=2")).code == 0
    (seen,) = hub.all_of(m.Submit)
    assert seen.definition == Definition(command="run it", image="alpine", env={"what": "it", "B": "2"})
    assert (seen.namespace, seen.time_limit) == ("doc-1", 300_000)
    ended = await run("run", f"{hub.address}/#?queue=x")
    assert (ended.code, "holds no job" in ended.err) == (125, True)


async def test_a_link_from_a_definition_on_standard_input(hub: FakeHub, run: Run, typed: Typed) -> None:
    typed("image: alpine\ncommand: x")
    ended = await run("job", "url", hub.url, "-")
    assert read_job_url(ended.out.strip()).definition == Definition(image="alpine", command="x")
    assert hub.seen == []


async def test_a_copy_takes_its_files_and_what_it_is_built_of_to_another_hub(
    hub: FakeHub, run: Run, typed: Typed, tmp_path: Path
) -> None:
    from tests.unit.client.fake_hub import blob_store

    (tmp_path / "big.bin").write_bytes(b"x" * 10_000)
    (tmp_path / "context").write_bytes(b"an archive" * 1000)
    keys = {hashlib.sha256(data).hexdigest() for data in (b"x" * 10_000, b"an archive" * 1000)}
    context = (await run("blob", "put", hub.url, str(tmp_path / "context"))).out.strip()
    typed(json.dumps({"build": {"context": f"key:{context}"}}))
    await run("job", "add", hub.url, "-", "-f", str(tmp_path / "big.bin"))
    (job,) = hub.jobs
    other = FakeHub()
    await other.listen()
    async with blob_store(other):
        ended = await run("job", "copy", hub.url, job, "--to", other.url)
        assert (ended.code, ended.out.strip()) == (0, job)
        assert other.jobs[job].definition == hub.jobs[job].definition
        assert set(other.blobs) == keys
        fetched = len(hub.downloads)
        assert (await run("job", "copy", hub.url, job, "--to", other.url)).code == 0
        assert len(hub.downloads) == fetched == 2, "what is there is not carried again"
    await other.stop()


async def test_blobs_go_in_and_come_out(hub: FakeHub, run: Run, tmp_path: Path) -> None:
    (tmp_path / "a.bin").write_bytes(b"y" * 5000)
    key = hashlib.sha256(b"y" * 5000).hexdigest()
    ended = await run("blob", "put", hub.url, str(tmp_path / "a.bin"))
    assert (ended.code, ended.out) == (0, f"{key}\n")
    value = json.loads((await run("blob", "put", hub.url, str(tmp_path / "a.bin"), "--json")).out)
    assert value == {"sha256": key, "size": 5000, "ref": {"type": "key", "value": key}}
    assert (await run("blob", "get", hub.url, key, "-o", str(tmp_path / "b.bin"))).code == 0
    assert (tmp_path / "b.bin").read_bytes() == b"y" * 5000
    missing = await run("blob", "get", hub.url, "0" * 64, "-o", str(tmp_path / "c.bin"))
    assert (missing.code, "no longer stored" in missing.err) == (125, True)
    assert (await run("blob", "get", hub.url, "what")).code == 125
    assert (await run("blob", "put", hub.url, str(tmp_path / "none"))).code == 125
    assert DataRef(key, "key") is not None


async def test_a_list_shows_what_is_asked_for(hub: FakeHub, run: Run) -> None:
    play(hub)
    for image, word in (("alpine", "a"), ("busybox", "b"), ("alpine", "c")):
        await run("run", hub.url, "-q", "-i", image, "--", "echo", word)
    for kept in hub.jobs.values():
        command = kept.definition.command
        assert command is not None
        kept.state.summary = m.Summary(image=kept.definition.image or "", command=" ".join(command), tags=("t",))
    failed = next(iter(hub.jobs))
    hub.finish(failed, 1, Reason.FAILED)

    async def listed(*words: str) -> list[str]:
        value = json.loads((await run("job", "list", hub.url, "--json", *words)).out)
        return [each["summary"]["command"][-1] for each in value]

    hub.jobs[failed].state.summary = m.Summary(image="alpine", command="echo a", tags=("t",))
    assert await listed() == ["c", "b", "a"]
    assert await listed("--image", "alp") == ["c", "a"]
    assert await listed("--grep", "b") == ["b"]
    assert await listed("--state", "failed") == ["a"]
    assert await listed("--state", "finished", "--limit", "1") == ["c"]
    assert await listed("--tag", "t", "--since", "5m") == []
    assert await listed("--worker", "w") == []
    ended = await run("job", "list", hub.url, "--state", "sleeping")
    assert (ended.code, "neither a state nor a reason" in ended.err) == (125, True)


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
    hub.workers = [m.WorkerState("w", 1, "ready", cpus=2)]
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
        ("queue", "list", "--json"),
        ("queue", "status", hub.url, "--json"),
        ("queue", "retention", hub.url, "--json"),
        ("blob", "put", hub.url, str(tmp_path / "f"), "--json"),
        ("blob", "get", hub.url, key, "-o", str(tmp_path / "g"), "--json"),
        ("job", "delete", hub.url, job, "--json"),
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
    assert named == set(SHAPES) - {"queue watch", "up", "hub", "worker", "doctor"}  # they are in the integration tests
    ended = await run("schema", "job", "sing")
    assert (ended.code, "no schema for 'job sing'" in ended.err) == (125, True)


async def test_a_watched_queue_is_a_line_a_change_where_there_is_no_terminal(hub: FakeHub) -> None:
    state = m.JobState("a" * 64, 1, State.QUEUED)
    assert line_of(state, json=False) == "job     aaaaaaaaaaaa  Queued"
    worker = m.WorkerState("w", 1, "ready")
    for change in (state, worker, m.Counts(1, 2, 3, 4)):
        holds(json.loads(line_of(change, json=True)), "queue watch")
    value: Any = json.loads(line_of(m.Counts(1, 2, 3, 4), json=True))
    assert value == {"kind": "counts", "counts": {"queued": 1, "running": 2, "finished": 3, "workers": 4}}
