"""A hub of which the first address does not answer is reached by the second, at every door of the command line."""

from __future__ import annotations

import os
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from asman.cli.http_query import SECONDS
from devtools.asman_processes import AsmanProcesses, HubProcess, asman, asman_processes

PATIENCE = 60
SILENT = "127.0.0.2"
BODY = os.urandom(200_000)
LOOKED_UP = f"""
import socket
usual = socket.getaddrinfo
def found(host, port, *args, **more):
    if host not in ("hub.test", b"hub.test"):
        return usual(host, port, *args, **more)
    return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (each, int(port))) for each in ("{SILENT}", "127.0.0.1")]
socket.getaddrinfo = found
"""
"""Python reads it at its start: the name of the hub has two addresses."""


@pytest.fixture
def processes(tmp_path: Path) -> Iterator[AsmanProcesses]:
    with asman_processes(tmp_path) as started:
        yield started


@pytest.fixture
def hub(processes: AsmanProcesses) -> Iterator[HubProcess]:
    hub = processes.hub()
    with socket.socket() as listening:
        listening.bind((SILENT, hub.port))
        listening.listen(0)
        waiting = [socket.socket() for _ in range(3)]  # they fill its queue
        for each in waiting:
            each.setblocking(False)
            each.connect_ex((SILENT, hub.port))
        yield hub
        for each in waiting:
            each.close()


def test_files_questions_and_doctor_find_a_hub_whose_first_address_does_not_answer(
    hub: HubProcess, tmp_path: Path
) -> None:
    (tmp_path / "sitecustomize.py").write_text(LOOKED_UP)
    queue = f"http://hub.test:{hub.port}/q/two"

    def said(*words: str, seconds: float = PATIENCE) -> subprocess.CompletedProcess[str]:
        return asman(*words, seconds=seconds, environment={"PYTHONPATH": str(tmp_path), "NO_PROXY": "*"})

    (tmp_path / "sent").write_bytes(BODY)
    put = said("blob", "put", queue, str(tmp_path / "sent"))
    assert put.returncode == 0, put.stderr
    got = said("blob", "get", queue, put.stdout.strip(), "-o", str(tmp_path / "got"))
    assert got.returncode == 0, got.stderr
    assert (tmp_path / "got").read_bytes() == BODY
    listed = said("job", "list", queue, "--json", seconds=SECONDS - 2)  # each address alone would take as long
    assert listed.returncode == 0, listed.stderr
    examined = said("doctor", queue, "--executor", "process", "--data-dir", str(tmp_path / "w"))
    assert "hub.test" in examined.stdout + examined.stderr
    assert examined.returncode == 0, examined.stdout + examined.stderr
