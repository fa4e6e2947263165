"""A private engine starts where none answers, is shared by those who use it, and leaves nothing behind."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from devtools import base_image, docker_api, engine
from devtools.os_processes import mentioning


@pytest.fixture
def no_engine_here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Hide the engine that the machine or the test run has."""
    if os.geteuid() != 0:
        pytest.skip("only root can start an engine")
    monkeypatch.delenv("DOCKER_HOST", raising=False)
    monkeypatch.setattr(docker_api, "DEFAULT_SOCKET", tmp_path / "none")
    folder = tmp_path / "a folder: with a name that overlay mounts do not like"
    monkeypatch.setattr(engine, "FOLDER", folder)
    monkeypatch.setattr(engine, "LOG", folder / "dockerd.log")
    monkeypatch.setattr(engine, "_STATE", folder / "state.json")
    monkeypatch.setattr(engine, "_USERS", folder / "users")
    yield
    engine.leave("by-hand")


def _left_of(private: engine.Engine) -> list[str]:
    folder = Path(private.host.removeprefix("unix://")).parent
    network = f"asman-{folder.name[-8:]}"
    left = [f"process {process.pid}" for process in mentioning(folder)]
    mounts = Path("/proc/self/mountinfo").read_text().splitlines()
    left += [line for line in mounts if str(folder) in line or str(engine.FOLDER) in line]
    left += [line for line in Path("/proc/net/dev").read_text().splitlines() if network in line]
    return left + ([str(folder)] if folder.exists() else [])


@pytest.mark.usefixtures("no_engine_here")
def test_starts_answers_and_leaves_nothing() -> None:
    with engine.hold() as private:
        assert private.private
        assert docker_api.info(private.host)["ServerVersion"]
        image = base_image.ensure(private.host)
        assert docker_api.has_image(private.host, image)
    assert _left_of(private) == []


@pytest.mark.usefixtures("no_engine_here")
def test_stops_only_when_the_last_user_leaves() -> None:
    first = engine.join("by-hand")
    with engine.hold() as second:
        assert second == first
        engine.leave("by-hand")
        assert docker_api.answers(first.host)
    assert not docker_api.answers(first.host)
    assert _left_of(first) == []


@pytest.mark.usefixtures("no_engine_here")
def test_an_engine_that_was_killed_is_cleaned_up_and_replaced() -> None:
    first = engine.join("by-hand")
    state = engine._running()
    assert state is not None
    state.process.signal(signal.SIGKILL)
    with engine.hold() as second:
        assert docker_api.answers(second.host)
        assert second.host != first.host
        assert _left_of(first) == []
        engine.leave("by-hand")
    assert _left_of(second) == []


@pytest.mark.usefixtures("no_engine_here")
def test_an_engine_that_docker_host_names_but_does_not_answer_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOCKER_HOST", "unix:///nowhere.sock")
    with pytest.raises(engine.NoEngineError, match=r"DOCKER_HOST names unix:///nowhere\.sock"):
        engine.join("by-hand")
