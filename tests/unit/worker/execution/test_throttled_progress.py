"""Progress of transfers, told seldom enough."""

from __future__ import annotations

import time

import pytest

from asman_shared.states import Phase
from asman_worker.execution.throttled_progress import EACH_SECONDS, ThrottledProgress


class Told:
    def __init__(self) -> None:
        self.said: list[tuple[Phase, int, int, str]] = []

    def phase(self, phase: Phase, done: int = 0, total: int = 0, unit: str = "") -> None:
        self.said.append((phase, done, total, unit))


class Clock:
    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 100.0
        monkeypatch.setattr(time, "monotonic", lambda: self.now)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    return Clock(monkeypatch)


def test_bytes_add_up_and_are_told_after_a_while(clock: Clock) -> None:
    told = Told()
    progress = ThrottledProgress(told, Phase.STAGING, 10)
    progress.moved(3)
    clock.now += EACH_SECONDS
    progress.moved(1)
    assert told.said == []
    clock.now += 0.01
    progress.moved(2)
    assert told.said == [(Phase.STAGING, 6, 10, "bytes")]
    progress.moved(1)
    assert len(told.said) == 1


def test_what_must_be_moved_again_is_taken_back(clock: Clock) -> None:
    told = Told()
    progress = ThrottledProgress(told, Phase.UPLOADING, 10)
    progress.moved(8)
    clock.now += 1
    progress.moved(-8)
    assert told.said == [(Phase.UPLOADING, 0, 10, "bytes")]


def test_more_than_was_known_is_never_more_than_all(clock: Clock) -> None:
    told = Told()
    progress = ThrottledProgress(told, Phase.STAGING, 0)
    clock.now += 1
    progress.moved(5)
    assert told.said == [(Phase.STAGING, 5, 5, "bytes")]
