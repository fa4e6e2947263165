"""Containers without an engine: what is left when a part of it is killed, and what is refused."""

from __future__ import annotations

import asyncio
import contextlib
import json
import signal
import stat
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import psutil
import pytest

from asman_shared.definition import Requirements
from asman_shared.errors import BadRequest, Unavailable
from asman_shared.messages import STDOUT, Abort, Finished, LogBatch, PhaseReport, Released
from asman_shared.states import Fault, Phase
from asman_worker import run_worker
from asman_worker.oci import runtime as runtime_module
from asman_worker.oci.cgroups import PARENT, Layout, Limits
from asman_worker.oci.choice import choose_executor
from asman_worker.oci.image_store import ImageStore
from asman_worker.oci.programs.monitor import start_time
from devtools.fake_hub import FakeHub, Line, job
from devtools.patience import PATIENCE
from tests.integration.worker.conftest import config_for, first_line, worker
from tests.support.images import BUSYBOX


@asynccontextmanager
async def without_engine(hub: FakeHub, data: Path, archive: Path, **more: Any) -> AsyncIterator[Line]:
    async with worker(config_for(hub, data, executor="oci", oci_image=str(archive), **more)) as task:
        line = await first_line(hub, task)
        await line.answer()
        yield line


async def up(line: Line, name: str) -> None:
    await line.expect(LogBatch, lambda m: m.job == job(name) and any(each.text == "up" for each in m.lines))


def folder_of(data: Path, name: str) -> Path:
    """The folder of a job's container."""
    (found,) = data.glob(f"oci/*/asman-{job(name)[:12]}-*/plan.json")
    return found.parent


def noted(folder: Path, file: str) -> psutil.Process:
    """A process that a monitor has noted."""
    about = json.loads((folder / file).read_bytes())
    assert start_time(about["pid"]) == about["start"]
    return psutil.Process(about["pid"])


def words_of(process: psutil.Process) -> str:
    """The command of a process; empty for one that has just ended."""
    with contextlib.suppress(psutil.Error):
        return " ".join(process.cmdline())
    return ""


async def gone(process: psutil.Process) -> None:
    async with asyncio.timeout(PATIENCE):
        while process.is_running() and process.status() != psutil.STATUS_ZOMBIE:
            await asyncio.sleep(0.02)


@pytest.mark.parametrize("runtime", ["crun", "runc"])
async def test_each_runtime_runs_jobs_with_their_limits(
    hub: FakeHub, tmp_path: Path, busybox_archive: Path, runtime: str
) -> None:
    async with without_engine(hub, tmp_path, busybox_archive, runtime=runtime) as line:
        script = "echo out; echo err >&2; cat /proc/1/comm; ulimit -c; grep NoNewPrivs /proc/self/status; exit 3"
        needs = Requirements(memory="32MiB", cpus=0.5)
        await line.assign("a", image=BUSYBOX, command=script, requirements=needs)
        outcome = (await line.expect(Finished)).outcome
        assert (outcome.kind, outcome.exit_code) == ("exited", 3), outcome.message
        assert line.texts("a", STDOUT) == ["out", "asman-init", "0", "NoNewPrivs:\t1"]
        hog = "x=$(head -c 200000000 /dev/zero | tr '\\0' x); echo ${#x}"
        await line.assign("b", image=BUSYBOX, command=["sh", "-c", hog], requirements=needs)
        outcome = (await line.expect(Finished, lambda m: m.job == job("b"))).outcome
        assert outcome.kind == "out_of_memory"
        await line.assign("c", image=BUSYBOX, command=["/no/such/program"])
        outcome = (await line.expect(Finished, lambda m: m.job == job("c"))).outcome
        assert (outcome.kind, outcome.exit_code) == ("exited", 127)


