"""The examples of the README and of pages in docs do what stands beside them, with real hub, worker and containers."""

from __future__ import annotations

import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from devtools import base_image, docker_api
from devtools.asman_processes import HubProcess, asman_processes, clean_environment
from devtools.engine import Engine
from devtools.patience import PATIENCE
from devtools.ports import free_port
from tests.support.notebook import run_notebook
from tests.support.python_image import ensure_python
from tests.support.tls_door import make_certificates

ROOT = Path(__file__).parents[2]
QUEUE = "docs"
_FENCE = re.compile(r"^```([a-z ]+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_SECONDS = 300


@dataclass(frozen=True)
class Example:
    """A block of a page, and the text that stands behind it as its output."""

    page: str
    kind: str
    text: str
    output: str | None


def examples(page: str) -> list[Example]:
    blocks = _FENCE.findall((ROOT / page).read_text())
    return [
        Example(page, kind, text, blocks[at + 1][1] if at + 1 < len(blocks) and blocks[at + 1][0] == "text" else None)
        for at, (kind, text) in enumerate(blocks)
        if kind != "text"
    ]


def fits(shown: str, expected: str) -> bool:
    """Whether an output is what a page shows: ``…`` stands for anything, and numbers and times may be others."""
    pattern = re.escape(_even(expected)).replace("…", ".*")
    return re.fullmatch(pattern, _even(shown), re.DOTALL) is not None


def _even(text: str) -> str:
    """The text with what differs from one run to the next made the same."""
    for what, instead in (
        (r"127\.0\.0\.1:\d+", "<hub>"),
        (r"\b\d{13}\b", "<time>"),
        (r"\b\d+\.\d+\.\d+\b", "<event>"),
        (r'(?<=":)\d+', "<number>"),
    ):
        text = re.sub(what, instead, text)
    return text.strip()


def test_outputs_are_compared() -> None:
    assert fits('{"a":"0f0f0f0f17","n":17} at 127.0.0.1:99/x', '{"a":"0f0f0f0f…","n":5} at 127.0.0.1:8000/x')
    assert not fits('{"a":"0f0f0f0f17"}', '{"a":"1234abcd…"}'), "ids are those that the commands give"
    assert fits("one two", "one…")
    assert not fits("one", "two")


@pytest.fixture(scope="module")
def hub(engine: Engine) -> Iterator[HubProcess]:
    for name in ("alpine:latest", "alpine:3"):
        base_image.ensure(engine.host, name)
    python = ensure_python(engine)
    repository, _, tag = "python:3.11".rpartition(":")
    if not docker_api.has_image(engine.host, "python:3.11"):
        docker_api.call(engine.host, "POST", f"/images/{python}/tag", repo=repository, tag=tag)
    with tempfile.TemporaryDirectory() as folder, asman_processes(Path(folder)) as started:
        made = ("--local-images", "alpine", "--local-images", "python")
        yield started.hub("--queue", QUEUE, "--cpus", "8", "--drain-timeout", "0.1s", *made, command="up")


@pytest.fixture
def environment(hub: HubProcess) -> dict[str, str]:
    made = clean_environment({"ASMAN_QUEUE": hub.queue(QUEUE), "PYTHONPATH": ""})
    made["PATH"] = f"{Path(sys.executable).parent}:{made['PATH']}"
    return made


@pytest.mark.parametrize("example", [each for page in ("README.md", "docs/python.md") for each in examples(page)
                                     if each.kind == "python"], ids=lambda each: each.page)  # fmt: skip
def test_a_script_does_what_stands_beside_it(example: Example, environment: dict[str, str], tmp_path: Path) -> None:
    script = tmp_path / "example.py"
    script.write_text(example.text)
    ended = subprocess.run(
        [sys.executable, script], capture_output=True, text=True, env=environment, cwd=tmp_path, timeout=_SECONDS
    )
    assert ended.returncode == 0, ended.stderr
    assert example.output is not None
    assert fits(ended.stdout, example.output), ended.stdout


@pytest.mark.parametrize("page", ["README.md", "docs/http.md", "docs/inputs.md", "docs/ci.md"])
def test_the_commands_of_a_page_do_what_stands_below_them(
    page: str, hub: HubProcess, environment: dict[str, str], tmp_path: Path
) -> None:
    blocks = [each.text for each in examples(page) if each.kind == "console"]
    assert len(blocks) >= 3
    script = ["exec 2>&1"]
    expected: list[tuple[str, str]] = []
    for block in blocks:
        for part in re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]:
            command, output = _split(part)
            script += [f"{command}", 'code=$?; printf "\\n=%s=\\n" end; (exit $code)']
            expected.append((command, output))
    text = "\n".join(script).replace("http://localhost:8000/q/my-queue", hub.queue(QUEUE))
    ended = subprocess.run(
        ["bash", "-c", text], capture_output=True, text=True, env=environment, cwd=tmp_path, timeout=_SECONDS
    )
    shown = ended.stdout.split("\n=end=\n")
    assert len(shown) == len(expected) + 1, ended.stdout
    for (command, output), found in zip(expected, shown[:-1], strict=True):
        if not re.match(r"[A-Z]=", command):
            assert fits(found, output), f"{command}\nshowed:\n{found}\nand not:\n{output}"


def _split(part: str) -> tuple[str, str]:
    """A command, which may have several lines while a quote is open, and what stands below it."""
    lines = part.splitlines()
    for count in range(1, len(lines) + 1):
        command = "\n".join(lines[:count])
        if subprocess.run(["bash", "-n", "-c", command], capture_output=True).returncode == 0:
            return command, "\n".join(lines[count:])
    return part, ""


