"""One side, running: its worker and its client, which takes orders; and the processor time of all of it."""

from __future__ import annotations

import json
import os
import selectors
import signal
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import psutil

from bench.peers.catalogue import Side
from bench.peers.environments import python_of
from bench.peers.servers import ROOT, NotSetUp, Server, Servers
from devtools.asman_processes import clean_environment
from devtools.ports import free_port

PATIENCE = 60.0
"""Seconds that an order may take, a start included."""
LOOKS = 0.5
"""Time between checks of its other processes while an answer is awaited, in seconds."""
WORDS = 4000
"""Characters of what it said last that a failure tells."""


class SideFailed(Exception):
    """A peer's program ended or did not answer."""


class Running:
    """One side, running: its worker and its client, which takes orders; and the processor time of all of it.

    Made by `running`.
    """

    def __init__(self, side: Side, server: Server, started: Sequence[subprocess.Popen[str]], log: Path) -> None:
        self.side = side
        self.server = server
        *self._workers, self._client = started
        self._pids = [*server.pids, *(process.pid for process in started)]
        self._log = log

    def order(self, do: str, **more: Any) -> dict[str, Any]:
        """What the client answers; see `bench.peers.orders`.

        Raises:
            SideFailed: It ended, or does not answer in time.
        """
        stdin, stdout = self._client.stdin, self._client.stdout
        assert stdin is not None
        assert stdout is not None
        try:
            stdin.write(json.dumps({"do": do, **more}) + "\n")
            stdin.flush()
        except OSError:
            raise SideFailed(f"its client ended: {self._said()}") from None
        self._wait(stdout)
        line = stdout.readline()
        if not line:
            raise SideFailed(f"its client ended: {self._said()}")
        answer: dict[str, Any] = json.loads(line)
        return answer

    def _wait(self, stdout: IO[str]) -> None:
        until = time.monotonic() + PATIENCE
        with selectors.DefaultSelector() as selector:
            selector.register(stdout, selectors.EVENT_READ)
            while not selector.select(LOOKS):
                if any(process.poll() is not None for process in self._workers):
                    raise SideFailed(f"its worker ended: {self._said()}")
                if time.monotonic() > until:
                    raise SideFailed(f"no answer in {PATIENCE:g} s: {self._said()}")

    def processor_seconds(self) -> float:
        """What its server, worker and client have used until now, ended children included."""
        return sum(map(_used, self._pids))

    def hub_seconds(self) -> float | None:
        """What the hub alone has used until now; None for a side without a hub."""
        return _used(self.server.pids[0]) if self.side.server.startswith("hub") else None

    def _said(self) -> str:
        return self._log.read_text(errors="replace")[-WORDS:]


def _used(pid: int) -> float:
    used = 0.0
    for process in (found := psutil.Process(pid), *found.children(recursive=True)):
        try:
            used += sum(process.cpu_times()[:4]) if process is found else sum(process.cpu_times()[:2])
        except psutil.NoSuchProcess:
            continue
    return used


@contextmanager
def running(side: Side, servers: Servers, folder: Path) -> Iterator[Running]:
    """Starts a side beside its server; ends it with the block.

    Raises:
        NotSetUp: Something that it needs is not here.
        SideFailed: It does not start.
    """
    python = python_of(side.environment)
    if not python.exists():
        raise NotSetUp("it has no environment; scripts/peers.sh makes it")
    server = servers.get(side.server) if side.server else Server(*_own(side, folder))
    server.renew()
    folder.mkdir(parents=True, exist_ok=True)
    log = folder / "log"
    started: list[subprocess.Popen[str]] = []
    try:
        for role in (*side.roles, "client"):
            started.append(_start([str(python), "-m", f"bench.peers.{side.module}", role, server.address], log))
        yield Running(side, server, started, log)
    finally:
        for process in reversed(started):
            _end(process)


def _own(side: Side, folder: Path) -> tuple[str, list[int], str]:
    """The address of a peer that is its own server."""
    if side.module == "hyperqueue":
        return str(folder / "cluster"), [], ""
    return f"tcp://127.0.0.1:{free_port()}", [], ""


def _start(command: Sequence[str], log: Path) -> subprocess.Popen[str]:
    with log.open("ab") as said:
        return subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE if command[-2] == "client" else said,
            stderr=said,
            text=True,
            cwd=ROOT,
            env=clean_environment({"TMPDIR": str(log.parent)}),  # what it leaves behind goes away with the folder
            start_new_session=True,
        )


def _end(process: subprocess.Popen[str]) -> None:
    """Ends a process and all that it started, which share its session."""
    try:
        os.killpg(process.pid, signal.SIGTERM)
        process.wait(2)
    except ProcessLookupError:
        pass
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    for stream in (process.stdin, process.stdout):
        if stream is not None:
            try:
                stream.close()
            except OSError:
                continue
