"""Following a container: its end as the engine tells it, its limits, and an engine that goes away."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import aiohttp
import pytest
from aiodocker.exceptions import DockerError

from asman_shared.errors import ExecutionError
from asman_worker.containers import run as module
from asman_worker.containers.run import ContainerRun, _age
from asman_worker.execution.container_end import End, Limits
from asman_worker.execution.disk_use import Excess
from devtools.patience import PATIENCE


class Container:
    """A container that ends when a test or a signal says so."""

    id = "c" * 64

    def __init__(self, *, polite: bool = True) -> None:
        self.ended = asyncio.Event()
        self.polite = polite
        self.signals: list[str] = []
        self.state: dict[str, Any] = {"ExitCode": 0, "OOMKilled": False, "Error": ""}
        self.errors: list[Exception] = []
        self.waits: list[Exception] = []

    def end(self, code: int = 0, **more: Any) -> None:
        self.state.update(ExitCode=code, **more)
        self.ended.set()

    async def wait(self) -> None:
        if self.waits:
            raise self.waits.pop(0)
        await self.ended.wait()

    async def show(self) -> dict[str, Any]:
        if self.errors:
            raise self.errors.pop(0)
        return {"State": {**self.state, "Running": not self.ended.is_set()}}

    async def kill(self, *, signal: str, timeout: aiohttp.ClientTimeout) -> None:
        assert timeout.total is not None, "a call to an engine that hangs would never end"
        self.signals.append(signal)
        if signal == "SIGKILL" or self.polite:
            self.end(137 if signal == "SIGKILL" else 143)


class Engine:
    def __init__(self) -> None:
        self.docker = self
        self.info: dict[str, Any] = {}
        self.here = True

    async def accepts(self) -> bool:
        return self.here


class Lines:
    """A log that is read to its end."""

    read = False

    async def follow(self, ended: asyncio.Event) -> None:
        await ended.wait()
        self.read = True


class Scene:
    def __init__(self, **more: Any) -> None:
        self.container = Container(polite=more.pop("polite", True))
        self.engine = Engine()
        self.lines = Lines()
        limits = {"time": 0, "spent": 0, "grace": 0, "watch": asyncio.Event().wait, **more}
        parts: Any = (self.engine, self.container, self.lines, Limits(**limits))
        self.run = ContainerRun(*parts)

    async def end(self, started: str | None = None) -> End:
        async with asyncio.timeout(PATIENCE):
            return await self.run.to_its_end(started)


@pytest.fixture(autouse=True)
def _soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_ASK_AGAIN_SECONDS", 0.01)


async def test_an_end_is_told_with_what_the_engine_says_of_it() -> None:
    scene = Scene()
    scene.container.end(3, OOMKilled=True, Error="a word")
    assert await scene.end() == End(exit_code=3, out_of_memory=True, error="a word")
    assert scene.lines.read


async def test_a_container_past_its_time_is_asked_first() -> None:
    scene = Scene(time=20, grace=10_000)
    end = await scene.end()
    assert (end.exit_code, end.interrupted, scene.container.signals) == (143, False, ["SIGTERM"])
    assert end.timed_out == "stopped: running took longer than its limit of 20 ms"


async def test_one_that_ignores_that_is_killed_and_it_is_told() -> None:
    scene = Scene(time=20, grace=20, polite=False)
    end = await scene.end()
    assert scene.container.signals == ["SIGTERM", "SIGKILL"]
    assert end.timed_out.endswith("and it ignored SIGTERM for 20 ms")


async def test_without_a_grace_nobody_is_asked() -> None:
    scene = Scene(time=20, grace=0)
    await scene.end()
    assert scene.container.signals == ["SIGKILL"]


async def test_a_container_that_wrote_too_much_is_killed_at_once() -> None:
    excess = Excess("it wrote too much")

    async def watch() -> Excess:
        return excess

    scene = Scene(watch=watch, grace=10_000)
    end = await scene.end()
    assert (end.outgrown, end.timed_out, scene.container.signals) == (excess, "", ["SIGKILL"])


async def test_one_that_ended_because_its_engine_did_was_interrupted() -> None:
    scene = Scene()
    scene.engine.here = False
    scene.container.end(137)
    assert (await scene.end()).interrupted
    lives = Scene()
    lives.engine.here = False
    lives.engine.info = {"LiveRestoreEnabled": True}
    lives.container.end(0)
    assert not (await lives.end()).interrupted


async def test_an_engine_that_restarts_and_keeps_its_containers_changes_nothing() -> None:
    scene = Scene()
    scene.container.waits = [OSError("gone"), DockerError(900, "away")]
    scene.container.errors = [OSError("gone"), DockerError(900, "away")]
    waiting = asyncio.create_task(scene.end())
    while scene.container.waits or scene.container.errors:
        await asyncio.sleep(0.001)
    await asyncio.sleep(0.03)
    scene.container.end(0)
    end = await waiting
    assert (end.exit_code, end.interrupted) == (0, False)


async def test_a_container_that_somebody_removed_is_said() -> None:
    scene = Scene()
    scene.container.end(0)
    scene.container.errors = [DockerError(404, "no such container")]
    with pytest.raises(ExceptionGroup) as caught:
        await scene.end()
    (error,) = caught.value.exceptions
    assert isinstance(error, ExecutionError)
    assert "the container was removed" in error.message


async def test_an_engine_that_stays_away_is_not_waited_for_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "AWAY_SECONDS", 0)
    scene = Scene()
    scene.container.end(0)
    scene.container.errors = [OSError("gone")] * 1000
    with pytest.raises(ExceptionGroup) as caught:
        await scene.end()
    assert "the engine went away" in str(caught.value.exceptions[0])


async def test_a_container_that_can_not_be_stopped_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_KILLS", 2)

    async def kill(*, signal: str, timeout: aiohttp.ClientTimeout) -> None:
        raise DockerError(500, f"no {signal}")

    scene = Scene(time=10)
    scene.container.kill = kill  # type: ignore[method-assign]
    with pytest.raises(ExceptionGroup) as caught:
        await scene.end()
    assert "can't stop the container" in str(caught.value.exceptions[0])


async def test_time_that_a_container_ran_before_counts() -> None:
    scene = Scene(time=3_600_000)
    end = await scene.end((datetime.now(UTC) - timedelta(hours=2)).isoformat())
    assert end.timed_out


async def test_time_that_earlier_commands_took_counts_and_the_whole_limit_is_told() -> None:
    end = await Scene(time=3_600_000, spent=3_599_990, grace=10_000).end()
    assert end.timed_out == "stopped: running took longer than its limit of 1h"


@pytest.mark.parametrize("started", [None, "", "yesterday", "2026-13-01T00:00:00Z", "2026-01-01T00:00:00+99:00"])
def test_a_start_that_can_not_be_read_is_now(started: str | None) -> None:
    assert _age(started) == 0


@pytest.mark.parametrize("fraction", ["", ".5", ".123456", ".123456789"])
@pytest.mark.parametrize("hours", [-11, -5, 0, 2, 5.5])
def test_the_offset_of_a_start_counts(hours: float, fraction: str) -> None:
    zone = timezone(timedelta(hours=hours))
    then = datetime.now(zone) - timedelta(seconds=100)
    offset = then.strftime("%z")
    written = then.strftime("%Y-%m-%dT%H:%M:%S") + fraction + f"{offset[:3]}:{offset[3:]}"
    assert 98 < _age(written) < 110
    if hours == 0:
        assert 98 < _age(written.removesuffix("+00:00") + "Z") < 110
        assert 98 < _age(written.removesuffix("+00:00")) < 110


def test_a_start_that_the_engine_has_not_set_is_long_ago_and_no_error() -> None:
    assert _age("0001-01-01T00:00:00Z") > 0
    assert _age("0001-01-01T00:00:00+05:00") >= 0


def test_a_start_is_read_as_engines_write_it() -> None:
    then = datetime.now(UTC) - timedelta(seconds=100)
    assert _age(then.strftime("%Y-%m-%dT%H:%M:%S.123456789Z")) >= 99
    assert _age((datetime.now(UTC) + timedelta(hours=1)).isoformat()) == 0
