"""What an ordinary user may have: ids, control groups, and the reach of its keeper."""

from __future__ import annotations

import mmap
import os
import pwd
import signal
from pathlib import Path

import pytest

from asman_worker.execution.disk_use import folder_use
from asman_worker.oci.cgroups import Layout, Limits
from asman_worker.oci.programs import memory
from asman_worker.oci.rootless.ids import Ids, counts_processes, find_ids, single_id
from asman_worker.oci.rootless.kept_files import KeptFiles
from tests.unit.worker.oci.test_cgroups import mounts, unified, v1

MINE = (0, os.geteuid(), 1)
LIMITS = Limits(memory=64 * 2**20, cpus=500, pids=99)


def tables(tmp_path: Path, users: str, groups: str) -> tuple[Path, Path]:
    for name, text in (("subuid", users), ("subgid", groups)):
        (tmp_path / name).write_text(text)
    return tmp_path / "subuid", tmp_path / "subgid"


def test_the_largest_range_of_this_user_is_used_and_lines_that_mean_nothing_are_passed_over(tmp_path: Path) -> None:
    me = pwd.getpwuid(os.geteuid()).pw_name
    users = f"other:1:99999\n{me}:5:x\n{me}\n\n{me}:100:0\n{me}:200000:10\n{os.geteuid()}:300000:5000\n{me}:9:-4\n"
    ids = find_ids(*tables(tmp_path, users, f"{me}:400000:99999999\n"))
    assert ids.uids == (MINE, (1, 300000, 5000))
    assert ids.gids == ((0, os.getegid(), 1), (1, 400000, 65535))
    assert not ids.single
    assert (ids.holds(5000, 65535), ids.holds(5001, 0), ids.holds(0, 65536)) == (True, False, False)
    # The kernel takes no range that is in two ranges of the namespace above.
    assert ids.mappings(7, 7)[0] == [
        {"containerID": 0, "hostID": 0, "size": 1},
        {"containerID": 1, "hostID": 1, "size": 5000},
    ]


@pytest.mark.parametrize(("users", "groups"), [("", "ME:1:10"), ("ME:1:10", ""), ("nobody-here:1:5", "ME:1:10")])
def test_without_both_ranges_there_is_one_id_and_the_reason(tmp_path: Path, users: str, groups: str) -> None:
    me = pwd.getpwuid(os.geteuid()).pw_name
    ids = find_ids(*tables(tmp_path, users.replace("ME", me), groups.replace("ME", me)))
    assert ids.single
    assert "has no ids for this user" in ids.why
    assert ids.mappings(1234, 1235) == (
        [{"containerID": 1234, "hostID": 0, "size": 1}],
        [{"containerID": 1235, "hostID": 0, "size": 1}],
    )
    assert ids.written()["newuidmap"] == ""
    assert find_ids(tmp_path / "none", tmp_path / "none").single


@pytest.mark.parametrize(("release", "counts"), [("5.13.19", False), ("5.14.0-1", True), ("6.1", True), ("odd", False)])
def test_kernels_that_count_processes_in_a_user_namespace_are_known(release: str, counts: bool) -> None:
    assert counts_processes(release) is counts


def test_groups_that_were_handed_to_a_user_are_made_with_their_limits_by_the_worker_itself(tmp_path: Path) -> None:
    lines = [*v1(tmp_path, "memory", "cpu", "pids"), unified(tmp_path, "hugetlb")]
    own = tmp_path / "own"
    own.write_text("3:memory:/mine\n2:cpu:/mine\n1:pids:/other\n0::/\n")
    for each in ("memory/mine", "cpu/mine", "pids/other"):
        (tmp_path / each).mkdir()
        (tmp_path / each / "cgroup.procs").touch()
    layout = Layout.of_user(mounts(tmp_path, *lines), own)
    assert (layout.version, layout.handed, layout.hidden) == (1, True, (str(tmp_path / "unified"),))
    assert layout.folder("pids", "/asman/a") == tmp_path / "pids/other/asman/a"
    assert layout.resources(LIMITS) == {}
    with pytest.raises(OSError, match=r"memory.limit|pids.max|cpu.cfs"):
        layout.make(LIMITS, "/asman/a")  # in a folder that is no group there are no files


