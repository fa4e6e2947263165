"""What a person sees, on a real terminal with a real hub and worker."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
from pathlib import Path

from asman import connect as asman_connect
from tests.support.processes import AsmanProcesses, asman, asman_command, clean_environment
from tests.support.terminal import on_terminal


def test_a_watched_queue_shows_jobs_and_workers_as_they_change(up: str) -> None:
    with on_terminal("queue", "watch", up) as watching:
        watching.sees("WORKERS")
        watching.sees("ready")
        asman("job", "add", up, "-c", "sh -c 'exit 7'", "-e", "WATCHED=1", "--wait")
        watching.sees("Failed (7)")
        watching.sees("1 since you watch")
        watching.types("\x03")
        assert watching.ends() == 0
        assert "Traceback" not in watching.shown


def test_a_run_shows_its_transfers_and_phases_and_gives_way_to_output(up: str, tmp_path: Path) -> None:
    (tmp_path / "big.bin").write_bytes(os.urandom(24 * 1024 * 1024))
    script = 'cp "$JOB_INPUTS/big.bin" "$JOB_OUTPUTS/"; echo done with it'
    words = ["-f", str(tmp_path / "big.bin"), "-o", str(tmp_path / "out"), "--", "sh", "-c", script]
    with on_terminal("run", up, *words) as running:
        assert running.ends() == 0
        for text in ("uploading", "queued: ", "done with it", "downloading", "saved 1 file"):
            assert text in running.shown
    assert (tmp_path / "out" / "big.bin").read_bytes() == (tmp_path / "big.bin").read_bytes()
    piped = asman("run", up, "-o", str(tmp_path / "again"), *words[:2], *words[4:])
    assert piped.stdout == "done with it\n"
    assert "loading" not in piped.stderr
    assert "\x1b" not in piped.stderr


def test_ctrl_c_asks_and_does_what_is_answered(up: str) -> None:
    for answer, end in (("n\n", "the job goes on"), ("\n", "cancelled")):
        with on_terminal("run", up, "-e", f"ASKED={answer}", "--", "sh", "-c", "echo begun; sleep 600") as running:
            running.sees("begun")
            running.types("\x03")
            running.sees("cancel the job?")
            running.types(answer)
            assert running.ends() == 130
            assert end in running.shown
    for job in asman("job", "list", up, "--state", "Running").stdout.splitlines()[1:]:
        assert asman("job", "cancel", up, job.split()[0]).returncode == 0


async def test_a_closed_lid_is_no_harm(processes: AsmanProcesses, tmp_path: Path) -> None:
    """Frozen while the hub and its connection go away: nobody is left to tell it, and it goes on where it was."""
    hub = await asyncio.to_thread(processes.hub)
    queue_url = hub.queue("lid")
    await asyncio.to_thread(processes.worker, queue_url, "--executor", "process", "--data-dir", str(tmp_path / "data"))
    go = tmp_path / "go"
    script = f"echo before; while ! test -e {go}; do sleep 0.05; done; echo after; exit 5"
    running = await asyncio.create_subprocess_exec(
        *asman_command(), "run", "-q", queue_url, "--", "sh", "-c", script,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=clean_environment(),
    )  # fmt: skip
    try:
        assert running.stdout is not None
        assert await asyncio.wait_for(running.stdout.readline(), 30) == b"before\n"
        running.send_signal(signal.SIGSTOP)
        await asyncio.to_thread(hub.restart)
        async with asman_connect(queue_url) as queue:
            (job,) = [each async for each in queue.jobs()]
            go.touch()
            await (await queue.get(job.id)).wait(60)
        running.send_signal(signal.SIGCONT)
        out, err = await asyncio.wait_for(running.communicate(), 60)
        assert (out, running.returncode) == (b"after\n", 5)
        assert b"rror" not in err
    finally:
        if running.returncode is None:
            running.kill()
            await running.wait()


def test_completion_is_offered_for_shells() -> None:
    said = asman(environment={"_ASMAN_COMPLETE": "complete_bash", "COMP_WORDS": "asman job ca", "COMP_CWORD": "2"})
    assert said.stdout.split() == ["cancel"]
