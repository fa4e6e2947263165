"""Signals that end a command: what becomes of its job, and the exit code."""

from __future__ import annotations

import asyncio
import re
import signal
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from asman import connect as asman_connect
from asman_shared.states import Reason
from devtools.asman_processes import asman_command, clean_environment
from devtools.patience import PATIENCE


def with_usual_signals() -> None:
    """What runs the tests may ignore SIGHUP (``nohup``), and the command would inherit that and ignore it, too."""
    for number in (signal.SIGHUP, signal.SIGTERM, signal.SIGINT):
        signal.signal(number, signal.SIG_DFL)


async def started(up: str, *options: str) -> asyncio.subprocess.Process:
    """``asman run`` of a job that would run for long and has begun to speak."""
    running = await asyncio.create_subprocess_exec(
        *asman_command(), "run", up, *options, "--", "sh", "-c", "echo here; sleep 300",
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        env=clean_environment(), preexec_fn=with_usual_signals,
    )  # fmt: skip
    assert running.stdout is not None
    assert await asyncio.wait_for(running.stdout.readline(), PATIENCE) == b"here\n"
    return running


async def ended(running: asyncio.subprocess.Process) -> tuple[int | None, str]:
    _, err = await asyncio.wait_for(running.communicate(), PATIENCE)
    return running.returncode, err.decode()


def job_of(said: str) -> str:
    """The id of the job whose address the command has told."""
    found = re.search(r"[0-9a-f]{64}", said)
    assert found is not None, said
    return found[0]


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGHUP, 129), (signal.SIGINT, 130)])
async def test_a_signal_cancels_the_run_that_the_command_started(up: str, number: signal.Signals, code: int) -> None:
    running = await started(up, "-e", f"N={number}")
    running.send_signal(number)
    got, err = await ended(running)
    assert (got, "cancelled" in err, "Traceback" in err) == (code, True, False), err
    async with asman_connect(up) as queue:
        job = await queue.get(job_of(err))
        assert (await job.wait(PATIENCE)).reason is Reason.CANCELLED


async def test_a_signal_leaves_the_job_where_that_was_asked_for(up: str) -> None:
    running = await started(up, "-e", "LEFT=1", "--on-interrupt", "leave")
    running.send_signal(signal.SIGTERM)
    got, err = await ended(running)
    assert (got, "keeps running" in err) == (143, True), err
    async with asman_connect(up) as queue:
        job = await queue.get(job_of(err))
        assert job.verdict is None
        await job.cancel()


async def test_a_command_whose_hub_does_not_answer_ends_by_a_signal_with_a_sentence() -> None:
    dialled: asyncio.Queue[asyncio.StreamWriter] = asyncio.Queue()
    silent = await asyncio.start_server(lambda _reader, writer: dialled.put_nowait(writer), "127.0.0.1", 0)
    port = silent.sockets[0].getsockname()[1]
    running = await asyncio.create_subprocess_exec(
        *asman_command(), "run", f"http://127.0.0.1:{port}/q/nobody-is-there", "--", "true",
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        env=clean_environment(), preexec_fn=with_usual_signals,
    )  # fmt: skip
    writer = await asyncio.wait_for(dialled.get(), PATIENCE)
    running.send_signal(signal.SIGTERM)
    got, err = await ended(running)
    assert (got, "Traceback" in err) == (143, False), err
    writer.close()
    await writer.wait_closed()
    silent.close()
    await silent.wait_closed()


@pytest.mark.parametrize("command", ["up", "hub", "worker", "watch"])
def test_sigterm_ends_a_command_whose_reader_is_gone(up: str, command: str, tmp_path: Path) -> None:
    words, begun = {
        "up": (("up", "--port", "0", "--executor", "process"), "Ctrl-C stops it"),
        "hub": (("hub", "--port", "0"), "hub listening"),
        "worker": (("worker", up, "--executor", "process"), "registered"),
        "watch": (("queue", "watch", up, "--json"), "{"),
    }[command]
    data = () if command == "watch" else ("--data-dir", str(tmp_path / "data"))
    with subprocess.Popen(
        [*asman_command(), *words, *data],
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        env=clean_environment(), preexec_fn=with_usual_signals,
    ) as running:  # fmt: skip
        assert running.stdout is not None
        try:
            with ends_after(running, PATIENCE):
                for line in running.stdout:
                    if begun in line:
                        break
                running.stdout.close()
            running.send_signal(signal.SIGTERM)
            running.wait(PATIENCE)
        finally:
            running.kill()
        assert running.returncode in (0, 143, -signal.SIGTERM)


@contextmanager
def ends_after(running: subprocess.Popen[str], seconds: float) -> Iterator[None]:
    """Ends a process whose output is being read if that takes too long."""
    timer = threading.Timer(seconds, running.kill)
    timer.start()
    try:
        yield
    finally:
        timer.cancel()