def test_the_cells_of_a_notebook_show_what_stands_below_them(environment: dict[str, str], tmp_path: Path) -> None:
    blocks = [each for each in examples("docs/notebooks.md") if each.kind == "python"]
    assert len(blocks) >= 5
    shown = run_notebook([each.text for each in blocks], environment, tmp_path)
    for block, outputs in zip(blocks, shown, strict=True):
        text = "\n".join(output.plain for output in outputs)
        assert fits(text, block.output or ""), f"{block.text}\nshowed:\n{text}\nand not:\n{block.output}"


def test_the_tests_of_a_page_pass(environment: dict[str, str], tmp_path: Path) -> None:
    for each in examples("docs/pytest.md"):
        if each.kind == "python":
            name = re.match(r"# (\w+\.py)\n", each.text)
            assert name, "the first line of an example names its file"
            (tmp_path / name[1]).write_text(each.text)
    commands = [each.text for each in examples("docs/pytest.md") if each.kind == "console"]
    assert len(commands) >= 2
    for block in commands:
        command, output = _split(block.removeprefix("$ "))
        ended = subprocess.run(
            ["bash", "-c", command], capture_output=True, text=True, env=environment, cwd=tmp_path, timeout=_SECONDS
        )
        assert fits(ended.stdout, output), ended.stdout + ended.stderr
    del environment["ASMAN_QUEUE"]
    without = subprocess.run(
        ["pytest", "-q", "test_tool.py"],
        capture_output=True,
        text=True,
        env=environment,
        cwd=tmp_path,
        timeout=_SECONDS,
    )
    assert "2 skipped" in without.stdout


def test_a_worker_is_shared_by_the_command_of_the_readme(
    hub: HubProcess, environment: dict[str, str], tmp_path: Path
) -> None:
    (block,) = [each.text for each in examples("README.md") if each.kind == "console background"]
    command = block.removeprefix("$ ").strip()
    with (tmp_path / "log").open("w") as log:
        worker = subprocess.Popen(["bash", "-c", f"exec {command}"], env=environment, cwd=tmp_path, stderr=log)
    try:
        with subprocess.Popen(
            [*Path(sys.executable).parent.glob("asman"), "queue", "watch", hub.queue(QUEUE), "--json"],
            stdout=subprocess.PIPE, text=True, env=environment,
        ) as watching:  # fmt: skip
            assert watching.stdout is not None
            ready = _until_two(iter(watching.stdout))
            watching.terminate()
        assert len(ready) == 2
    finally:
        worker.terminate()
        assert worker.wait(30) == 0


def test_a_team_is_set_up_as_its_page_says(hub: HubProcess, environment: dict[str, str], tmp_path: Path) -> None:
    del hub  # it has made the images
    make_certificates(tmp_path)
    for name, made in (("tls.pem", "hub.pem"), ("tls.key", "hub.key")):
        (tmp_path / name).write_bytes((tmp_path / made).read_bytes())
    own = {
        "HOME": str(tmp_path),
        "XDG_DATA_HOME": str(tmp_path / "data"),
        "ASMAN_CONFIG_HOME": str(tmp_path / "own-names"),
    }
    environment |= {**own, "SSL_CERT_FILE": str(tmp_path / "ca.pem"), "ASMAN_WORKER_LOCAL_IMAGES": "alpine"}
    del environment["ASMAN_QUEUE"]
    host = f"localhost:{free_port()}"
    started: dict[str, subprocess.Popen[bytes]] = {}
    before = "exec 2>&1\n"

    def named(text: str) -> str:
        return text.replace("hub.example:8443", host).replace("--port 8443", f"--port {host.rpartition(':')[2]}")

    try:
        for each in examples("docs/team.md"):
            if each.kind == "console background":
                command = named(each.text).removeprefix("$ ").strip()
                name = next((word for word in ("ada", "bob") if f"--name {word} " in command), "hub")
                log = tmp_path / f"{name}.log"
                with log.open("wb") as out:
                    started[name] = subprocess.Popen(
                        ["bash", "-c", f"exec {command}"], env=environment, cwd=tmp_path, stdout=out, stderr=out
                    )
                _until_said(log, "hub listening" if name == "hub" else "registered at", started[name])
                continue
            if each.kind == "console lost":
                started["ada"].kill()
            for part in re.split(r"^\$ ", each.text, flags=re.MULTILINE)[1:]:
                command, output = _split(part)
                if "()" in command:
                    before += f"{command}\n"
                    continue
                ended = subprocess.run(
                    ["bash", "-c", before + named(command)],
                    capture_output=True, text=True, env=environment, cwd=tmp_path, timeout=_SECONDS,
                )  # fmt: skip
                assert fits(ended.stdout, named(output)), f"{command}\nshowed:\n{ended.stdout}\nand not:\n{output}"
    finally:
        for process in started.values():
            process.terminate()
        for process in started.values():
            process.wait(60)
    assert list(started) == ["hub", "ada", "bob"]


def _until_said(log: Path, words: str, process: subprocess.Popen[bytes]) -> None:
    """Waits until a process has written some words."""
    until = time.monotonic() + PATIENCE
    while words not in log.read_text(errors="replace"):
        assert process.poll() is None, log.read_text(errors="replace")
        assert time.monotonic() < until, log.read_text(errors="replace")
        time.sleep(0.05)


def _until_two(lines: Iterator[str]) -> set[str]:
    import json

    seen: set[str] = set()
    for line in lines:
        value = json.loads(line)
        if value["kind"] == "worker" and value["worker"]["state"] == "ready":
            seen.add(value["worker"]["id"])
        if len(seen) == 2:
            break
    return seen
