"""What every executor promises, tried on each of them."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest

from asman_shared.definition import DataRef, Requirements
from asman_shared.messages import STDERR, STDOUT, Abort, Finished, LogBatch, Outcome, PhaseReport, Released
from asman_shared.states import Fault, Phase
from asman_worker.files.tree import remove_tree
from devtools.fake_hub import FakeHub, Line, job
from tests.integration.worker.conftest import WITHOUT_ENGINE, config_for, first_line, means_of, worker
from tests.support.images import BUSYBOX


class Place:
    """A worker with one of the executors.

    Attributes:
        line: Its connection.
    """

    def __init__(self, line: Line, image: str | None) -> None:
        self.line = line
        self._image: dict[str, Any] = {"image": image} if image else {}

    async def begin(self, name: str, command: str | list[str], **fields: Any) -> None:
        """Assigns a job."""
        await self.line.assign(name, command=command, **self._image, **fields)

    async def run(self, name: str, command: str | list[str], **fields: Any) -> Outcome:
        """Runs a job to its end."""
        await self.begin(name, command, **fields)
        return (await self.line.expect(Finished, lambda m: m.job == job(name))).outcome

    async def up(self, name: str) -> None:
        """Waits until a job has said that it is up."""
        await self.line.expect(LogBatch, lambda m: m.job == job(name) and any(each.text == "up" for each in m.lines))


@pytest.fixture(params=["docker", *WITHOUT_ENGINE, "process"])
async def place(hub: FakeHub, tmp_path: Path, request: pytest.FixtureRequest) -> AsyncIterator[Place]:
    bare = request.param == "process"
    more = {"executor": "process"} if bare else means_of(request.param, request)
    config = config_for(hub, tmp_path / "data", stop_grace="300ms", disk="50MiB", **more)
    async with worker(config) as task:
        line = await first_line(hub, task)
        await line.answer()
        yield Place(line, None if bare else BUSYBOX)


async def test_the_exit_code_and_both_streams_are_told(place: Place) -> None:
    outcome = await place.run("a", "echo out; echo err >&2; printf end; exit 7")
    assert (outcome.kind, outcome.exit_code) == ("exited", 7)
    assert (place.line.texts("a", STDOUT), place.line.texts("a", STDERR)) == (["out", "end"], ["err"])


async def test_inputs_and_outputs_are_where_the_environment_says(hub: FakeHub, place: Place) -> None:
    await place.begin("a", 'cp "$JOB_INPUTS/sub/x" "$JOB_OUTPUTS/y"', inputs={"sub/x": DataRef("hello")})
    finished = await place.line.expect(Finished)
    assert finished.outcome.exit_code == 0
    assert hub.output(finished, "y") == b"hello"


async def test_a_script_among_the_inputs_can_be_executed(place: Place) -> None:
    script = "#!/bin/sh\necho ran with $1\n"
    outcome = await place.run("a", '"$JOB_INPUTS/tool" it', inputs={"tool": DataRef(script)})
    assert (outcome.exit_code, place.line.texts("a")) == (0, ["ran with it"])


async def test_outputs_are_fresh_in_each_attempt(place: Place) -> None:
    await place.run("a", 'echo x > "$JOB_OUTPUTS/one"')
    await place.begin("a2", 'ls "$JOB_OUTPUTS"')
    outcome = (await place.line.expect(Finished, lambda m: m.job == job("a2"))).outcome
    assert (outcome.result.outputs, place.line.texts("a2")) == ({}, [])


async def test_the_jobs_environment_is_its_own(place: Place) -> None:
    await place.run("a", "env", env={"MINE": "1", "JOB_ID": "forged"})
    assert {"MINE=1", f"JOB_ID={job('a')}"} <= set(place.line.texts("a"))


async def test_the_cache_stays_between_jobs(place: Place) -> None:
    await place.run("a", 'echo kept > "$JOB_CACHE/note"')
    await place.run("b", 'cat "$JOB_CACHE/note"')
    assert place.line.texts("b") == ["kept"]


async def test_a_time_limit_asks_first_and_keeps_the_outputs(hub: FakeHub, place: Place) -> None:
    command = "trap 'echo late > \"$JOB_OUTPUTS/x\"; exit 9' TERM; echo up; while :; do sleep 0.1; done"
    await place.begin("a", ["sh", "-c", command], time_limit=700)
    finished = await place.line.expect(Finished)
    assert finished.outcome.kind == "timed_out"
    assert finished.outcome.message == "stopped: running took longer than its limit of 700 ms"
    assert hub.output(finished, "x") == b"late\n"


async def test_who_ignores_that_is_killed_after_the_grace(place: Place) -> None:
    outcome = await place.run("a", ["sh", "-c", "trap '' TERM; while :; do sleep 1; done"], time_limit=500)
    assert outcome.kind == "timed_out"
    assert "it ignored SIGTERM for 300 ms" in outcome.message


async def test_an_abort_ends_what_runs_and_says_so(place: Place) -> None:
    await place.begin("a", ["sh", "-c", "trap '' TERM; echo up; while :; do sleep 1; done"])
    await place.up("a")
    await place.line.send(Abort(job("a"), 1))
    await place.line.expect(Released)


async def test_an_abort_ends_the_coming_of_inputs_and_nothing_is_left(
    hub: FakeHub, place: Place, tmp_path: Path
) -> None:
    hub.open.clear()
    await place.begin("a", "true", inputs={"x": DataRef(hub.store(b"x" * 1000), "key")})
    await hub.held_up.acquire()
    await place.line.send(Abort(job("a"), 1))
    await place.line.expect(Released)
    assert phases(place.line) == [Phase.STAGING]
    assert left_of_jobs(tmp_path / "data") == []


async def test_an_abort_ends_the_leaving_of_outputs_and_nothing_is_left(
    hub: FakeHub, place: Place, tmp_path: Path
) -> None:
    hub.open.clear()
    await place.begin("a", 'head -c 1000000 /dev/zero > "$JOB_OUTPUTS/x"')
    await hub.held_up.acquire()
    await place.line.send(Abort(job("a"), 1))
    await place.line.expect(Released)
    assert phases(place.line) == [Phase.STAGING, Phase.RUNNING, Phase.UPLOADING]
    assert not any(isinstance(message, Finished) for message in place.line.messages)
    assert left_of_jobs(tmp_path / "data") == []


def phases(line: Line) -> list[Phase]:
    """Those that were told, each once, but for that of an image in a file, which is unpacked for its first job."""
    told = dict.fromkeys(m.phase for m in line.messages if isinstance(m, PhaseReport))
    return [phase for phase in told if phase is not Phase.PULLING]


def left_of_jobs(data: Path) -> list[Path]:
    return list((data / "jobs").iterdir())


async def test_a_program_that_is_not_there_is_told(place: Place) -> None:
    outcome = await place.run("a", ["no-such-program-here"])
    told = " ".join([outcome.message, *place.line.texts("a")])
    assert "no-such-program-here" in told
    assert outcome.exit_code != 0


async def test_a_bound_of_memory_holds(place: Place) -> None:
    hog = "x=$(head -c 200000000 /dev/zero | tr '\\0' x); echo ${#x}"
    outcome = await place.run("a", ["sh", "-c", hog], requirements=Requirements(memory="64MiB"))
    assert outcome.kind == "out_of_memory" or outcome.exit_code != 0
    assert "200000000" not in place.line.texts("a")


async def test_a_bound_of_disk_holds(place: Place) -> None:
    filler = 'dd if=/dev/zero of="$JOB_OUTPUTS/filling" bs=1M count=100 && sleep 600'
    outcome = await place.run("a", ["sh", "-c", filler])
    assert outcome.kind == "error" or outcome.exit_code != 0


DEEP = (
    'cd "$JOB_OUTPUTS"; levels=$(for i in $(seq 100); do printf deep/; done); '
    'for i in $(seq 20); do mkdir -p "$levels" && cd -P "$levels" || exit 1; done'
)
"""Makes more folders in each other than Python may recurse, with a path longer than a system call takes."""


@pytest.fixture
def jobs(tmp_path: Path) -> Iterator[Path]:
    """The folder of all attempts' folders; emptied at the end, because pytest can't remove such deep ones."""
    yield tmp_path / "data" / "jobs"
    remove_tree(tmp_path / "data" / "jobs")


async def test_a_bound_of_disk_holds_below_any_number_of_folders(jobs: Path, place: Place) -> None:
    filler = "for i in 1 2 3; do dd if=/dev/zero of=filling-$i bs=1M count=30; done; sleep 600"
    outcome = await place.run("a", ["sh", "-c", f"{DEEP}; {filler}"])
    assert (outcome.kind, outcome.fault) == ("error", Fault.JOB)
    assert "and the maximum is 50 MiB (--disk)" in outcome.message


async def test_more_folders_in_each_other_than_python_may_recurse_are_removed(jobs: Path, place: Place) -> None:
    await place.begin("a", ["sh", "-c", f"{DEEP}; echo up; sleep 600"])
    await place.up("a")
    await place.line.send(Abort(job("a"), 1))
    await place.line.expect(Released)
    assert [path.name for path in jobs.iterdir()] == []
    assert (await place.run("b", "true")).exit_code == 0


async def test_many_run_at_once(place: Place) -> None:
    # Each waits for all others, so one after the other they would never end.
    wait = 'touch "$JOB_CACHE/$JOB_ID"; until [ $(ls "$JOB_CACHE" | wc -l) -ge 4 ]; do sleep 0.05; done'
    for name in "abcd":
        await place.begin(name, wait)
    for name in "abcd":
        finished = await place.line.expect(Finished, lambda m, n=name: m.job == job(n))  # type: ignore[misc]
        assert finished.outcome.exit_code == 0


async def test_a_command_that_can_not_be_read_is_the_jobs_fault(place: Place) -> None:
    outcome = await place.run("a", "echo 'open")
    assert (outcome.kind, outcome.fault) == ("error", Fault.JOB)


async def test_phases_are_told_in_order(place: Place) -> None:
    await place.run("a", 'echo x > "$JOB_OUTPUTS/x"')
    assert phases(place.line) == [Phase.STAGING, Phase.RUNNING, Phase.UPLOADING]
