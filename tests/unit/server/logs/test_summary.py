"""The summary of a job: in which phase it is or failed, its first error, and what is missing of its log."""

from __future__ import annotations

from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any, cast

import pytest

from asman_server.core.job_state import state_of
from asman_server.logs import summary as module
from asman_server.logs.reader import LogReader
from asman_server.logs.summary import phase_of, summarise_log
from asman_server.queues.shell import QueueShell
from asman_shared.messages import Gap, JobState, JobSummary, LogLine, Result, Verdict
from asman_shared.states import Phase, Reason, State
from tests.support.log_harness import JOB, LogHarness


def state(kind: State, **more: Any) -> JobState:
    return JobState(id="a", rev=1, state=kind, attempt=1, queued=1, **more)


def line(seq: int, text: str = "x", phase: Phase = Phase.RUNNING, stream: int = 0) -> LogLine:
    return LogLine(seq, 1, stream, text, phase)


@pytest.mark.parametrize(
    ("phases", "found"),
    [
        ([Phase.STAGING, Phase.PULLING], Phase.PULLING),
        ([Phase.STAGING, Phase.RUNNING, Phase.UPLOADING], Phase.RUNNING),
        ([Phase.UPLOADING], Phase.UPLOADING),
    ],
)
def test_a_failed_job_failed_in_its_last_phase_but_for_the_upload_of_what_there_was(
    phases: list[Phase], found: Phase
) -> None:
    assert phase_of(state(State.FINISHED), Result(phases=dict.fromkeys(phases, 1)), []) is found


def test_a_job_that_goes_on_is_in_its_phase() -> None:
    assert phase_of(state(State.RUNNING, phase=Phase.PULLING), Result(phases={Phase.RUNNING: 1}), []) is Phase.PULLING


def test_without_a_result_the_last_line_tells_the_phase() -> None:
    assert phase_of(state(State.FINISHED), None, [line(0), line(1, phase=Phase.BUILDING)]) is Phase.BUILDING
    assert phase_of(state(State.FINISHED), None, []) is None


@pytest.fixture(scope="module")
def reader() -> Iterator[LogReader]:
    made = LogReader()
    yield made
    made.close()


async def summarised(reader: LogReader, harness: LogHarness, result: Result | None = None) -> JobSummary:
    async def job(_id: str) -> Any:
        return harness.job

    async def durable(job: Any) -> JobState:
        return state_of(job)

    async def stored(_id: str) -> Result | None:
        return result

    shell = SimpleNamespace(logs=harness.logs, job=job, durable=durable, result=stored)
    found = await summarise_log(reader, cast(QueueShell, shell), JOB, 5)
    harness.logs.flush()
    return found


def end(harness: LogHarness, *, ok: bool) -> None:
    harness.job.state = State.FINISHED
    harness.job.verdict = Verdict(ok=ok, reason=Reason.SUCCESS if ok else Reason.FAILED)


async def test_the_first_error_comes_with_the_lines_around_it(reader: LogReader) -> None:
    harness = LogHarness()
    await harness.add(*(line(seq, "error: it broke" if seq in (50, 80) else f"line {seq}") for seq in range(100)))
    end(harness, ok=False)
    found = await summarised(reader, harness, Result(phases={Phase.RUNNING: 1}))
    assert (found.ref, found.error_seq, found.phase, found.lines) == (5, 50, Phase.RUNNING, 100)
    assert [each.seq for each in found.error] == list(range(40, 61))
    assert found.last[-1].seq == 99


async def test_a_job_that_succeeded_has_no_error_whatever_it_said(reader: LogReader) -> None:
    harness = LogHarness()
    await harness.add(line(0, "error: it broke"))
    end(harness, ok=True)
    found = await summarised(reader, harness)
    assert (found.error, found.error_seq, found.phase) == ([], None, None)


async def test_missing_lines_are_counted_and_listed_up_to_a_bound(
    reader: LogReader, monkeypatch: pytest.MonkeyPatch
) -> None:
    harness = LogHarness()
    for seq in (0, 3, 5, 9):
        await harness.add(line(seq))
    found = await summarised(reader, harness)
    assert (found.missing, found.gaps) == (6, [Gap(1, 3), Gap(4, 5), Gap(6, 9)])
    monkeypatch.setattr(module, "GAPS", 1)
    found = await summarised(reader, harness)
    assert (found.missing, found.gaps) == (6, [Gap(1, 3)])


async def test_a_build_that_failed_names_its_step(reader: LogReader) -> None:
    harness = LogHarness()
    await harness.add(line(0, "Step 1/2 : FROM a", Phase.BUILDING), line(1, "Step 2/2 : RUN make", Phase.BUILDING))
    end(harness, ok=False)
    found = await summarised(reader, harness, Result(phases={Phase.BUILDING: 1}))
    assert (found.phase, found.step) == (Phase.BUILDING, "Step 2/2 : RUN make")


async def test_a_long_line_is_cut_to_what_a_summary_shows(reader: LogReader) -> None:
    harness = LogHarness()
    await harness.add(line(0, "x" * module.SHOWN), line(1, "y" * (module.SHOWN + 1)))
    found = await summarised(reader, harness)
    assert [len(each.text) for each in found.last] == [module.SHOWN, module.SHOWN]
    assert found.last[1].text.endswith("y…")


async def test_a_job_without_a_line_has_a_summary(reader: LogReader) -> None:
    found = await summarised(reader, LogHarness())
    assert (found.lines, found.missing, found.last, found.error) == (0, 0, [], [])
