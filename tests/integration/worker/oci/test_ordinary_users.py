"""Containers without an engine of a user that is not root."""

from __future__ import annotations

import asyncio
import json
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from asman_shared.definition import Requirements
from asman_shared.messages import STDOUT, Abort, Finished, Kept, LogBatch, Released
from asman_shared.states import Fault
from asman_worker.oci.cgroups import Layout
from devtools.engine import ROOT
from devtools.fake_hub import FakeHub, Line, job
from devtools.patience import PATIENCE
from tests.integration.worker.conftest import OthersConfig, config_for, first_line, process_of_user, worker
from tests.integration.worker.oci.test_containers import folder_of, gone, noted, up
from tests.integration.worker.oci.test_image_settings import ran, with_image
from tests.support.images import BUSYBOX
from tests.support.ordinary import Ordinary, owned, python
from tests.unit.worker.oci.layers import Entry

HOG = "x=$(head -c 200000000 /dev/zero | tr '\\0' x); echo ${#x}"
BOMB = "i=0; while [ $i -lt 200 ]; do sleep 60 & i=$((i+1)); done; echo all"
SMALL = Requirements(memory="64MiB", cpus=0.5)


def at(archive: Path, **more: Any) -> dict[str, Any]:
    return {"executor": "oci", "oci_image": str(archive), **more}


async def outcome_of(line: Line, name: str, script: str, **fields: Any) -> Any:
    await line.assign(name, image=BUSYBOX, command=["sh", "-c", script], **fields)
    return (await line.expect(Finished, lambda m: m.job == job(name))).outcome


@pytest.mark.parametrize("runtime", ["crun", "runc"])
@pytest.mark.parametrize("groups", [True, False], ids=["groups", "no groups"])
async def test_each_runtime_holds_memory_and_processes_of_an_ordinary_users_jobs(
    hub: FakeHub, tmp_path: Path, busybox_archive: Path, runtime: str, groups: bool
) -> None:
    user = Ordinary(groups=groups)
    config = config_for(hub, tmp_path / "data", **at(busybox_archive, runtime=runtime, user=user, pids=64))
    async with worker(config) as task:
        line = await first_line(hub, task)
        await line.answer()
        assert line.register.executor == ("oci, no network" if groups else "oci, limits watched, no network")
        outcome = await outcome_of(line, "a", "echo out; echo err >&2; cat /proc/1/comm; exit 3", requirements=SMALL)
        assert (outcome.kind, outcome.exit_code) == ("exited", 3), outcome.message
        assert line.texts("a", STDOUT) == ["out", "asman-init"]
        outcome = await outcome_of(line, "b", HOG, requirements=SMALL)
        assert (outcome.kind, outcome.message) == (
            "out_of_memory",
            "it needed more memory than the 64 MiB that it may have",
        )
        await outcome_of(line, "c", BOMB)
        assert "all" not in line.texts("c")
        assert any("fork" in text for text in line.texts("c"))


async def test_an_ordinary_users_jobs_have_no_network_and_everybody_is_told(
    hub: FakeHub, tmp_path: Path, busybox_archive: Path
) -> None:
    config = config_for(hub, tmp_path / "data", **at(busybox_archive, user=Ordinary(groups=True), network="internet"))
    async with worker(config) as task:
        line = await first_line(hub, task)
        await line.answer()
        assert line.register.executor == "oci, no network"
        assert (await outcome_of(line, "a", "ls /sys/class/net")).exit_code == 0
        assert line.texts("a", STDOUT) == ["lo"]
        assert any(text.startswith("this worker's jobs have no network") for text in line.texts("a"))


async def test_watched_memory_is_that_of_all_processes_and_of_shared_memory(
    hub: FakeHub, tmp_path: Path, busybox_archive: Path
) -> None:
    async with worker(config_for(hub, tmp_path / "data", **at(busybox_archive, user=Ordinary(ids=False)))) as task:
        line = await first_line(hub, task)
        await line.answer()
        needs = Requirements(memory="128MiB")
        each = "head -c 40000000 /dev/zero | tr '\\0' x"
        # Each alone would fit.
        several = f"for i in 1 2 3 4 5 6; do (x=$({each}); sleep 60; :) & done; wait; echo all"
        outcome = await outcome_of(line, "a", several, requirements=needs)
        assert outcome.kind == "out_of_memory"
        shared = (
            "dd if=/dev/zero of=/dev/shm/x bs=1M count=90; x=$(head -c 60000000 /dev/zero | tr '\\0' x); sleep 9; :"
        )
        outcome = await outcome_of(line, "b", shared, requirements=needs, shm_size="100MiB")
        assert outcome.kind == "out_of_memory"
        assert (await outcome_of(line, "c", f"x=$({each}); echo fits", requirements=needs)).exit_code == 0


