"""Following a job from the command line, and Ctrl-C."""

from __future__ import annotations

import asyncio
import signal
import subprocess
import sys

from asman.cli import exits
from asman_shared import messages as m
from tests.unit.client.fake_hub import FakeHub

ASMAN = [sys.executable, "-c", "from asman.cli.main import main; main()"]


async def test_ctrl_c_cancels_the_run_that_it_began_and_exits_130(hub: FakeHub) -> None:
    command = await asyncio.create_subprocess_exec(
        *ASMAN, "run", hub.url, "--", "sleep", "100", stdin=subprocess.DEVNULL, stderr=subprocess.PIPE
    )
    await hub.saw(m.Follow)
    command.send_signal(signal.SIGINT)
    _, err = await command.communicate()
    assert command.returncode == 130
    assert err.decode().splitlines()[1:] == ["cancelled"]
    assert len(hub.all_of(m.Cancel)) == 1


async def test_ctrl_c_leaves_the_run_of_somebody_else_alone(hub: FakeHub) -> None:
    words = ["run", hub.url, "--on-interrupt", "leave", "--", "sleep", "100"]
    command = await asyncio.create_subprocess_exec(*ASMAN, *words, stderr=subprocess.PIPE)
    await hub.saw(m.Follow)
    command.send_signal(signal.SIGINT)
    _, err = await command.communicate()
    assert command.returncode == 130
    assert "the job keeps running" in err.decode()
    assert hub.all_of(m.Cancel) == []


async def test_a_reader_that_leaves_ends_the_command_quietly(hub: FakeHub) -> None:
    command = await asyncio.create_subprocess_exec(
        *ASMAN, "run", "-q", hub.url, "--", "x", stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    await hub.saw(m.Follow)
    assert command.stdout is not None
    assert command.stderr is not None
    (job,) = hub.jobs
    hub.log(job, "first")
    assert await command.stdout.readline() == b"first\n"
    command._transport.get_pipe_transport(1).close()  # type: ignore[attr-defined]
    hub.log(job, *["more"] * 100)
    assert await command.stderr.read() == b""
    assert await command.wait() == exits.BROKEN_PIPE
