from __future__ import annotations

from pathlib import Path

import pytest

from asman_shared.errors import Unavailable
from asman_worker.oci.cgroups import Layout, Limits

LIMITS = Limits(memory=64 * 2**20 + 5, cpus=1500, pids=99)


def mounts(tmp_path: Path, *lines: str) -> Path:
    path = tmp_path / "mounts"
    path.write_text("".join(f"{line}\n" for line in lines))
    return path


def v1(tmp_path: Path, *controllers: str) -> list[str]:
    for each in controllers:
        (tmp_path / each).mkdir(exist_ok=True)
    return [f"cgroup {tmp_path / each} cgroup rw,{each.replace('-', ',')} 0 0" for each in controllers]


def unified(tmp_path: Path, controllers: str) -> str:
    (tmp_path / "unified").mkdir()
    (tmp_path / "unified" / "cgroup.controllers").write_text(f"{controllers}\n")
    return f"cgroup2 {tmp_path / 'unified'} cgroup2 rw,nosuid 0 0"


def test_version_1_has_a_folder_for_each_controller(tmp_path: Path) -> None:
    lines = v1(tmp_path, "memory", "cpu-cpuacct", "pids")
    (tmp_path / "memory" / "memory.memsw.limit_in_bytes").touch()
    layout = Layout.find(mounts(tmp_path, "proc /proc proc rw 0 0", *lines))
    assert (layout.version, layout.hidden, layout.swap) == (1, (), True)
    assert layout.folder("cpu", "/asman/a/b") == tmp_path / "cpu-cpuacct" / "asman/a/b"
    checks = {each["file"]: (each["folder"], each["accepted"]) for each in layout.checks(LIMITS, "/asman/a/b")}
    assert checks == {
        "pids.max": (str(tmp_path / "pids/asman/a/b"), ["99"]),
        "cpu.cfs_quota_us": (str(tmp_path / "cpu-cpuacct/asman/a/b"), ["150000"]),
        # The kernel counts whole pages.
        "memory.limit_in_bytes": (str(tmp_path / "memory/asman/a/b"), [str(64 * 2**20)]),
    }
    assert layout.killed_for_memory("/x").name == "memory.oom_control"
    assert layout.resources(LIMITS)["memory"] == {"limit": LIMITS.memory, "swap": LIMITS.memory}


def test_of_a_hybrid_machine_version_1_is_used_and_the_other_mount_hidden(tmp_path: Path) -> None:
    lines = v1(tmp_path, "memory", "cpu", "pids")
    layout = Layout.find(mounts(tmp_path, *lines, unified(tmp_path, "hugetlb")))
    assert (layout.version, layout.hidden, layout.swap) == (1, (str(tmp_path / "unified"),), False)
    assert layout.resources(LIMITS)["memory"] == {"limit": LIMITS.memory}


def test_version_2_has_one_folder_for_all(tmp_path: Path) -> None:
    layout = Layout.find(mounts(tmp_path, unified(tmp_path, "cpuset cpu io memory pids")))
    assert (layout.version, layout.hidden) == (2, ())
    checks = {each["file"]: each["accepted"] for each in layout.checks(LIMITS, "/asman/a")}
    assert checks == {"pids.max": ["99"], "cpu.max": ["150000 100000"], "memory.max": [str(64 * 2**20)]}
    assert {each["folder"] for each in layout.checks(LIMITS, "/asman/a")} == {str(tmp_path / "unified/asman/a")}
    assert layout.killed_for_memory("/x").name == "memory.events"


def test_without_a_limit_of_memory_there_is_nothing_to_check(tmp_path: Path) -> None:
    layout = Layout.find(mounts(tmp_path, unified(tmp_path, "cpu memory pids")))
    assert {each["file"] for each in layout.checks(Limits(0, 1000, 9), "/x")} == {"pids.max", "cpu.max"}
    assert "memory" not in layout.resources(Limits(0, 1000, 9))


def test_a_machine_that_lacks_a_controller_is_refused(tmp_path: Path) -> None:
    with pytest.raises(Unavailable, match="lack pids"):
        Layout.find(mounts(tmp_path, *v1(tmp_path, "memory", "cpu")))
    with pytest.raises(Unavailable, match="lack memory, pids"):
        Layout.find(mounts(tmp_path, unified(tmp_path, "cpu io")))
    with pytest.raises(Unavailable, match="no control groups"):
        Layout.find(mounts(tmp_path, "proc /proc proc rw 0 0"))