async def test_a_limit_of_a_handed_group_that_is_not_in_force_is_refused_before_the_start(
    hub: FakeHub, tmp_path: Path, busybox_archive: Path
) -> None:
    # The kernel gives no group more cpus than the one above it has.
    user = Ordinary(groups=True, cpus=1000)
    async with worker(config_for(hub, tmp_path / "data", **at(busybox_archive, user=user))) as task:
        line = await first_line(hub, task)
        await line.answer()
        outcome = await outcome_of(line, "a", "echo ran", requirements=Requirements(cpus=2))
        assert (outcome.kind, outcome.fault) == ("error", Fault.WORKER)
        assert "limits of the container can't be set" in outcome.message
        assert "ran" not in line.texts("a")
        assert (await outcome_of(line, "b", "true", requirements=SMALL)).exit_code == 0


@pytest.mark.parametrize("ids", [True, False], ids=["ids", "one id"])
async def test_a_user_of_an_image_is_itself_and_all_that_it_leaves_is_kept_and_removed(
    hub: FakeHub, tmp_path: Path, ids: bool
) -> None:
    script = (
        "id -u; id -g; umask 077; mkdir -p /outputs/deep; echo mine > /outputs/deep/mine; echo kept > /job-cache/kept;"
        "mkdir /job-cache/deep; echo x > /job-cache/deep/x; mkdir -p /tmp/own; head -c 3000000 /dev/zero > /tmp/own/x"
    )
    mode = Entry("tmp", "folder", mode=0o1777)
    async with with_image(hub, tmp_path, {"User": "1234:1235"}, mode, user=Ordinary(ids=ids)) as line:
        made = await ran(line, script)
        assert made.outcome.exit_code == 0, line.texts("a")
        assert line.texts("a", STDOUT) == ["1234", "1235"]
        assert hub.output(made, "deep/mine") == b"mine\n"
        await line.acknowledge(made)
        again = await ran(line, "cat /job-cache/kept /job-cache/deep/x", name="b")
        assert line.texts("b", STDOUT) == ["kept", "x"]
        await line.acknowledge(again)
        async with asyncio.timeout(PATIENCE):
            while any((tmp_path / "data" / "jobs").iterdir()) or any((tmp_path / "data").glob("oci/*/asman-*")):
                await asyncio.sleep(0.02)


async def test_what_other_ids_write_where_this_user_can_not_look_counts(hub: FakeHub, tmp_path: Path) -> None:
    script = "umask 077; mkdir /tmp/own; head -c 60000000 /dev/zero > /tmp/own/x; sleep 600"
    mode = Entry("tmp", "folder", mode=0o1777)
    async with with_image(hub, tmp_path, {"User": "1234"}, mode, user=Ordinary(), disk="20MiB") as line:
        outcome = (await ran(line, script)).outcome
        assert (outcome.kind, outcome.fault) == ("error", Fault.JOB)
        assert "and the maximum is 20 MiB (--disk)" in outcome.message


@pytest.mark.parametrize(("ids", "told"), [(True, ["1000 600", "0 755"]), (False, ["0 600", "0 755"])])
async def test_files_of_an_image_have_their_owners_where_there_are_ids_for_them(
    hub: FakeHub, tmp_path: Path, ids: bool, told: list[str]
) -> None:
    entries = (Entry("own/file", mode=0o600, uid=1000, content="x"), Entry("own/tool", mode=0o755))
    async with with_image(hub, tmp_path, {}, *entries, user=Ordinary(ids=ids)) as line:
        made = await ran(line, "stat -c '%u %a' /own/file /own/tool; cat /own/file; chown 0 /own/file")
        assert made.outcome.exit_code == 0
        assert line.texts("a", STDOUT)[:2] == told


