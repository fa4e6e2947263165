"""The buffer of unread changes."""

from __future__ import annotations

from typing import Any, cast

import pytest

from asman.changes import Change, Changes
from asman.connection import Connection
from asman_shared import messages as m
from asman_shared.errors import AsmanError, ConnectionFailed
from asman_shared.states import State


class Hub:
    """A stand-in for a connection that answers the requests of a snapshot with a test's jobs."""

    def __init__(self, jobs: list[m.JobState]) -> None:
        self.jobs = jobs
        self.failure: AsmanError | None = None
        self.welcome = None
        self.asked: list[str] = []

    async def request(self, message: Any, _: Any) -> Any:
        self.asked.append(type(message).__name__)
        if isinstance(message, m.Workers):
            return m.WorkerPage(0, [m.WorkerState("w", 1, "ready")])
        return m.JobPage(0, self.jobs, counts=m.Counts(queued=len(self.jobs)))


def state(number: int, rev: int, where: State = State.QUEUED, **more: Any) -> m.JobState:
    return m.JobState(f"{number:064x}", rev, where, **more)


async def read(changes: Changes, hub: Hub, count: int) -> list[Change]:
    source = changes.each(cast(Connection, hub))
    found = [await anext(source) for _ in range(count)]
    await source.aclose()  # type: ignore[attr-defined]
    return found


async def test_a_newer_state_replaces_the_unread_one_and_keeps_its_summary() -> None:
    changes, hub = Changes(), Hub([])
    await read(changes, hub, 2)
    summary = m.Summary(image="alpine")
    changes.pushed(m.Changed(1, state(1, 1, summary=summary)))
    changes.pushed(m.Changed(2, state(2, 1)))
    changes.pushed(m.CountsChanged(m.Counts(queued=1)))
    changes.pushed(m.Changed(3, state(1, 2, State.RUNNING)))
    changes.pushed(m.CountsChanged(m.Counts(queued=2)))
    assert await read(changes, hub, 3) == [
        state(2, 1),
        m.Counts(queued=2),
        state(1, 2, State.RUNNING, summary=summary),
    ]


async def test_a_snapshot_never_goes_back_behind_a_pushed_state() -> None:
    changes, hub = Changes(), Hub([state(1, 1), state(2, 1)])
    changes.pushed(m.Changed(5, state(1, 3, State.RUNNING)))
    found = await read(changes, hub, 4)
    assert found[2:] == [state(2, 1), state(1, 3, State.RUNNING)]


async def test_only_a_connection_that_did_not_recover_is_read_from_a_snapshot_again() -> None:
    changes, hub = Changes(), Hub([])
    await read(changes, hub, 2)
    changes.opened(True)
    changes.pushed(m.Changed(1, state(1, 1)))
    assert await read(changes, hub, 1) == [state(1, 1)]
    assert hub.asked == ["Workers", "List"]
    changes.opened(False)
    await read(changes, hub, 2)
    assert hub.asked == ["Workers", "List"] * 2


async def test_a_snapshot_of_the_newest_jobs_is_bounded() -> None:
    changes, hub = Changes(recent=2), Hub([state(number, 1) for number in range(9)])
    changes_read = await read(changes, hub, 4)
    assert [change.id for change in changes_read if isinstance(change, m.JobState)] == [
        state(0, 1).id,
        state(1, 1).id,
    ]
    hub.failure = ConnectionFailed("the hub is away")
    changes.failed()
    with pytest.raises(ConnectionFailed):
        await read(changes, hub, 1)
