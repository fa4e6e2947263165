"""The view of ``asman queue watch``."""

from __future__ import annotations

import io
import json
from typing import Any

from rich.console import Console

from asman.cli.commands.queue_watch import line_of, picture, sparks
from asman.cli.watch_model import WatchModel
from asman_shared import messages as m
from asman_shared.messages import Counts, Summary, WorkerState
from asman_shared.states import Phase, Reason, State
from tests.support.shapes import holds
from tests.unit.client.cli.test_watch_model import BEGAN, finished, job
from tests.unit.client.fake_hub import FakeHub


def text(model: WatchModel, now: float = 0, width: int = 100, height: int = 20) -> str:
    console = Console(width=width, height=height, file=io.StringIO(), color_system=None)
    with console.capture() as shown:
        console.print(picture(model, "hub.example", now, width, height))
    return shown.get()


def test_the_view_fits_its_terminal_and_shows_what_runs_first() -> None:
    model = WatchModel(0, BEGAN)
    model.apply(Counts(1234, 1, 3), 0)
    model.apply(WorkerState("w", 1, "ready", name="lab-1", cpus=4, platform="linux/amd64", executor="docker"), 0)
    for number in range(100):
        model.apply(job(number), 0)
    model.apply(finished(200, BEGAN + 5, Reason.FAILED, 3), 0)
    model.apply(job(201, State.RUNNING, phase=Phase.PULLING, worker="lab-1", started=BEGAN), 0)
    shown = text(model)
    assert len(shown.splitlines()) <= 20
    assert "1,234 queued · 1 running · 3 finished" in shown
    lines = shown.splitlines()
    assert lines[4].split() == ["lab-1", "ready", "1", "0.5/4", "0/0", "linux/amd64", "docker"]
    assert "pulling" in lines[7]
    assert "Failed (3)" in lines[8]
    assert "Queued" in lines[9]
    assert text(model, width=30, height=5).strip()


def test_without_workers_it_says_that_jobs_wait_and_markup_is_only_text() -> None:
    model = WatchModel(0, BEGAN)
    assert "none: jobs are waiting" in text(model)
    state = job(1)
    state.summary = Summary(image="alpine", command="echo [red]x[/red] [/nothing]")
    model.apply(state, 0)
    assert "[red]x[/red] [/nothing]" in text(model)


def test_bars() -> None:
    assert sparks([0, 1, 4, 8]) == " ▁▄█"
    assert sparks([0, 0]) == "  "


async def test_a_watched_queue_is_a_line_a_change_where_there_is_no_terminal(hub: FakeHub) -> None:
    state = m.JobState("a" * 64, 1, State.QUEUED)
    assert line_of(state, json=False) == "job     aaaaaaaaaaaa  Queued"
    worker = m.WorkerState("w", 1, "ready")
    for change in (state, worker, m.Counts(1, 2, 3, 4)):
        holds(json.loads(line_of(change, json=True)), "queue watch")
    value: Any = json.loads(line_of(m.Counts(1, 2, 3, 4), json=True))
    assert value == {"kind": "counts", "counts": {"queued": 1, "running": 2, "finished": 3, "workers": 4}}