async def test_ids_that_this_user_does_not_have_are_refused_with_a_sentence(hub: FakeHub, tmp_path: Path) -> None:
    async with with_image(hub, tmp_path, {"User": "70000"}, user=Ordinary()) as line:
        outcome = (await ran(line, "echo ran")).outcome
        assert outcome.message.startswith("the image's user 70000 (group 0) is not among the ids that this worker may")
    entry = Entry("file", uid=70000)
    (tmp_path / "2").mkdir()
    async with with_image(hub, tmp_path / "2", {}, entry, user=Ordinary()) as line:
        outcome = (await ran(line, "echo ran")).outcome
        assert "it has files of user 70000 and group 70000, of which one is not among the ids" in outcome.message


def without_overlays(data: Path) -> list[str]:
    """Commands that put a folder on an overlay, on which no other one can be mounted."""
    parts = [owned(data / name) for name in ("lower", "upper", "work")]
    options = "lowerdir={},upperdir={},workdir={}".format(*parts)
    return [f"mount -t overlay overlay -o {options} {data}"]


def with_fuse(folder: Path) -> list[str]:
    """Commands that let every user mount by FUSE, as on most machines."""
    node = folder / "fuse"
    return [f"mknod -m 666 {node} c 10 229", f"mount --bind {node} /dev/fuse"]


@pytest.mark.parametrize("way", ["copy", "fuse"])
async def test_where_no_overlay_can_be_mounted_a_root_is_made_in_another_way(
    hub: FakeHub, tmp_path: Path, busybox_archive: Path, way: str
) -> None:
    data = owned(tmp_path / "data")
    before = [*(with_fuse(data) if way == "fuse" else ()), *without_overlays(data)]
    config = config_for(hub, data, **at(busybox_archive, user=Ordinary(before=before), disk="20MiB"))
    async with worker(config) as task:
        line = await first_line(hub, task)
        await line.answer()
        await line.assign("a", image=BUSYBOX, command=["sh", "-c", "rm -r /bin/ls; echo x > /new; echo up; sleep 60"])
        await up(line, "a")
        plan = json.loads((folder_of(data / "upper", "a") / "plan.json").read_bytes())
        assert plan["root_by"] == way
        outcome = await outcome_of(line, "b", "ls -d /bin/ls /new")
        assert outcome.exit_code == 1
        assert line.texts("b", STDOUT) == ["/bin/ls"]
        outcome = await outcome_of(line, "c", "head -c 60000000 /dev/zero > /filling; sleep 600")
        assert "and the maximum is 20 MiB (--disk)" in outcome.message
        await line.send(Abort(job("a"), 1))
        await line.expect(Released)
        async with asyncio.timeout(PATIENCE):
            while any((data / "upper").glob("oci/*/asman-*")):
                await asyncio.sleep(0.02)


async def killed_with(config: OthersConfig, hub: FakeHub, names: str) -> None:
    """Runs a worker until it is killed with containers of these jobs, which wait for a file ``go`` in the job cache."""
    wait = "echo up; until [ -e /job-cache/go ]; do sleep 0.05; done; echo end; exit 5"
    async with process_of_user(config) as process:
        line = await hub.line()
        await line.answer()
        for name in names:
            await line.assign(name, image=BUSYBOX, command=["sh", "-c", wait])
            await up(line, name)
        process.forked.kill()
        await process.ended


async def test_a_worker_of_a_user_that_is_killed_finds_its_containers_again(
    hub: FakeHub, tmp_path: Path, busybox_archive: Path
) -> None:
    config = config_for(hub, tmp_path / "data", **at(busybox_archive, user=Ordinary()))
    assert isinstance(config, OthersConfig)
    await killed_with(config, hub, "abc")
    async with worker(config) as task:
        line = await first_line(hub, task)
        assert {held.job for held in line.register.holding} == {job(name) for name in "abc"}
        await line.answer(keep=[Kept(job(name), 1, 0) for name in "abc"])
        assert (await outcome_of(line, "go", "touch /job-cache/go")).exit_code == 0
        for name in "abc":
            outcome = (await line.expect(Finished, lambda m, n=name: m.job == job(n))).outcome  # type: ignore[misc]
            assert outcome.exit_code == 5
            await line.expect(
                LogBatch,
                lambda m, n=name: m.job == job(n) and any(each.text == "end" for each in m.lines),  # type: ignore[misc]
            )


