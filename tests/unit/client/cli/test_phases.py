"""The status line that shows the phase of a job."""

from __future__ import annotations

import pytest
from rich.console import Console

from asman.cli.phases import amount, bar, describe
from asman_shared.messages import JobState, PhaseProgress, Verdict
from asman_shared.states import Phase, Reason, State


def progress(done: int, total: int, unit: str) -> PhaseProgress:
    return PhaseProgress("a" * 64, 1, Phase.PULLING, done, total, unit)


@pytest.mark.parametrize("phase", list(Phase))
def test_every_phase_has_a_text(phase: Phase) -> None:
    assert describe(JobState("a" * 64, 1, State.RUNNING, phase=phase))


def test_a_waiting_job_says_so_and_a_finished_one_nothing() -> None:
    assert describe(JobState("a" * 64, 1, State.QUEUED)) == "waiting for a worker"
    ended = JobState("a" * 64, 2, State.FINISHED, phase=Phase.RUNNING, verdict=Verdict(True, Reason.SUCCESS, 0))
    assert describe(ended) == ""


def test_amounts_are_bytes_as_people_write_them_or_counts() -> None:
    mib = 1024 * 1024
    assert amount(progress(10 * mib, 40 * mib, "bytes")) == "10 MiB of 40 MiB"
    assert amount(progress(3, 8, "layers")) == "3 of 8 layers"
    assert amount(progress(3, 8, "")) == "3 of 8"


def test_a_unit_that_a_worker_names_steers_no_terminal() -> None:
    console = Console(width=100, color_system=None, force_terminal=True)
    with console.capture() as shown:
        for unit in ("\x1b[2J\x1b]0;x\x07", "[/b]", "[blink]"):
            console.print(bar("pulling", progress(3, 8, unit)))
    assert "\x1b[2J" not in shown.get()
    assert "\x07" not in shown.get()
    assert "3 of 8 [/b]" in shown.get()


def test_text_bar_and_numbers_are_one_line() -> None:
    console = Console(width=100, color_system=None)
    with console.capture() as shown:
        console.print(bar("pulling the image", progress(4, 8, "layers")))
    (line,) = shown.get().splitlines()
    assert line.startswith("pulling the image ")
    assert line.rstrip().endswith("4 of 8 layers")
