"""One attempt: its phases under their limits, and every end of it as an outcome."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import pytest

from asman_shared.codec import encode
from asman_shared.definition import DataRef
from asman_shared.errors import AsmanError, BadRequest, Conflict, ExecutionError, NotFound, Unavailable
from asman_shared.limits import DEFINITION_BYTES, FRAME_BYTES
from asman_shared.messages import Finished, Outcome, OutputFile, PhaseReport, Result
from asman_shared.states import Fault, Phase
from asman_worker import AttemptSpec, Ended, Reporter
from asman_worker.attempts.agent import _bounded
from asman_worker.attempts.attempt import Attempt, AttemptContext, _has_files, _least, _noted_gpus
from asman_worker.config import WorkerConfig
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


@pytest.mark.parametrize(("resumed", "least"), [(True, 20_000), (False, 0)])
async def test_the_time_of_an_attempt_goes_on_over_a_restart_of_the_worker(resumed: bool, least: int) -> None:
    config = WorkerConfig(queue="http://127.0.0.1:1/q/q", name="w")
    context = SimpleNamespace(config=config, send_buffer=SimpleNamespace(put_lines=lambda *_: None))
    started = round(time.time() * 1000) - 20_000
    attempt = Attempt(cast(AttemptContext, context), ("a" * 64, 1), None, started, resumed=resumed)
    outcome = await attempt.run()
    assert outcome.message == "the worker lost the definition of the job"
    assert least <= outcome.duration < least + 20_000


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


class Leaving(Scripted):
    """Leaves outputs of the given sizes, in bytes by name, and ends as a test says."""

    def __init__(self, sizes: dict[str, int], ended: Ended) -> None:
        super().__init__()
        self.sizes = sizes
        self.ended = ended

    async def run(self, spec: AttemptSpec, report: Reporter) -> Ended:
        report.phase(Phase.RUNNING)
        for name, size in self.sizes.items():
            (spec.folder.outputs / name).write_bytes(name[:1].encode() * size)
        return self.ended


async def test_set_id_bits_of_outputs_are_neither_told_nor_left_on_this_machine(
    hub: FakeHub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Attempt, "clear", lambda self: asyncio.sleep(0))

    class Rooted(Scripted):
        async def run(self, spec: AttemptSpec, report: Reporter) -> Ended:
            (spec.folder.outputs / "tool").write_bytes(b"x")
            (spec.folder.outputs / "tool").chmod(0o6755)
            return Ended("exited", 0)

    async with working(hub, tmp_path, Rooted()) as (line, _, _):
        await line.assign("a", command="ok")
        end = await finished(line, "a")
        assert end.outcome.result.outputs["tool"].mode == 0o755
        (left,) = (tmp_path / "jobs").glob("*/outputs/tool")
        assert left.stat().st_mode & 0o7777 == 0o755


REFUSED = "it could not be stored: the quota has no room for 900 bytes"


async def test_an_exit_code_stays_when_outputs_are_beyond_the_quota_and_the_others_are_kept(
    hub: FakeHub, tmp_path: Path
) -> None:
    hub.quota = 1000
    sizes = {"a-small": 10, "big": 900, "c-small": 20, "d-small": 200}
    async with working(hub, tmp_path, Leaving(sizes, Ended("exited", 7))) as (line, _, _):
        await line.assign("a", command="ok")
        end = await finished(line, "a")
    outcome = end.outcome
    assert (outcome.kind, outcome.exit_code) == ("exited", 7)
    assert outcome.message == "1 of 4 outputs could not be stored: the quota has no room for 900 bytes"
    assert {name: len(hub.output(end, name)) for name in outcome.result.outputs} == {
        "a-small": 10,
        "c-small": 20,
        "d-small": 200,
    }
    assert outcome.result.skipped == {"big": REFUSED}


@pytest.mark.parametrize(
    ("ended", "kind", "message"),
    [
        (Ended("exited", 0), "error", "the output could not be stored: "),
        (Ended("timed_out", 143, "too slow"), "timed_out", "too slow; the output could not be stored: "),
        (Ended("out_of_memory", 137, "too big"), "out_of_memory", "too big; the output could not be stored: "),
    ],
)
async def test_only_a_success_is_none_when_its_outputs_can_not_be_stored(
    hub: FakeHub, tmp_path: Path, ended: Ended, kind: str, message: str
) -> None:
    hub.quota = 1
    async with working(hub, tmp_path, Leaving({"x": 900}, ended)) as (line, _, _):
        await line.assign("a", command="ok")
        outcome = (await finished(line, "a")).outcome
    assert (outcome.kind, outcome.exit_code) == (kind, ended.exit_code)
    assert outcome.message.startswith(message)
    assert (outcome.result.outputs, outcome.result.skipped) == ({}, {"x": REFUSED})


@pytest.mark.parametrize(("code", "kind"), [(7, "exited"), (0, "timed_out")])
async def test_an_upload_that_takes_too_long_keeps_the_exit_code_and_names_what_is_missing(
    hub: FakeHub, tmp_path: Path, code: int, kind: str
) -> None:
    there = hub.store(b"t" * 30)
    hub.open.clear()
    executor = Leaving({"there": 30, "x": 900}, Ended("exited", code))
    async with working(hub, tmp_path, executor, upload_limit="300ms") as (line, _, _):
        await line.assign("a", command="ok")
        outcome = (await finished(line, "a")).outcome
    why = "uploading (storing the outputs) took longer than its limit of 300 ms"
    assert (outcome.kind, outcome.exit_code) == (kind, code)
    assert outcome.message == f"1 of 2 outputs could not be stored: {why}"
    assert {name: file.sha256 for name, file in outcome.result.outputs.items()} == {"there": there}
    assert outcome.result.skipped == {"x": f"it could not be stored: {why}"}


async def test_an_unexpected_error_about_the_outputs_does_not_replace_the_exit_code(
    hub: FakeHub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(*_: object) -> None:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr("asman_worker.attempts.outputs.scan", fails)
    async with working(hub, tmp_path, Leaving({"x": 1}, Ended("exited", 7))) as (line, _, _):
        await line.assign("a", command="ok")
        outcome = (await finished(line, "a")).outcome
    assert (outcome.kind, outcome.exit_code) == ("exited", 7)
    assert outcome.message == "the outputs could not be stored: [Errno 5] Input/output error"
    assert outcome.result.skipped == {"/outputs": outcome.message}


def test_a_result_that_is_too_large_keeps_the_exit_code_and_as_many_outputs_as_it_can() -> None:
    names = [f"{number:05}{'n' * 900}" for number in range(5000)]
    file = OutputFile(DataRef("f" * 64, "key"), 1, "f" * 64)
    outcome = _bounded(Outcome("exited", 7, result=Result(outputs=dict.fromkeys(names, file))))
    kept, skipped = outcome.result.outputs, outcome.result.skipped
    assert (outcome.kind, outcome.exit_code) == ("exited", 7)
    assert outcome.message.startswith("it left 5000 files whose names alone have ")
    assert len(encode([Finished("a" * 64, 1, outcome)])) < FRAME_BYTES - DEFINITION_BYTES
    assert list(kept) == names[: len(kept)]
    assert len(kept) > 2000
    assert list(skipped) == [*names[len(kept) : len(kept) + 100], "…"]
    assert skipped["…"] == f"{5000 - len(kept) - 100} more were not kept"