@pytest.mark.parametrize("own", ["3:memory:/none\n2:cpu:/none\n1:pids:/none\n", "1:pids:/\n", "0::/\n", ""])
def test_without_groups_of_its_own_a_users_layout_limits_nothing_and_says_so(tmp_path: Path, own: str) -> None:
    (tmp_path / "own").write_text(own)
    layout = Layout.of_user(mounts(tmp_path, *v1(tmp_path, "memory", "cpu", "pids")), tmp_path / "own")
    assert (layout.version, layout.handed) == (0, False)
    assert (layout.checks(LIMITS, "/a"), layout.make(LIMITS, "/a"), layout.resources(LIMITS)) == ([], [], {})
    assert list(layout.members("/a")) == []
    layout.clear("/a")
    layout.drop("/a")


@pytest.fixture
def kept() -> object:
    files = KeptFiles(single_id(""))
    yield files
    files.close()


def test_a_keeper_measures_hands_over_copies_and_removes(kept: KeptFiles, tmp_path: Path) -> None:
    closed = tmp_path / "made" / "closed"
    closed.mkdir(parents=True)
    (closed / "x").write_bytes(b"x" * 100_000)
    (closed / "x").chmod(0)
    closed.chmod(0)
    (tmp_path / "made" / "link").symlink_to("/etc/passwd")
    assert kept.use(tmp_path / "made").files == 3
    copied = kept.copy(tmp_path / "made", tmp_path)
    assert copied.bytes >= 100_000
    kept.give(tmp_path / "made")
    assert folder_use(tmp_path / "made").bytes >= 100_000
    assert (closed / "x").stat().st_mode & 0o777 == 0o600
    kept.trim(tmp_path / "made", 1, 0)
    assert not (closed / "x").exists()
    kept.remove(tmp_path / "made")
    kept.remove(tmp_path / "made")
    assert not (tmp_path / "made").exists()
    with pytest.raises(OSError, match="No such file"):
        kept.copy(tmp_path / "none", tmp_path / "other")


def test_a_keeper_that_is_killed_is_started_again(kept: KeptFiles, tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(b"x" * 10_000)
    assert kept.use(tmp_path).files == 1
    process = kept._looking._process
    assert process is not None
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert kept.use(tmp_path).files == 1


def test_ids_that_are_refused_are_told(tmp_path: Path) -> None:
    refused = KeptFiles(Ids((MINE, (1, 1, 10)), (MINE, (1, 1, 10)), "/bin/false", "/bin/false"))
    try:
        with pytest.raises(OSError, match="newuidmap or newgidmap refused the ids of /etc/subuid"):
            refused.use(tmp_path)
    finally:
        refused.close()


def test_the_memory_of_this_process_counts_and_that_of_none_does_not() -> None:
    before = memory.use(os.getpid())
    held = bytearray(os.urandom(1)) * 50_000_000
    assert memory.use(os.getpid()) - before > 40_000_000
    del held
    assert memory.use(2**22 + 1) == 0


def test_files_in_memory_count_once_whether_they_are_mapped_or_not() -> None:
    size, room = 32 * 2**20, 2**22
    before = memory.use(os.getpid())
    file = os.memfd_create("asman-test")
    try:
        os.ftruncate(file, size)
        os.posix_fallocate(file, 0, size)
        assert size <= memory.use(os.getpid()) - before < size + room
        with mmap.mmap(file, size) as mapped:
            for at in range(0, size, mmap.PAGESIZE):
                mapped[at] = 1
            assert size <= memory.use(os.getpid()) - before < size + room
    finally:
        os.close(file)
