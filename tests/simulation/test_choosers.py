"""A worker of the JSON dialect that stops a job and does not say so, as an outdated list may make it."""

from __future__ import annotations

import asyncio
from typing import Any

from asman_shared.definition import Definition
from asman_shared.identity import job_id
from asman_shared.messages import Submit
from tests.simulation.choosers import Chooser
from tests.simulation.loop import run_virtual
from tests.simulation.plan import draw_plan
from tests.simulation.world import World


class Forgetful(Chooser):
    """A worker that forgets the first job it was given, and continues as if nothing had happened."""

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self.given = 0
        self.greeted = 0

    def greet(self) -> None:
        self.greeted += 1
        super().greet()

    def _start(self, job: str, definition: Definition) -> None:
        self.given += 1
        if self.given == 1:
            self.runs.pop(job)
        else:
            super()._start(job, definition)


def test_a_job_that_such_a_worker_forgot_is_noticed_and_run_again() -> None:
    found: dict[str, Any] = {}

    async def play() -> None:
        world = World(draw_plan(0))
        world.database.slow = 0.002
        world.host.start()
        client, worker = world.clients[0], Forgetful(world, "j", 2)
        actors = [asyncio.ensure_future(actor.live()) for actor in (client, worker)]
        while not client.ready:
            await asyncio.sleep(0.1)
        made = Definition(image="fine", command="once")
        client.want(job_id(made), Submit(ref=0, definition=made))
        loop = asyncio.get_running_loop()
        async with asyncio.timeout(300):
            while client.wanted:
                await asyncio.sleep(1)
        found.update(time=loop.time(), given=worker.given, greeted=worker.greeted)
        found["job"] = world.database.jobs_now("sim")[job_id(made)]
        for actor in actors:
            actor.cancel()
        world.host.kill()

    run_virtual(play)
    assert found["given"] == 2
    assert found["greeted"] == 2, "it is made to connect again once, and not more often"
    assert found["job"].losses == 1
    assert found["time"] < 120
