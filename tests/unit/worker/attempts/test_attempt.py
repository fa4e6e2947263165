"""One attempt: its phases under their limits, and every end of it as an outcome."""

from __future__ import annotations

from pathlib import Path

import pytest

from asman_shared.errors import AsmanError, BadRequest, Conflict, ExecutionError, NotFound, Unavailable
from asman_shared.messages import PhaseReport
from asman_shared.states import Fault, Phase
from asman_worker import AttemptSpec, Ended, Reporter
from asman_worker.attempts.attempt import _has_files, _least, _noted_gpus
from asman_worker.execution.folders import JobFolder
from devtools.fake_hub import FakeHub
from tests.unit.worker.attempts.test_agent import Scripted, finished, working


class Raising(Scripted):
    """Fails to prepare with an error that a test gives."""

    def __init__(self, error: Exception) -> None:
        super().__init__()
        self.error = error

    async def prepare(self, spec: AttemptSpec, report: Reporter) -> None:
        raise self.error


@pytest.mark.parametrize(
    ("error", "fault", "says"),
    [
        (ExecutionError("no such image"), Fault.JOB, "no such image"),
        (ExecutionError("no disk", fault="worker"), Fault.WORKER, "no disk"),
        (BadRequest("wrong"), Fault.JOB, "wrong"),
        (Unavailable("later"), Fault.HUB, "later"),
        (Conflict("changed"), Fault.WORKER, "changed"),
        (NotFound("gone"), Fault.WORKER, "gone"),
        (OSError(28, "No space left on device"), Fault.WORKER, "the worker could not run the job: [Errno 28]"),
        (KeyError("x" * 1000), Fault.WORKER, "the worker failed: KeyError"),
    ],
)
async def test_every_error_is_an_outcome_that_says_whose_fault_it_is(
    hub: FakeHub, tmp_path: Path, error: Exception, fault: Fault, says: str
) -> None:
    async with working(hub, tmp_path, Raising(error)) as (line, _, _):
        await line.assign("a", command="ok")
        outcome = (await finished(line, "a")).outcome
    assert (outcome.kind, outcome.fault) == ("error", fault)
    assert outcome.message.startswith(says)
    assert len(outcome.message) <= 500
    assert isinstance(error, AsmanError) == (outcome.message == says)


async def test_what_failed_gives_its_room_back(hub: FakeHub, tmp_path: Path) -> None:
    executor = Raising(ExecutionError("no"))
    async with working(hub, tmp_path, executor, cpus=1) as (line, _, _):
        for name in ("a", "b", "c"):
            await line.assign(name, command="ok")
            assert (await finished(line, name)).outcome.kind == "error"


async def test_an_outcome_tells_the_phases_and_the_worker(hub: FakeHub, tmp_path: Path) -> None:
    class Origin(Scripted):
        async def run(self, spec: AttemptSpec, report: Reporter) -> Ended:
            report.phase(Phase.RUNNING)
            report.output(0, b"one\ntwo")
            (spec.folder.outputs / "made.txt").write_text("made")
            return Ended("exited", 3, image_digest="sha256:x", origin="https://h/r#c")

    async with working(hub, tmp_path, Origin()) as (line, _, _):
        await line.assign("a", command="ok")
        outcome = (await finished(line, "a")).outcome
    assert (outcome.exit_code, outcome.lines) == (3, 2)
    assert list(outcome.result.phases) == [Phase.STAGING, Phase.RUNNING, Phase.UPLOADING]
    assert (outcome.result.worker, outcome.result.image_digest) == ("tester", "sha256:x")
    assert (outcome.result.origin, list(outcome.result.outputs)) == ("https://h/r#c", ["made.txt"])


async def test_without_outputs_nothing_is_uploaded(hub: FakeHub, tmp_path: Path) -> None:
    async with working(hub, tmp_path, Scripted()) as (line, _, _):
        await line.assign("a", command="ok")
        outcome = (await finished(line, "a")).outcome
    assert Phase.UPLOADING not in outcome.result.phases


async def test_of_the_limits_of_job_and_worker_the_smaller_one_ends_a_phase(hub: FakeHub, tmp_path: Path) -> None:
    async with working(hub, tmp_path, Scripted(), pull_limit="50ms") as (line, _, _):
        await line.assign("a", command="pull")
        await line.expect(PhaseReport, lambda message: message.phase is Phase.PULLING)
        outcome = (await finished(line, "a")).outcome
    assert outcome.kind == "timed_out"
    assert outcome.message == "pulling (getting the image) took longer than its limit of 50 ms"


@pytest.mark.parametrize(
    ("limits", "least"), [((), 0), ((0,), 0), ((0, 5), 5), ((7, 5), 5), ((5, 0, 7), 5), ((0, 0), 0)]
)
def test_no_limit_is_more_than_any(limits: tuple[int, ...], least: int) -> None:
    assert _least(*limits) == least


def test_a_folder_has_files_if_there_is_anything_in_it(tmp_path: Path) -> None:
    assert not _has_files(tmp_path / "none")
    assert not _has_files(tmp_path)
    (tmp_path / "sub").mkdir()
    assert _has_files(tmp_path)


def test_gpus_of_an_attempt_are_known_after_a_restart(tmp_path: Path) -> None:
    assert _noted_gpus(JobFolder(tmp_path)) == ()
    (tmp_path / "gpus").write_text("GPU-1\nGPU-2")
    assert _noted_gpus(JobFolder(tmp_path)) == ("GPU-1", "GPU-2")