async def test_a_container_of_a_user_whose_monitor_is_killed_is_gone_with_all_its_processes(
    hub: FakeHub, tmp_path: Path, busybox_archive: Path
) -> None:
    async with worker(config_for(hub, tmp_path / "data", **at(busybox_archive, user=Ordinary(groups=True)))) as task:
        line = await first_line(hub, task)
        await line.answer()
        await line.assign("a", image=BUSYBOX, command=["sh", "-c", "setsid sleep 1000 & echo up; sleep 600"])
        await up(line, "a")
        folder = folder_of(tmp_path / "data", "a")
        first = noted(folder, "state.json")
        inside = [first, *first.children(recursive=True)]
        assert len(inside) >= 3
        noted(folder, "monitor").kill()
        await line.expect(Released)
        for each in inside:
            await gone(each)
        assert not folder.exists()
        layout = Layout.find()
        assert not list(layout.folders["pids"].glob(f"asman-ordinary-*/asman/*/{folder.name}"))


OPEN = """
from asman_worker.oci.rootless.kept_files import open_files
try:
    open_files()
except Exception as error:
    print(type(error).__name__, error)
"""


def test_a_machine_that_refuses_user_namespaces_is_told_so_with_the_remedy(tmp_path: Path) -> None:
    none = ["unshare", "--user", "--map-current-user", "--keep-caps", "sh", "-ec"]
    script = f"echo 0 > /proc/sys/user/max_user_namespaces; exec {shlex.join(python(OPEN))}"
    seen = [ROOT, Path(sys.prefix), Path(sys.base_prefix)]
    with Ordinary(ids=False).command([*none, script], seen) as words:
        said = subprocess.check_output(words, text=True)
    assert said.startswith("Unavailable this user may have no containers of its own (a user namespace can't be made: ")
    assert "sysctl user.max_user_namespaces" in said


def test_doctor_tells_what_bubblewrap_can_not_do(tmp_path: Path) -> None:
    asman = str(Path(sys.executable).with_name("asman"))
    queue = "http://127.0.0.1:9/q/none"
    words = [asman, "doctor", queue, "--data-dir", str(owned(tmp_path / "data")), "--executor", "bubblewrap", "--json"]
    seen = [ROOT, Path(sys.prefix), Path(sys.base_prefix), tmp_path / "data"]
    with Ordinary(ids=False).command(words, seen) as command:
        done = subprocess.run(command, check=False, capture_output=True, text=True)
    told = [each for each in json.loads(done.stdout)["findings"] if each["what"] == "containers by bubblewrap"]
    assert [each["mark"] for each in told] == ["ok", "warning", "warning"], done.stdout
    assert "bwrap run them; one user id each" in told[0]["says"]
    assert "have one user id and no capabilities, /sys is empty" in told[1]["says"]
    assert told[1]["remedy"] == "use --executor oci"
    assert list((tmp_path / "data").iterdir()) == []


def test_doctor_tells_an_ordinary_user_what_its_containers_lack_and_what_to_install(tmp_path: Path) -> None:
    asman = str(Path(sys.executable).with_name("asman"))
    queue = "http://127.0.0.1:9/q/none"
    words = [asman, "doctor", queue, "--data-dir", str(owned(tmp_path / "data")), "--executor", "oci", "--json"]
    seen = [ROOT, Path(sys.prefix), Path(sys.base_prefix), tmp_path / "data"]
    with Ordinary(ids=False).command(words, seen) as command:
        done = subprocess.run(command, check=False, capture_output=True, text=True)
    found = json.loads(done.stdout)["findings"]
    can = next(each["says"] for each in found if each["what"] == "executors")
    assert "oci (one user id each; memory is watched" in can
    assert "bubblewrap (one user id each; memory is watched" in can
    assert can.endswith("process (no isolation: jobs run as this user)")
    told = [each for each in found if each["what"] == "containers without an engine"]
    assert [each["mark"] for each in told] == ["ok", "warning", "warning"], done.stdout
    assert "one user id each; memory is watched" in told[0]["says"]
    assert "install uidmap" in told[1]["remedy"]
    assert "Delegate=yes" in told[2]["remedy"]
