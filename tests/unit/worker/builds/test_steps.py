"""The steps of a build: their bound on processes, and what they write."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from aiodocker.exceptions import DockerError

from asman_shared.errors import ExecutionError
from asman_worker.builds.steps import BuildSteps
from asman_worker.execution.disk_use import DiskUse

STEP = "0123456789ab"
BEGINS = f"Step 2/3 : RUN true\n ---> Running in {STEP}\n"


class Engine:
    """An engine that answers a bound on processes in some way, with a container in some state."""

    def __init__(self, answer: dict[str, Any] | DockerError, container: dict[str, Any] | DockerError) -> None:
        self.answer = answer
        self.container = container
        self.bounds: list[int] = []

    async def _query_json(self, path: str, method: str = "GET", data: Any = None) -> dict[str, Any]:
        if path == f"containers/{STEP}/update":
            assert method == "POST"
            self.bounds.append(data["PidsLimit"])
            found = self.answer
        else:
            assert path.partition("?")[0] == f"containers/{STEP}/json"
            found = self.container
        if isinstance(found, DockerError):
            raise found
        return found


def state(name: str) -> dict[str, Any]:
    return {"State": {"Status": name}}


async def read(engine: Engine, pids: int = 64) -> None:
    docker: Any = engine
    await BuildSteps(docker, pids).read(BEGINS)


async def test_a_step_gets_its_bound_when_the_builder_names_its_container() -> None:
    engine = Engine({"Warnings": None}, state("created"))
    await read(engine)
    assert engine.bounds == [64]
    await read(engine, pids=0)
    assert engine.bounds == [64]


@pytest.mark.parametrize(
    "answer",
    [
        DockerError(500, "write /sys/fs/cgroup/pids.max: permission denied"),
        {"Warnings": ["Your kernel does not support pids limit capabilities. Limitation discarded."]},
    ],
)
@pytest.mark.parametrize("status", ["created", "running"])
async def test_a_build_ends_when_the_bound_on_processes_can_not_be_set(
    answer: dict[str, Any] | DockerError, status: str, caplog: pytest.LogCaptureFixture
) -> None:
    with pytest.raises(ExecutionError) as caught:
        await read(Engine(answer, state(status)))
    assert caught.value.fault == "worker"
    assert caught.value.message == (
        "the build was stopped at step 2/3: the engine can't bound the number of the step's processes (--pids); "
        "the worker's log says why"
    )
    assert "pids" in caplog.text


@pytest.mark.parametrize("container", [state("exited"), state("removing"), DockerError(404, "no such container")])
async def test_a_step_that_has_ended_needs_no_bound(container: dict[str, Any] | DockerError) -> None:
    await read(Engine(DockerError(409, "it is marked for removal"), container))


async def test_an_engine_that_goes_away_is_told_as_that() -> None:
    with pytest.raises(DockerError):
        await read(Engine(DockerError(900, "cannot connect"), state("running")))


async def test_the_files_of_a_step_count_where_its_layer_can_be_read(tmp_path: Path) -> None:
    (tmp_path / "many").mkdir()
    for name in "abc":
        (tmp_path / "many" / name).touch()
    engine: Any = Engine({}, {"SizeRw": 10, "GraphDriver": {"Data": {"UpperDir": str(tmp_path)}}})
    steps = BuildSteps(engine, 0)
    await steps.read(BEGINS)
    assert await steps.use() == DiskUse(10, 4)
    engine.container = {"SizeRw": 10, "GraphDriver": {"Data": {"UpperDir": "/nowhere/at/all"}}}
    assert await steps.use() == DiskUse(10, 0)
