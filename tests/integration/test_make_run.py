"""What `make run` does after setting up: a real example job, shown, and nothing left running."""

from __future__ import annotations

import re
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from devtools.asman_processes import clean_environment
from devtools.engine import Engine
from devtools.ports import free_port
from scripts.run import choose_port

ROOT = Path(__file__).resolve().parents[2]


def _run_once(**environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "scripts.run"],
        cwd=ROOT,
        env=clean_environment({"ONCE": "1", **environment}),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )


def _still_listening(port: int) -> bool:
    listening = "0A"
    lines = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    return any(line[1].endswith(f":{port:04X}") and line[3] == listening for line in lines)


@pytest.mark.parametrize("executor", ["docker", "process"])
def test_runs_the_example_and_leaves_nothing(engine: Engine, executor: str) -> None:
    port = free_port()
    host = engine.host if executor == "docker" else "unix:///no/engine.sock"
    done = _run_once(PORT=str(port), DOCKER_HOST=host)
    assert done.returncode == 0, done.stdout + done.stderr
    assert ("plain processes" in done.stdout) == (executor == "process")
    assert re.search(r"^ +8 a$", done.stdout, re.MULTILINE)
    job = re.search(r"^==> Job: +([0-9a-f]{64})$", done.stdout, re.MULTILINE)
    assert job
    assert re.search(rf"http://127\.0\.0\.1:{port}/j/{job[1]}~[0-9a-f]{{32}}\n", done.stdout)
    assert re.search(rf"^==> Page: +http://127\.0\.0\.1:{port}/#\?queue=\w+$", done.stdout, re.MULTILINE)
    assert not _still_listening(port)


def test_says_that_a_port_is_taken(engine: Engine) -> None:
    del engine  # only so that none is started for this
    done = _run_once(PORT="99999")
    assert done.returncode == 1
    assert done.stderr == "error: PORT=99999 is not a port that is free here\n"


def test_an_interrupt_ends_it_cleanly(tmp_path: Path) -> None:
    port = free_port()
    environment = clean_environment(
        {"PORT": str(port), "DOCKER_HOST": "unix:///no/engine.sock", "ONCE": "", "DATA": str(tmp_path)}
    )
    with subprocess.Popen(
        [sys.executable, "-m", "scripts.run"],
        cwd=ROOT,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        text=True,
    ) as running:
        assert running.stdout is not None
        told: list[str] = []
        for line in running.stdout:
            told.append(line)
            if "Staying up" in line:
                break
        running.terminate()
        assert running.stdout.read().splitlines() == ["==> Stopped."]
        assert running.wait(30) == 0
    assert not _still_listening(port)
    assert re.match(
        rf"==> Try:   ASMAN_QUEUE=http://127\.0\.0\.1:{port}/q/\w+ \S*bin/asman run -- echo hello$", told[-2]
    )
    assert (tmp_path / "port").read_text() == f"{port}\n"


def test_the_next_run_has_the_port_of_the_last_and_says_when_it_is_taken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("PORT", raising=False)
    port = free_port()
    (tmp_path / "port").write_text(f"{port}\n")
    assert choose_port(tmp_path) == port
    assert capsys.readouterr().out == ""
    with socket.create_server(("127.0.0.1", port)):
        other = choose_port(tmp_path)
    assert other != port
    assert capsys.readouterr().out == (
        f"==> Port {port} is in use: the hub gets port {other}, and links to port {port}, of the last run, don't work "
        "with it (PORT=n names another)\n"
    )
    for text in ("", "0", "x", "9" * 5000):
        (tmp_path / "port").write_text(text)
        assert choose_port(tmp_path) in range(8000, 8100)
