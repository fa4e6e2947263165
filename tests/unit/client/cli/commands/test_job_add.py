"""Jobs that are submitted whole: from options, from standard input, and built of a folder."""

from __future__ import annotations

import io
import tarfile
from pathlib import Path

import pytest

from asman.cli.given import MOST_BYTES
from asman_shared import messages as m
from asman_shared.definition import DataRef, Definition
from asman_shared.states import Phase
from tests.unit.client.cli.running import Run, Typed, play
from tests.unit.client.fake_hub import FakeHub


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
    for command in (["run", hub.url, *words, "--", "x"], ["job", "add", hub.url, "-c", "x", *words]):
        ended = await run(*command)
        assert ended.code == (2 if words[0] in ("--timeout", "--reuse", "--phase-timeout") else 125)
        assert says in ended.err
        assert "Traceback" not in ended.err
    assert hub.jobs == {}


async def test_job_add_with_files_waits_and_saves(hub: FakeHub, run: Run, tmp_path: Path) -> None:
    play(hub)
    (tmp_path / "README.md").write_text("read me")
    (tmp_path / "other").write_text("renamed")
    ended = await run(
        *("job", "add", hub.url, "--file", str(tmp_path / "README.md"), "--file", f"new={tmp_path / 'other'}"),
        *("-c", 'sh -c "x"', "--wait", "-o", str(tmp_path / "out"), "--keep", "*.txt", "--keep", "plots"),
    )
    assert (ended.code, ended.out) == (0, "one\n")
    (seen,) = hub.all_of(m.Submit)
    assert seen.definition.outputs == ["*.txt", "plots"]
    assert seen.definition.command == 'sh -c "x"'
    assert seen.definition.inputs == {"README.md": DataRef("read me", "utf8"), "new": DataRef("renamed", "utf8")}
    assert (tmp_path / "out" / "made.txt").read_text() == "made"


async def test_job_add_alone_prints_the_id(hub: FakeHub, run: Run) -> None:
    ended = await run("job", "add", hub.url, "-c", "x")
    assert ended.out == f"{next(iter(hub.jobs))}\n"


async def test_a_command_in_the_place_of_a_queue_is_told_where_it_goes(
    hub: FakeHub, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    for words in (("--", "sleep", "101"), (hub.url, "--", "sleep", "101")):
        ended = await run("job", "add", "-i", "alpine", *words)
        assert (ended.code, hub.seen) == (2, [])
        said = " ".join(ended.err.split())
        assert "'sleep' is not the address of a queue" in said
        assert "-c 'sleep 101', or use 'asman run'" in said
    monkeypatch.setenv("ASMAN_QUEUE", hub.url)
    ended = await run("job", "add", "-i", "alpine", "--", "date")
    assert (ended.code, "write it as -c date" in " ".join(ended.err.split())) == (2, True)
    assert (await run("job", "add", "-i", "alpine", "-c", "date")).code == 0
