"""Commands that are forked behave as commands that are started."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from devtools.asman_processes import AsmanProcess, HubProcess, clean_environment
from devtools.fork_server import Forked, ForkServer


@pytest.fixture
def hub(tmp_path: Path, fork_server: ForkServer) -> Iterator[HubProcess]:
    assert fork_server is not None
    started = HubProcess(tmp_path)
    started.start()
    assert isinstance(started.process, Forked)
    yield started
    started.kill()


def test_a_forked_hub_is_a_session_of_its_own_and_holds_no_file_of_the_server(hub: HubProcess) -> None:
    assert os.getsid(hub.pid) == hub.pid
    process = psutil.Process(hub.pid)
    assert process.cwd() == str(Path.cwd())
    others = {Path(each.path) for each in process.open_files()} - {hub.log}
    assert all(each.is_relative_to(hub.data) for each in others), others
    ends = {str(Path(f"/proc/{hub.pid}/fd/{number}").readlink()) for number in (0, 1, 2)}
    assert ends == {os.devnull, str(hub.log)}


def test_it_ends_by_signals_as_any_other(hub: HubProcess) -> None:
    assert hub.process.poll() is None
    with pytest.raises(subprocess.TimeoutExpired):
        hub.process.wait(0.01)
    assert hub.terminate() == 0
    assert not hub.running
    assert "hub closed" in hub.output()
    hub.start()
    hub.kill()
    assert hub.process.returncode == -signal.SIGKILL
    hub.process.send_signal(signal.SIGTERM)  # nobody is there any more


def test_its_exit_code_and_output_are_those_of_the_command(tmp_path: Path) -> None:
    process = AsmanProcess("wrong", ["hub", "--bogus"], tmp_path / "log")
    process.start()
    assert process.wait() == 2
    assert "No such option: --bogus" in process.output()


def test_it_has_its_own_environment_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ASMAN_PORT", "nonsense")
    process = AsmanProcess("wrong", ["hub"], tmp_path / "log", {"ASMAN_GRACE": "no time"})
    process.start()
    assert process.wait() != 0
    assert "ASMAN_GRACE" in process.output()
    assert "ASMAN_PORT" not in process.output()


@pytest.mark.parametrize("name", ["PYTHONASYNCIODEBUG", "LD_LIBRARY_PATH"])
def test_what_only_an_interpreter_reads_makes_it_start_one(name: str, tmp_path: Path) -> None:
    process = AsmanProcess("wrong", ["hub", "--bogus"], tmp_path / "log", {name: "1"})
    process.start()
    assert isinstance(process.process, subprocess.Popen)
    assert process.wait() == 2


def test_a_command_in_front_is_not_left_out(tmp_path: Path) -> None:
    process = AsmanProcess("wrong", ["hub", "--bogus"], tmp_path / "log")
    process._before = ["sh", "-c", "exit 7"]
    process.start()
    assert process.wait() == 7


def test_a_server_that_has_ended_is_told_and_started_again(tmp_path: Path) -> None:
    server = ForkServer()
    first = server.start(["hub", "--bogus"], tmp_path / "log", clean_environment())
    assert first.wait(60) == 2
    server.close()
    again = server.start(["hub", "--bogus"], tmp_path / "log", clean_environment())
    assert again.wait(60) == 2
    with pytest.raises(ValueError, match="has more than"):
        server.start(["hub"], tmp_path / "log", {"LARGE": "x" * 200_000})
    server.close()
