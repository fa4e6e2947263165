"""The queue `local`, which pages can guess, reaches no worker without containers unless its operator asks for that."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest

import asman
from devtools.asman_processes import AsmanProcesses
from devtools.asman_processes import asman as run_asman
from devtools.patience import PATIENCE
from devtools.ports import free_port

QUEUE = "a-name-that-nobody-guesses"
SAYS = "its workers need containers: use --executor docker"
ASKED = {"ASMAN_LOCAL_WITHOUT_CONTAINERS": "true"}


async def workers(url: str) -> int:
    async with asman.connect(url) as queue:
        return len(await queue.workers())


async def test_up_without_containers_does_not_serve_local_unless_it_is_asked(processes: AsmanProcesses) -> None:
    arguments = ("--executor", "process", "--queue", QUEUE, "--json", "--local-port", str(free_port()))
    up = processes.hub(*arguments, command="up")
    up.wait_for_output('"local":')
    told = json.loads(up.output()[up.output().index("{") :].partition("}")[0] + "}")
    assert (told["executor"], told["local"]) == ("process", "")
    assert (await workers(up.queue(QUEUE)), await workers(up.queue("local"))) == (1, 0)
    asked = processes.hub(*arguments, "--local-without-containers", command="up")
    asked.wait_for_output('"local":')
    assert await workers(asked.queue("local")) == 1


def test_auto_is_never_without_containers(tmp_path: Path) -> None:
    ended = run_asman(
        "up", "--executor", "auto", "--port", "0", "--local-port", "0", "--data-dir", str(tmp_path),
        environment={"DOCKER_HOST": f"unix://{tmp_path}/no.sock"},
    )  # fmt: skip
    assert ended.returncode != 0
    assert "no.sock" in ended.stderr
    assert "queue  http" not in ended.stdout


@pytest.mark.parametrize("command", ["up", "hub"])
async def test_a_worker_without_containers_can_not_join_the_queue_that_local_stands_for(
    processes: AsmanProcesses, engine: object, command: str
) -> None:
    own = ("--executor", "docker", "--queue", QUEUE, "--local-port", str(free_port())) if command == "up" else ()
    hub = processes.hub(*own, command=command, environment={"ASMAN_LOCAL_QUEUE": QUEUE})
    joining = processes.worker(hub.queue(QUEUE), "--executor", "process", "--data-dir", str(hub.data / "second"))
    assert joining.wait() != 0
    assert SAYS in joining.output()
    async with asyncio.timeout(PATIENCE):  # the own worker of `asman up` may come later than the other was refused
        while await workers(hub.queue(QUEUE)) != (1 if command == "up" else 0):
            await asyncio.sleep(0.1)
    other = processes.worker(hub.queue("another"), "--executor", "process", "--data-dir", str(hub.data / "third"))
    other.wait_for_output("registered at")


async def test_a_worker_without_containers_joins_it_where_the_operator_asked_for_that(
    processes: AsmanProcesses,
) -> None:
    hub = processes.hub(environment={"ASMAN_LOCAL_QUEUE": QUEUE, **ASKED})
    joining = processes.worker(hub.queue(QUEUE), "--executor", "process", "--data-dir", str(hub.data / "second"))
    joining.wait_for_output("registered at")
    assert await workers(hub.queue("local")) == 1
