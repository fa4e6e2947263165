"""Workers of the dialect on the queue that `local` stands for, whose name every page can guess."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from websockets.exceptions import ConnectionClosed

from devtools.asman_processes import AsmanProcesses, HubProcess
from devtools.patience import PATIENCE
from tests.support.json_dialect import JsonWorker, json_client, now

QUEUE = "a-name-that-nobody-guesses"


async def refusal(hub: HubProcess, queue: str, **more: Any) -> tuple[int, str]:
    """How the connection of a worker with more members in its registration is closed; 0 if it runs a job instead."""
    async with (
        json_client(hub.url, queue) as client,
        json_client(hub.url, queue, "worker") as socket,
    ):
        worker = JsonWorker(socket.socket)
        worker.id = "w"
        said = {"version": "1", "id": "w", "cpus": 1, "gpus": 0, "time": now(), "maxJobDuration": "1h", **more}
        await worker.send("WorkerRegistration", said)
        job = await client.submit_new({"image": "alpine", "env": {"Q": queue, "SAYS": str(more)}})
        try:
            await worker.sees(job, "Queued")
            await worker.claim(job)
            await worker.has(job)
            await worker.finish(job, StatusCode=0)
            await client.sees(job, "Finished")
        except ConnectionClosed as closed:
            return (closed.rcvd.code, closed.rcvd.reason) if closed.rcvd is not None else (1006, "")
    return 0, ""


SAYS_NOTHING: list[dict[str, Any]] = [{}, {"executor": "docker"}, {"executor": 5}]


@pytest.mark.parametrize("queue", ["local", QUEUE])
async def test_a_worker_that_says_it_has_no_containers_is_refused_and_one_that_says_nothing_is_not(
    processes: AsmanProcesses, queue: str
) -> None:
    hub = await asyncio.to_thread(processes.hub, environment={"ASMAN_LOCAL_QUEUE": QUEUE})
    async with asyncio.timeout(2 * PATIENCE):
        code, reason = await refusal(hub, queue, executor="process")
        assert (code, "its workers need containers" in reason) == (4007, True)
        for more in SAYS_NOTHING:
            assert await refusal(hub, queue, **more) == (0, "")
        assert await refusal(hub, "another", executor="process") == (0, "")


async def test_it_is_taken_where_the_operator_asked_for_that(processes: AsmanProcesses) -> None:
    asked = {"ASMAN_LOCAL_QUEUE": QUEUE, "ASMAN_LOCAL_WITHOUT_CONTAINERS": "true"}
    hub = await asyncio.to_thread(processes.hub, environment=asked)
    assert await refusal(hub, "local", executor="process") == (0, "")
