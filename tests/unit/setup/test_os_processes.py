"""Processes are known by id and start time, and are really gone when they are said to be."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from devtools.os_processes import Process, mentioning

_STUBBORN = "import signal, sys, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print(flush=True); time.sleep(60)"


def test_the_current_process_is_alive() -> None:
    assert Process.current().alive


def test_an_id_that_was_given_away_again_is_another_process() -> None:
    me = Process.current()
    earlier = Process(me.pid, me.started - 1)
    assert not earlier.alive
    earlier.stop(1)  # would end this test run if it went by the id alone


def test_stop_insists() -> None:
    with subprocess.Popen([sys.executable, "-c", _STUBBORN], stdout=subprocess.PIPE) as child:
        assert child.stdout is not None
        child.stdout.readline()
        process = Process.of(child.pid)
        assert process is not None
        process.stop(0.1)
        assert not process.alive


def test_finds_processes_by_the_folder_they_use(tmp_path: Path) -> None:
    command = [sys.executable, "-c", "print(flush=True); input()", str(tmp_path / "file")]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as child:
        try:
            assert child.stdout is not None
            child.stdout.readline()
            assert [process.pid for process in mentioning(tmp_path)] == [child.pid]
            assert mentioning(tmp_path / "fil") == []
        finally:
            child.kill()
