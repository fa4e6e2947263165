"""The ``--json`` output of long-running commands, checked against their schemas."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from devtools.asman_processes import asman, asman_command, clean_environment
from devtools.ports import free_port
from tests.support.shapes import holds


@contextmanager
def staying(*words: str) -> Iterator[subprocess.Popen[str]]:
    """Runs a command during the block; SIGTERM must end it with exit code 0."""
    command = [*asman_command(), *words, "--json"]
    environment = clean_environment()
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, env=environment)
    try:
        yield process
    finally:
        process.terminate()
        rest, _ = process.communicate(timeout=60)
    assert (process.returncode, rest) == (0, "")


def value_of(process: subprocess.Popen[str]) -> Any:
    """Reads the next JSON value that a command writes."""
    assert process.stdout is not None
    text = ""
    for line in process.stdout:
        text += line
        try:
            return json.loads(text)
        except ValueError:
            continue
    raise AssertionError(f"it ended after {text!r}")


def test_a_hub_a_worker_and_a_watched_queue(tmp_path: Path) -> None:
    port = free_port()
    with staying("hub", "--port", str(port), "--data-dir", str(tmp_path / "hub")) as hub:
        told = value_of(hub)
        holds(told, "hub")
        assert told == {"hub": f"http://127.0.0.1:{port}"}
        queue = f"{told['hub']}/q/json"
        with staying(
            "worker", queue, "--executor", "process", "--data-dir", str(tmp_path / "w"), "--name", "n"
        ) as worker:
            taken = value_of(worker)
            holds(taken, "worker")
            assert (taken["name"], taken["executor"], taken["kept"]) == ("n", "process", 0)
            watching = subprocess.Popen(
                [*asman_command(), "queue", "watch", queue, "--json"], stdout=subprocess.PIPE, text=True,
                env=clean_environment(),
            )  # fmt: skip
            try:
                kinds: set[str] = set()
                while kinds != {"worker", "counts", "job"}:
                    change = value_of(watching)
                    holds(change, "queue watch")
                    if change["kind"] == "counts" and "counts" not in kinds:
                        assert asman("job", "add", queue, "-c", "true").returncode == 0
                    kinds.add(change["kind"])
            finally:
                watching.kill()
                watching.communicate()


def test_up_and_doctor(tmp_path: Path) -> None:
    port = str(free_port())
    words = ("--executor", "process", "--port", port, "--local-port", "0", "--data-dir", str(tmp_path))
    with staying("up", *words, "--queue", "json") as up:
        told = value_of(up)
        holds(told, "up")
        assert told["url"] == f"http://127.0.0.1:{port}/q/json"
        examined = asman("doctor", told["url"], "--executor", "process", "--data-dir", str(tmp_path / "w"), "--json")
        value = json.loads(examined.stdout)
        holds(value, "doctor")
        assert (examined.returncode, value["ok"]) == (0, True)
