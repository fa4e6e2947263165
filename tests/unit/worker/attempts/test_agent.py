"""What a worker holds, told by the hub: with an executor that does what the test says."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from asman_shared.definition import DataRef, Definition, Source
from asman_shared.errors import ExecutionError
from asman_shared.messages import Abort, Assign, Finished, Kept, LogBatch, PhaseReport, Released
from asman_shared.states import Fault, Phase
from asman_worker import AttemptSpec, Ended, Reporter, load_config, run_worker
from devtools.fake_hub import FakeHub, Line, job


class Scripted:
    """Runs what the command says: ``ok``, ``wait``, ``raise``, ``broken``, ``talk``."""

    name = "scripted"
    uses_folder = True
    resumes = False
    own_tags: tuple[str, ...] = ()
    sources: tuple[Source, ...] = ()

    def __init__(self, *, uses_folder: bool = True) -> None:
        self.uses_folder = uses_folder
        self.go = asyncio.Event()
        self.started: list[AttemptSpec] = []
        self.stopped: list[tuple[str, int]] = []
        self.removed: list[tuple[str, int]] = []

    async def open(self) -> str:
        return "linux/amd64"

    async def close(self) -> None:
        pass

    def check(self, definition: Definition) -> None:
        if definition.command == "refuse":
            raise ExecutionError("not here", fault="worker")

    async def prepare(self, spec: AttemptSpec, report: Reporter) -> None:
        if spec.definition.command == "pull":
            report.phase(Phase.PULLING)
            await self.go.wait()

    async def run(self, spec: AttemptSpec, report: Reporter) -> Ended:
        self.started.append(spec)
        report.phase(Phase.RUNNING)
        try:
            match spec.definition.command:
                case "wait":
                    await self.go.wait()
                case "raise":
                    raise RuntimeError("a bug")
                case "broken":
                    raise ExecutionError("no such thing", fault="job")
                case "talk":
                    report.output(1, b"one\ntwo\n")
                    await self.go.wait()
                    report.output(1, b"three")
        except asyncio.CancelledError:
            self.stopped.append(spec.key)
            raise
        return Ended("exited", 0)

    async def resume(self, spec: AttemptSpec, report: Reporter) -> Ended:
        raise AssertionError

    async def remove(self, key: tuple[str, int]) -> None:
        self.removed.append(key)

    async def sweep(self, known: set[tuple[str, int]]) -> set[tuple[str, int]]:
        return set()


@asynccontextmanager
async def working(
    hub: FakeHub, tmp_path: Path, executor: Scripted, **more: object
) -> AsyncIterator[tuple[Line, asyncio.Event, asyncio.Task[int]]]:
    stop = asyncio.Event()
    config = load_config(queue=hub.url, data_dir=tmp_path, name="tester", **more)
    task = asyncio.create_task(run_worker(config, stop=stop, executor=executor))
    try:
        line = await hub.line()
        await line.answer()
        yield line, stop, task
    finally:
        task.cancel()
        await asyncio.wait((task,))


async def finished(line: Line, name: str) -> Finished:
    return await line.expect(Finished, lambda message: message.job == job(name))


async def test_an_assignment_is_answered_by_its_phase_at_once(hub: FakeHub, tmp_path: Path) -> None:
    executor = Scripted()
    async with working(hub, tmp_path, executor) as (line, _, _):
        await line.assign("a", command="pull")
        assert (await line.expect(PhaseReport)).phase is Phase.STAGING
        await line.expect(PhaseReport, lambda message: message.phase is Phase.PULLING)
        executor.go.set()
        assert (await finished(line, "a")).outcome.kind == "exited"


async def test_the_same_assignment_twice_runs_once(hub: FakeHub, tmp_path: Path) -> None:
    executor = Scripted()
    async with working(hub, tmp_path, executor) as (line, _, _):
        assign = Assign(job("a"), 1, Definition(command="wait"))
        await line.send(assign, assign)
        await line.expect(PhaseReport, lambda message: message.phase is Phase.RUNNING)
        await line.send(assign)
        executor.go.set()
        await finished(line, "a")
        assert len(executor.started) == 1


@pytest.mark.parametrize(
    ("definition", "fault", "sentence"),
    [
        (Definition(command="raise"), Fault.WORKER, "a bug"),
        (Definition(command="broken"), Fault.JOB, "no such thing"),
        (Definition(command="refuse"), Fault.WORKER, "not here"),
        (Definition(command="ok", inputs={"../x": DataRef("y")}), Fault.JOB, "'..'"),
        (Definition(command="ok", inputs={"a": DataRef("y"), "a/b": DataRef("y")}), Fault.JOB, "a file and the folder"),
        (Definition(command="ok", inputs={"a/b": DataRef("y"), "a": DataRef("y")}), Fault.JOB, "folder"),
        (Definition(command="ok", inputs={"x": DataRef("!", "base64")}), Fault.JOB, "a base64 ref is not base64"),
        (Definition(command="ok", inputs={"x": DataRef("f" * 64, "key")}), Fault.JOB, "not stored"),
        (Definition(command="ok", max_duration="soon"), Fault.JOB, "soon"),
    ],
)
async def test_a_bad_assignment_is_an_error_of_its_job_and_never_of_the_worker(
    hub: FakeHub, tmp_path: Path, definition: Definition, fault: Fault, sentence: str
) -> None:
    async with working(hub, tmp_path, Scripted()) as (line, _, task):
        await line.send(Assign(job("bad"), 1, definition), Assign(job("good"), 1, Definition(command="ok")))
        outcome = (await finished(line, "bad")).outcome
        assert (outcome.kind, outcome.fault) == ("error", fault)
        assert sentence in outcome.message
        assert (await finished(line, "good")).outcome.kind == "exited"
        assert not task.done()


@pytest.mark.parametrize("command", ["wait", "pull"])
async def test_an_abort_stops_any_phase_and_releases_when_nothing_is_left(
    hub: FakeHub, tmp_path: Path, command: str
) -> None:
    executor = Scripted()
    async with working(hub, tmp_path, executor) as (line, _, _):
        await line.assign("a", command=command)
        wanted = Phase.RUNNING if command == "wait" else Phase.PULLING
        await line.expect(PhaseReport, lambda message: message.phase is wanted)
        await line.send(Abort(job("a"), 1))
        await line.expect(Released)
        assert executor.removed == [(job("a"), 1)]
        assert list((tmp_path / "jobs").iterdir()) == []
        assert not [message for message in line.messages if isinstance(message, Finished)]


async def test_an_abort_of_what_is_not_held_is_released_at_once(hub: FakeHub, tmp_path: Path) -> None:
    async with working(hub, tmp_path, Scripted()) as (line, _, _):
        await line.send(Abort(job("never"), 3))
        released = await line.expect(Released)
        assert (released.job, released.attempt) == (job("never"), 3)


async def test_an_abort_of_a_finished_attempt_forgets_its_result(hub: FakeHub, tmp_path: Path) -> None:
    async with working(hub, tmp_path, Scripted()) as (line, _, _):
        await line.assign("a", command="ok")
        await finished(line, "a")
        await line.send(Abort(job("a"), 1))
        await line.expect(Released)
        line.cut()
        assert (await hub.line()).register.holding == []


async def test_the_last_lines_come_before_the_result(hub: FakeHub, tmp_path: Path) -> None:
    executor = Scripted()
    async with working(hub, tmp_path, executor) as (line, _, _):
        await line.assign("a", command="talk", log_next=10)
        await line.expect(LogBatch)
        executor.go.set()
        done = await finished(line, "a")
        assert [(each.seq, each.text) for each in line.lines("a")] == [(10, "one"), (11, "two"), (12, "three")]
        assert done.outcome.lines == 13
        assert isinstance(line.messages[-1], Finished)


async def test_lines_and_the_end_of_a_job_wait_for_the_hub_to_come_back(hub: FakeHub, tmp_path: Path) -> None:
    executor = Scripted()
    async with working(hub, tmp_path, executor) as (line, _, _):
        await line.assign("a", command="talk")
        await line.expect(LogBatch)
        await hub.stop()
        executor.go.set()
        while executor.removed != [(job("a"), 1)]:
            await asyncio.sleep(0)
        await hub.start()
        again = await hub.line()
        assert [(held.attempt, held.done) for held in again.register.holding] == [(1, True)]
        await again.answer([Kept(job("a"), 1, 2)])
        await finished(again, "a")
        assert again.texts("a") == ["three"]


async def test_a_staging_that_takes_too_long_says_which_phase_ran_out(hub: FakeHub, tmp_path: Path) -> None:
    executor = Scripted()
    async with working(hub, tmp_path, executor, pull_limit="50ms") as (line, _, _):
        await line.assign("a", command="pull")
        outcome = (await finished(line, "a")).outcome
        assert (outcome.kind, outcome.message) == (
            "timed_out",
            "pulling (getting the image) took longer than its limit of 50 ms",
        )


async def test_each_attempt_has_fresh_folders(hub: FakeHub, tmp_path: Path) -> None:
    stale = tmp_path / "jobs" / f"{job('a')[:16]}-1" / "outputs"
    stale.mkdir(parents=True)
    (stale / "of-before").write_text("x")
    async with working(hub, tmp_path, Scripted()) as (line, _, _):
        await line.assign("a", command="ok")
        assert (await finished(line, "a")).outcome.result.outputs == {}


async def test_drained_without_jobs_ends_at_once(hub: FakeHub, tmp_path: Path) -> None:
    async with working(hub, tmp_path, Scripted()) as (_, stop, task):
        stop.set()
        assert await task == 0


async def test_a_worker_that_is_cancelled_stops_its_jobs_and_gives_them_back(hub: FakeHub, tmp_path: Path) -> None:
    executor = Scripted()
    async with working(hub, tmp_path, executor) as (line, _, task):
        await line.assign("a", command="wait")
        await line.expect(PhaseReport, lambda message: message.phase is Phase.RUNNING)
        task.cancel()
        await line.expect(Released)
        await asyncio.wait((task,))
        assert executor.stopped == executor.removed == [(job("a"), 1)]


async def test_thousands_of_short_jobs_all_end(hub: FakeHub, tmp_path: Path) -> None:
    async with working(hub, tmp_path, Scripted(uses_folder=False)) as (line, _, _):
        names = [str(number) for number in range(3000)]
        await line.send(*(Assign(job(name), 1, Definition(command="ok")) for name in names))
        async with line._arrived:
            await line._arrived.wait_for(
                lambda: sum(isinstance(message, Finished) for message in line.messages) == 3000
            )
        assert len(line.frames) < 200
