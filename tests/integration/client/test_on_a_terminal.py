"""The command line on a real terminal, with a real hub and worker."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
from pathlib import Path

from asman import connect as asman_connect
from asman_shared.messages import PhaseProgress
from asman_shared.states import Phase
from devtools.asman_processes import AsmanProcesses, asman, asman_command, clean_environment
from tests.support.ready_worker import ready_worker
from tests.support.terminal import on_terminal


def test_a_watched_queue_shows_jobs_and_workers_as_they_change(up: str) -> None:
    with on_terminal("queue", "watch", up) as watching:
        watching.sees("WORKERS")
        watching.sees("ready")
        asman("job", "add", up, "-c", "sh -c 'exit 7'", "-e", "WATCHED=1", "--wait")
        watching.sees("Failed (7)")
        watching.sees("1 since you started watching")
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
    live = f"#?queue={up.rpartition('/')[2]}"
    assert live in running.shown, "the link shows the job live"
    assert live not in piped.stderr, "logs of others hold no queue's name"
    assert "\x1b" not in piped.stderr


async def test_a_pull_has_a_bar_and_a_script_is_told_how_far_it_is(processes: AsmanProcesses) -> None:
    hub = await asyncio.to_thread(processes.hub)
    queue_url = hub.queue("pulls")
    mib = 1024 * 1024
    async with ready_worker(queue_url) as worker, asman_connect(queue_url) as queue:
        worker.go.clear()
        with on_terminal("run", queue_url, "-i", "alpine", "--", "x") as running:
            job = await queue.get(await worker.started.get())
            attempt = {"type": "phase", "phase": "pulling", "attempt": 1, "job": job.id}
            steps = job.steps()
            await worker.say({**attempt, "done": 0, "total": 40 * mib, "unit": "bytes"})
            async for state, _ in steps:
                if state.phase is Phase.PULLING:
                    break
            await worker.say({**attempt, "done": 10 * mib, "total": 40 * mib, "unit": "bytes"})
            async for _, progress in steps:
                if progress is not None and progress.done:
                    assert progress == PhaseProgress(job.id, 1, Phase.PULLING, 10 * mib, 40 * mib, "bytes")
                    assert job.progress == progress
                    break
            await asyncio.to_thread(running.sees, "pulling the image")
            await asyncio.to_thread(running.sees, "10 MiB of 40 MiB")
            await worker.say({**attempt, "done": 3, "total": 5, "unit": "layers"})
            await asyncio.to_thread(running.sees, "3 of 5 layers")
            worker.go.set()
            assert await asyncio.to_thread(running.ends) == 0
            assert "Traceback" not in running.shown
        assert [state.phase async for state, _ in steps][-1] is None
        assert job.progress is None


def test_ctrl_c_asks_and_does_what_is_answered(up: str) -> None:
    for answer, end in (("n\n", "the job keeps running"), ("\n", "cancelled")):
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
    """Freezes the command while the hub restarts, so that it gets no notice; it must continue without loss."""
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