async def test_a_job_whose_monitor_is_killed_is_given_back_and_its_container_is_gone(
    hub: FakeHub, tmp_path: Path, busybox_archive: Path
) -> None:
    async with without_engine(hub, tmp_path, busybox_archive) as line:
        await line.assign("a", image=BUSYBOX, command="echo up; sleep 600")
        await up(line, "a")
        folder = folder_of(tmp_path, "a")
        first = noted(folder, "state.json")
        noted(folder, "monitor").kill()
        await line.expect(Released)
        await gone(first)
        assert not any(isinstance(message, Finished) for message in line.messages)
        await line.assign("b", image=BUSYBOX, command="true")
        assert (await line.expect(Finished)).outcome.exit_code == 0
        assert folder.name not in Layout.find().members(f"/{PARENT}/{line.register.incarnation[:16]}")


async def test_a_starter_that_is_killed_is_started_again(hub: FakeHub, tmp_path: Path, busybox_archive: Path) -> None:
    async with without_engine(hub, tmp_path, busybox_archive) as line:
        await line.assign("a", image=BUSYBOX, command="echo up; until [ -e /job-cache/go ]; do sleep 0.05; done")
        await up(line, "a")
        starters = [each for each in psutil.Process().children() if "programs.monitor" in words_of(each)]
        assert len(starters) == 1
        starters[0].kill()
        await gone(starters[0])
        await line.assign("b", image=BUSYBOX, command="touch /job-cache/go")
        # The monitor of the first is a process of its own.
        for name in "ab":
            outcome = (await line.expect(Finished, lambda m, n=name: m.job == job(n))).outcome  # type: ignore[misc]
            assert outcome.exit_code == 0, outcome.message


async def test_no_process_and_no_group_is_left_of_a_job_however_it_ends(
    hub: FakeHub, tmp_path: Path, busybox_archive: Path
) -> None:
    background = "sleep 1000 & setsid sleep 1001 & echo up"
    async with without_engine(hub, tmp_path, busybox_archive, stop_grace="100ms") as line:
        group = f"/{PARENT}/{line.register.incarnation[:16]}"
        await line.assign("exits", image=BUSYBOX, command=["sh", "-c", background])
        await line.acknowledge(await line.expect(Finished))
        await line.assign("late", image=BUSYBOX, command=["sh", "-c", f"{background}; sleep 99"], time_limit=500)
        late = await line.expect(Finished, lambda m: m.job == job("late"))
        assert late.outcome.kind == "timed_out"
        await line.acknowledge(late)
        await line.assign("aborted", image=BUSYBOX, command=["sh", "-c", f"{background}; sleep 99"])
        await up(line, "aborted")
        processes = psutil.Process(noted(folder_of(tmp_path, "aborted"), "state.json").pid).children(recursive=True)
        assert len(processes) >= 3
        await line.send(Abort(job("aborted"), 1))
        await line.expect(Released)
        for each in processes:
            await gone(each)
        async with asyncio.timeout(PATIENCE):
            while any(Layout.find().members(group)) or any(tmp_path.glob("oci/*/asman-*")):
                await asyncio.sleep(0.02)
        assert list((tmp_path / "oci" / "runtime").iterdir()) == []
    assert not any(group.strip("/") in line for line in Path("/proc/self/mounts").read_text().splitlines())


async def test_an_abort_while_a_container_is_created_leaves_nothing(
    hub: FakeHub, tmp_path: Path, busybox_archive: Path
) -> None:
    async with without_engine(hub, tmp_path, busybox_archive, cpus=4) as line:
        await line.assign("first", image=BUSYBOX, command="true")
        await line.expect(Finished)
        for number in range(8):
            await line.assign(f"{number}", image=BUSYBOX, command="sleep 1000")
            async with asyncio.timeout(PATIENCE):
                while not list(tmp_path.glob(f"oci/*/asman-{job(str(number))[:12]}-*")):
                    await asyncio.sleep(0)
            await asyncio.sleep(0.01 * number)
            await line.send(Abort(job(f"{number}"), 1))
            await line.expect(Released, lambda m, n=number: m.job == job(f"{n}"))  # type: ignore[misc]
        group = f"/{PARENT}/{line.register.incarnation[:16]}"
        async with asyncio.timeout(PATIENCE):
            while [each for each in Layout.find().members(group) if job("first")[:12] not in each]:
                await asyncio.sleep(0.02)


