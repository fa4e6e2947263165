"""Jobs as plain processes: chosen by name, cleaned up as a group."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import psutil
import pytest

from asman_shared.definition import DataRef, Requirements
from asman_shared.messages import STDERR, STDOUT, Abort, Finished, LogBatch, PhaseReport, Released
from asman_shared.states import Fault, Phase
from asman_worker.execution import job_paths
from asman_worker.execution.disk_use import SharedFolder
from devtools.fake_hub import FakeHub, Line, job
from tests.integration.worker.conftest import config_for, first_line, worker
from tests.support.ordinary import Ordinary


@pytest.fixture
async def line(hub: FakeHub, tmp_path: Path) -> AsyncIterator[Line]:
    async with worker(config_for(hub, tmp_path / "data", executor="process", stop_grace="300ms")) as task:
        made = await first_line(hub, task)
        await made.answer()
        yield made


async def test_a_command_runs_with_its_files_where_the_environment_says(hub: FakeHub, line: Line) -> None:
    await line.assign(
        "a",
        command='cat "$JOB_INPUTS/x" > "$JOB_OUTPUTS/y"; echo out; echo err >&2; exit 3',
        inputs={"x": DataRef("hello")},
    )
    finished = await line.expect(Finished)
    assert (finished.outcome.kind, finished.outcome.exit_code) == ("exited", 3)
    assert (line.texts("a", STDOUT), line.texts("a", STDERR)) == (["out"], ["err"])
    assert hub.output(finished, "y") == b"hello"


async def test_an_image_is_refused_with_a_clear_word(line: Line) -> None:
    await line.assign("a", image="alpine", command="true")
    outcome = (await line.expect(Finished)).outcome
    assert (outcome.kind, outcome.fault) == ("error", Fault.WORKER)
    assert "--ignore-images" in outcome.message


async def test_a_program_that_is_not_there_is_a_clear_word(line: Line) -> None:
    await line.assign("a", command="no-such-program-here --x")
    outcome = (await line.expect(Finished)).outcome
    assert (outcome.kind, outcome.fault) == ("error", Fault.JOB)
    assert outcome.message == "'no-such-program-here' can't be started: No such file or directory"


@pytest.fixture(params=["root", "ordinary user"])
async def any_line(request: pytest.FixtureRequest, hub: FakeHub, tmp_path: Path) -> AsyncIterator[Line]:
    """A worker of this user, and one of an ordinary user."""
    user = None if request.param == "root" else Ordinary(ids=False)
    async with worker(config_for(hub, tmp_path / "data", executor="process", user=user)) as task:
        made = await first_line(hub, task)
        await made.answer()
        yield made


async def test_a_job_that_names_the_folders_of_a_container_has_them(hub: FakeHub, any_line: Line) -> None:
    line = any_line
    await line.assign(
        "a",
        command="sh /inputs/run.sh; ls -d /proc/self $JOB_INPUTS/run.sh; id -u; pwd; exit 3",
        workdir="/outputs",
        env={"A": "b c"},
        inputs={
            "run.sh": DataRef('cat /inputs/x > made; echo "$A" > /outputs/a; touch /job-cache/kept'),
            "x": DataRef("hi"),
        },
    )
    finished = await line.expect(Finished)
    assert (finished.outcome.exit_code, finished.outcome.message) == (3, "")
    assert (hub.output(finished, "made"), hub.output(finished, "a")) == (b"hi", b"b c\n")
    said = line.texts("a")
    assert (said[0], said[-1]) == ("/proc/self", "/outputs")
    assert not Path("/outputs").exists(), "the host's root stays as it is"


async def test_a_script_that_names_them_has_them_too_and_its_processes_end_with_it(hub: FakeHub, line: Line) -> None:
    script = "test -e /inputs/run.sh || exit 9; sleep 1000 & echo $!; echo up; wait"
    await line.assign("a", command='sh "$JOB_INPUTS/run.sh"', inputs={"run.sh": DataRef(script)})
    children = await _spawned(line)
    await line.send(Abort(job("a"), 1))
    await line.expect(Released)
    assert len(children) == 1
    assert not any(_alive(child) for child in children)


async def test_a_folder_that_is_not_there_is_a_clear_word(line: Line) -> None:
    await line.assign("a", command="cat /inputs/x", workdir="/no/such/folder")
    outcome = (await line.expect(Finished)).outcome
    assert (outcome.kind, outcome.fault) == ("error", Fault.JOB)
    assert outcome.message == (
        "the command can't be started: it can't begin in /no/such/folder: No such file or directory"
    )


async def test_jobs_that_name_none_of_them_stay_in_the_hosts_mounts(line: Line) -> None:
    await line.assign("a", command="readlink /proc/self/ns/mnt")
    await line.expect(Finished)
    assert line.texts("a") == [str(Path("/proc/self/ns/mnt").readlink())]


@pytest.fixture
async def bare_line(hub: FakeHub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Line]:
    """A worker on a system that allows no namespaces."""
    monkeypatch.setattr(job_paths, "try_out", lambda _: "a mount namespace can't be made: Operation not permitted")
    async with worker(config_for(hub, tmp_path / "data", executor="process")) as task:
        made = await first_line(hub, task)
        await made.answer()
        yield made


@pytest.mark.parametrize(
    "command", ["cat /inputs/words", ["cat", "/inputs/words"], "sh -c 'echo 1 >/outputs/n; exit 1'"]
)
async def test_a_failed_job_that_looks_for_its_files_in_a_container_is_told_where_they_are(
    bare_line: Line, command: str | list[str]
) -> None:
    line = bare_line
    await line.assign("a", command=command)
    outcome = (await line.expect(Finished)).outcome
    assert outcome.exit_code != 0
    assert (
        outcome.message == "this worker runs jobs without containers: their files are in $JOB_INPUTS and $JOB_OUTPUTS"
    )


@pytest.mark.parametrize("command", ["cat $JOB_INPUTS/words", "cat /srv/inputs/words", "cat /inputs-of-mine/words"])
async def test_other_failures_have_no_such_word(bare_line: Line, command: str) -> None:
    line = bare_line
    await line.assign("a", command=command)
    outcome = (await line.expect(Finished)).outcome
    assert (outcome.exit_code, outcome.message) == (1, "")


async def test_the_workers_environment_stays_with_the_worker(line: Line, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("A_SECRET", "s3cret")
    await line.assign("a", command="env")
    await line.expect(Finished)
    assert "s3cret" not in "".join(line.texts("a"))


async def _spawned(line: Line) -> list[int]:
    await line.expect(LogBatch, lambda m: any(each.text == "up" for each in m.lines))
    return [int(text) for text in line.texts("a") if text.isdigit()]


SPAWN = "trap '' TERM; sleep 1000 & echo $!; sleep 1001 & echo $!; echo up; wait; wait"


async def test_an_abort_kills_the_whole_group(line: Line) -> None:
    await line.assign("a", command=SPAWN)
    children = await _spawned(line)
    await line.send(Abort(job("a"), 1))
    await line.expect(Released)
    assert len(children) == 2
    assert not any(_alive(child) for child in children)


async def test_a_time_limit_kills_what_ignores_the_polite_request(line: Line) -> None:
    await line.assign("a", command=SPAWN, time_limit=500)
    children = await _spawned(line)
    outcome = (await line.expect(Finished)).outcome
    assert outcome.kind == "timed_out"
    assert not any(_alive(child) for child in children)


@pytest.mark.parametrize(
    ("end", "kind", "exit_code"), [("true", "exited", 0), ("exit 7", "exited", 7), ("sleep 100", "timed_out", None)]
)
async def test_outputs_come_however_the_run_ends(
    hub: FakeHub, line: Line, end: str, kind: str, exit_code: int | None
) -> None:
    made = 'echo half > "$JOB_OUTPUTS/a.csv"; echo log > "$JOB_OUTPUTS/b.log"; ln -s a.csv "$JOB_OUTPUTS/c.csv"'
    await line.assign("a", command=f"{made}; {end}", outputs=["*.csv"], time_limit=1000)
    finished = await line.expect(Finished)
    outcome = finished.outcome
    assert outcome.kind == kind
    if exit_code is not None:
        assert outcome.exit_code == exit_code
    assert list(outcome.result.outputs) == ["a.csv"]
    assert hub.output(finished, "a.csv") == b"half\n"
    assert outcome.result.skipped == {"c.csv": "a link; links are not followed"}


async def test_what_a_job_leaves_in_the_background_ends_with_it(line: Line) -> None:
    await line.assign("a", command="sleep 1000 & echo $!; echo up")
    children = await _spawned(line)
    assert (await line.expect(Finished)).outcome.exit_code == 0
    assert not any(_alive(child) for child in children)


async def test_memory_is_limited(line: Line) -> None:
    await line.assign(
        "a",
        command=["python3", "-c", "x = bytearray(10**9)"],
        requirements=Requirements(memory="256MiB"),
    )
    assert (await line.expect(Finished)).outcome.exit_code == 1
    assert "MemoryError" in line.texts("a", STDERR)


@pytest.mark.parametrize("place", ["$JOB_OUTPUTS", "$JOB_CACHE", "$HOME"])
async def test_a_disk_filler_is_stopped_though_each_file_is_small(hub: FakeHub, tmp_path: Path, place: str) -> None:
    async with worker(config_for(hub, tmp_path / "data", executor="process", disk="20MiB")) as task:
        line = await first_line(hub, task)
        await line.answer()
        fill = f"for each in 1 2 3; do head -c 9000000 /dev/zero > {place}/$each; done; sleep 600"
        await line.assign("a", command=["sh", "-c", fill], inputs={"x": DataRef("x" * 1000)})
        outcome = (await line.expect(Finished)).outcome
        assert (outcome.kind, outcome.fault) == ("error", Fault.JOB)
        assert outcome.message.startswith("stopped: it wrote ")
        assert outcome.message.endswith("and the maximum is 20 MiB (--disk)")


async def test_a_disk_filler_that_is_faster_than_the_first_measurement_is_stopped(
    hub: FakeHub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    measure = SharedFolder.measure

    async def late(self: SharedFolder, *, force: bool = False) -> None:
        await asyncio.sleep(0.5)
        await measure(self, force=force)

    monkeypatch.setattr(SharedFolder, "measure", late)
    async with worker(config_for(hub, tmp_path / "data", executor="process", disk="20MiB")) as task:
        line = await first_line(hub, task)
        await line.answer()
        fill = "for each in 1 2 3; do head -c 9000000 /dev/zero > $JOB_CACHE/$each; done; sleep 600"
        await line.assign("a", command=["sh", "-c", fill])
        assert (await line.expect(Finished)).outcome.message.startswith("stopped: it wrote ")


async def test_no_folder_is_left_behind(line: Line, tmp_path: Path) -> None:
    await line.assign("a", command="true")
    await line.expect(Finished)
    await line.assign("b", command="sleep 1000")
    await line.expect(PhaseReport, lambda m: m.job == job("b") and m.phase is Phase.RUNNING)
    await line.send(Abort(job("b"), 1))
    await line.expect(Released)
    assert [path.name for path in (tmp_path / "data" / "jobs").iterdir() if path.name.startswith(job("b")[:16])] == []


def _alive(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


async def test_of_a_long_log_so_much_is_sent_as_its_hub_keeps_several_times_over(hub: FakeHub, tmp_path: Path) -> None:
    lines = 3000
    async with worker(config_for(hub, tmp_path / "data", executor="process")) as task:
        line = await first_line(hub, task)
        await line.answer(log_limit=10 * 1024)
        await line.assign("a", command=["sh", "-c", f"yes $(printf %01000d 0) | head -n {lines}; echo last"])
        finished = await line.expect(Finished)
    assert (finished.outcome.exit_code, finished.outcome.lines) == (0, lines + 1)
    assert line.texts("a")[-1] == "last"
    assert len(line.lines("a")) < lines // 2
