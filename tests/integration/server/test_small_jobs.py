"""Thousands of small jobs through a hub without sockets, as ``python -m bench profile`` plays them."""

from __future__ import annotations

from pathlib import Path

from sqlalchemy import func, select

from asman_server.storage.database import make_engine
from asman_server.storage.tables import daybook, jobs
from asman_shared.states import State
from bench.hub_in_process import HubInProcess

JOBS = 1500


async def test_all_are_finished_counted_and_in_their_tables_when_the_hub_has_closed(tmp_path: Path) -> None:
    async with HubInProcess.open(tmp_path) as hub:
        costs = [await hub.run(JOBS, number) for number in range(2)]
    assert all(cost.commits > 0 and cost.written > 0 and cost.loop > 0 for cost in costs)
    engine = make_engine(f"sqlite:///{tmp_path / 'hub.sqlite'}")
    async with engine.connect() as connection:
        states = dict(
            tuple(row) for row in await connection.execute(select(jobs.c.state, func.count()).group_by(jobs.c.state))
        )
        assert states == {State.FINISHED.value: 2 * JOBS}
        assert await connection.scalar(select(func.count()).select_from(daybook)) == 0
    await engine.dispose()
