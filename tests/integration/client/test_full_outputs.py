"""Signals to commands whose output is full: a pipe that nobody reads holds up no command for ever."""

from __future__ import annotations

import contextlib
import fcntl
import os
import select
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from devtools.asman_processes import asman_command, clean_environment
from devtools.patience import PATIENCE

from .test_stop_signals import with_usual_signals


def usual() -> None:
    """The signals as a shell leaves them."""
    with_usual_signals()


@contextlib.contextmanager
def full_pipe(*, filled: bool = True) -> Iterator[int]:
    """The end for writing of a pipe that is open for reading, is not read, and is full from the start or will be."""
    read, write = os.pipe()
    fcntl.fcntl(write, fcntl.F_SETPIPE_SZ, 4096)
    if filled:
        os.write(write, b"x" * fcntl.fcntl(write, fcntl.F_GETPIPE_SZ))
    try:
        yield write
    finally:
        os.close(read)
        os.close(write)


def is_full(pipe: int) -> bool:
    looked = select.poll()
    looked.register(pipe, select.POLLOUT)
    return not looked.poll(0)


def catches(process: int, number: signal.Signals) -> bool:
    """Whether a process has a handler of its own for a signal."""
    status = Path(f"/proc/{process}/status").read_text(encoding="ascii")
    caught = next(line for line in status.splitlines() if line.startswith("SigCgt:"))
    return bool(int(caught.split()[1], 16) >> (number - 1) & 1)


def wait_until_it_catches(running: subprocess.Popen[bytes], number: signal.Signals) -> None:
    until = time.monotonic() + PATIENCE
    while not catches(running.pid, number):
        assert running.poll() is None, "it ended by itself"
        assert time.monotonic() < until, "it never got a handler"
        time.sleep(0.05)


@pytest.mark.parametrize("command", ["up", "hub", "worker"])
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_a_server_whose_output_is_full(
    up: str, command: str, number: signal.Signals, tmp_path: Path
) -> None:
    words = {
        "up": ("up", "--port", "0", "--executor", "process", "--log-level", "error", "--json"),
        "hub": ("hub", "--port", "0", "--json"),
        "worker": ("worker", up, "--executor", "process", "--json"),
    }[command]
    with (
        full_pipe() as pipe,
        subprocess.Popen(
            [*asman_command(), *words, "--data-dir", str(tmp_path / "data")],
            stdin=subprocess.DEVNULL, stdout=pipe, stderr=subprocess.DEVNULL if command == "worker" else pipe,
            env=clean_environment(), preexec_fn=usual,
        ) as running,
    ):  # fmt: skip
        try:
            wait_until_it_catches(running, signal.SIGURG)  # the handler that is set last
            running.send_signal(number)
            assert running.wait(PATIENCE) == 0
        finally:
            running.kill()


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGHUP, 129), (signal.SIGINT, 130)])
def test_a_signal_ends_a_run_whose_output_is_full(up: str, number: signal.Signals, code: int) -> None:
    endless = "while :; do echo xxxxxxxxxxxxxxxx; done"
    with (
        full_pipe(filled=False) as pipe,
        subprocess.Popen(
            [*asman_command(), "run", up, "-e", f"FULL={number}", "--", "sh", "-c", endless],
            stdin=subprocess.DEVNULL, stdout=pipe, stderr=subprocess.PIPE, env=clean_environment(), preexec_fn=usual,
        ) as running,
    ):  # fmt: skip
        try:
            until = time.monotonic() + PATIENCE
            while not is_full(pipe):
                assert time.monotonic() < until
                time.sleep(0.05)
            running.send_signal(number)
            assert running.wait(PATIENCE) == code
            assert running.stderr is not None
            assert running.stderr.read().decode().endswith("cancelled\n")
        finally:
            running.kill()