async def test_a_limit_that_is_not_in_force_is_refused_before_the_start(
    hub: FakeHub, tmp_path: Path, busybox_archive: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with without_engine(hub, tmp_path, busybox_archive) as line:
        resources = Layout.resources

        def forgetful(self: Layout, limits: Limits) -> dict[str, Any]:
            # As runtimes without the rights to a control group do, which say nothing of it.
            return {**resources(self, limits), "memory": {}}

        monkeypatch.setattr(Layout, "resources", forgetful)
        await line.assign("a", image=BUSYBOX, command="touch /outputs/ran; echo ran")
        finished = await line.expect(Finished)
        assert (finished.outcome.kind, finished.outcome.fault) == ("error", Fault.WORKER)
        assert finished.outcome.message.startswith(
            "the limits of the container can't be set on this worker, so it was not started: the memory (memory."
        )
        assert "ran" not in line.texts("a")
        assert not any(isinstance(m, PhaseReport) and m.phase is Phase.RUNNING for m in line.messages)


async def test_an_image_in_use_stays_though_its_worker_is_dead_and_the_quota_is_used_up(
    hub: FakeHub, tmp_path: Path, busybox_archive: Path
) -> None:
    async with without_engine(hub, tmp_path, busybox_archive) as line:
        await line.assign("a", image=BUSYBOX, command="echo up; sleep 600")
        await up(line, "a")
        lock = json.loads((folder_of(tmp_path, "a") / "plan.json").read_bytes())["hold"]
        monitor = noted(folder_of(tmp_path, "a"), "monitor")
        # The monitor's own lock, which outlives the worker.
        inode = f":{Path(lock).stat().st_ino} "
        held = [each for each in Path("/proc/locks").read_text().splitlines() if inode in each]
        assert any(f" {monitor.pid} " in each for each in held)
        store = ImageStore(tmp_path / "oci-images", most=1)
        store.trim()
        roots = list((tmp_path / "oci-images" / "roots").iterdir())
        assert len(roots) == 1
        await line.send(Abort(job("a"), 1))
        await line.expect(Released)
        store.trim()
        assert list((tmp_path / "oci-images" / "roots").iterdir()) == []


async def test_what_a_worker_left_and_does_not_know_is_removed_at_its_start_and_what_is_others_stays(
    hub: FakeHub, tmp_path: Path, busybox_archive: Path
) -> None:
    layout = Layout.find()
    async with without_engine(hub, tmp_path, busybox_archive) as line:
        incarnation = line.register.incarnation
    mine, others = (f"/{PARENT}/{owner}" for owner in (incarnation[:16], "another-worker"))
    left = tmp_path / "oci" / incarnation / "asman-left-1-x"
    left.mkdir(parents=True)
    (tmp_path / "oci" / "runtime" / "asman-noted-1-x").mkdir(parents=True, exist_ok=True)
    groups = [layout.folder("pids", f"{owner}/asman-group-1-x") for owner in (mine, others)]
    for group in groups:
        group.mkdir(parents=True)
    sleeper = await asyncio.create_subprocess_exec("sleep", "1000")
    try:
        (groups[0] / "cgroup.procs").write_text(str(sleeper.pid))
        async with without_engine(hub, tmp_path, busybox_archive):
            assert not left.exists()
            assert not groups[0].exists()
            assert groups[1].exists()
            assert await sleeper.wait() == -signal.SIGKILL
            async with asyncio.timeout(PATIENCE):
                while (tmp_path / "oci" / "runtime" / "asman-noted-1-x").exists():
                    await asyncio.sleep(0.02)
    finally:
        layout.clear(f"{others}/asman-group-1-x")
        layout.drop(others)


async def test_files_of_containers_are_for_the_worker_alone(
    hub: FakeHub, tmp_path: Path, busybox_archive: Path
) -> None:
    async with without_engine(hub, tmp_path, busybox_archive) as line:
        await line.assign("a", image=BUSYBOX, command="echo up; sleep 600", env={"SECRET": "s3cret"})
        await up(line, "a")
        for folder in (tmp_path / "oci", tmp_path / "oci-images" / "roots", folder_of(tmp_path, "a")):
            assert stat.S_IMODE(folder.stat().st_mode) == 0o700


async def test_without_a_network_there_is_loopback_and_nothing_else(
    hub: FakeHub, tmp_path: Path, busybox_archive: Path
) -> None:
    async with without_engine(hub, tmp_path, busybox_archive) as line:
        assert line.register.executor == "oci, no network"
        await line.assign("a", image=BUSYBOX, command="ls /sys/class/net; cat /etc/hosts")
        assert (await line.expect(Finished)).outcome.exit_code == 0
        assert line.texts("a") == ["lo", "127.0.0.1\tlocalhost", "::1\tlocalhost ip6-localhost ip6-loopback"]


@pytest.mark.parametrize(
    ("more", "error", "why"),
    [
        ({"network": "open"}, Unavailable, "the executor oci has no network 'open'"),
        ({"network": "my-net"}, Unavailable, "the executor oci has no network 'my-net'"),
        ({"runtime": "no-such"}, Unavailable, "the runtime 'no-such' is not installed: install crun"),
        ({"oci_image": "/no/such/file"}, BadRequest, "'/no/such/file' is no image in a form that can be read"),
    ],
)
async def test_what_it_can_not_do_is_refused_at_its_start(
    hub: FakeHub, tmp_path: Path, more: dict[str, str], error: type[Exception], why: str
) -> None:
    with pytest.raises(error, match=why):
        await run_worker(config_for(hub, tmp_path, executor="oci", **more), stop=asyncio.Event())


async def test_a_runtime_that_runs_nothing_is_told_with_its_reason(
    hub: FakeHub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken = tmp_path / "broken-runtime"
    broken.write_text("#!/bin/sh\nexit 9\n")
    broken.chmod(0o755)
    config = config_for(hub, tmp_path / "data", executor="oci", runtime=str(broken))
    with pytest.raises(Unavailable, match=r"no container can be run .*broken-runtime: the runtime could"):
        await run_worker(config, stop=asyncio.Event())
    assert not list((tmp_path / "data" / "oci").glob("probe-*"))
    monkeypatch.setattr(runtime_module, "_RUNTIMES", (str(broken), "runc"))
    async with worker(config_for(hub, tmp_path / "data", executor="oci")) as task:
        await first_line(hub, task)


async def test_auto_is_containers_without_an_engine_where_none_answers_and_never_no_container(
    hub: FakeHub, tmp_path: Path, busybox_archive: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from asman_worker.images import engine

    monkeypatch.delenv("DOCKER_HOST", raising=False)
    monkeypatch.setattr(engine, "_sockets", lambda: iter([tmp_path / "no.sock"]))
    async with worker(config_for(hub, tmp_path / "data", executor="auto", oci_image=str(busybox_archive))) as task:
        line = await first_line(hub, task)
        await line.answer()
        assert line.register.executor == "oci, no network"
        await line.assign("a", image=BUSYBOX, command="true")
        assert (await line.expect(Finished)).outcome.exit_code == 0
    config = config_for(hub, tmp_path / "data", executor="auto", runtime="no-such")
    with pytest.raises(Unavailable, match=r"no container engine was found.*; and without an engine: the runtime 'no-"):
        await run_worker(config, stop=asyncio.Event())
    # An engine that the operator names is meant.
    named = config_for(hub, tmp_path / "data", executor="auto", docker=f"unix://{tmp_path}/no.sock")
    assert await choose_executor(named) == ("docker", "")


async def test_auto_is_the_engine_where_one_answers(hub: FakeHub, tmp_path: Path, busybox_image: str) -> None:
    async with worker(config_for(hub, tmp_path, executor="auto")) as task:
        line = await first_line(hub, task)
        assert line.register.executor == "docker, no network"
