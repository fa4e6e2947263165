from __future__ import annotations

import pytest

from asman_worker.oci import seccomp


@pytest.mark.parametrize("architecture", ["amd64", "arm64"])
def test_what_makes_namespaces_mounts_or_reaches_the_kernel_is_not_allowed(architecture: str) -> None:
    made = seccomp.profile(architecture)
    assert (made["defaultAction"], made["defaultErrnoRet"]) == ("SCMP_ACT_ERRNO", 1)
    freely = {
        name
        for rule in made["syscalls"]
        if rule["action"] == "SCMP_ACT_ALLOW" and not rule.get("args")
        for name in rule["names"]
    }
    closed = {
        "add_key", "bpf", "clone", "clone3", "delete_module", "fsconfig", "fsmount", "fsopen", "init_module",
        "io_uring_setup", "ioperm", "kexec_load", "keyctl", "mount", "mount_setattr", "move_mount", "open_by_handle_at",
        "open_tree", "perf_event_open", "personality", "pivot_root", "process_madvise", "quotactl", "reboot",
        "request_key", "setdomainname", "sethostname", "setns", "settimeofday", "socket", "swapon", "syslog", "umount2",
        "unshare", "userfaultfd", "vhangup",
    }  # fmt: skip
    assert not closed & freely
    assert {"read", "execve", "openat", "futex", "mmap", "chroot", "connect"} <= freely


def test_clone_makes_no_namespace_and_its_successor_is_said_not_to_be_there() -> None:
    rules = {rule["names"][0]: rule for rule in seccomp.profile("amd64")["syscalls"]}
    (flags,) = rules["clone"]["args"]
    # The flags for a new cgroup, uts, ipc, user, pid, net and mount namespace, in this order.
    spaces = (0x02000000, 0x04000000, 0x08000000, 0x10000000, 0x20000000, 0x40000000, 0x00020000)
    assert flags == {"index": 0, "value": sum(spaces), "valueTwo": 0, "op": "SCMP_CMP_MASKED_EQ"}
    assert (rules["clone3"]["action"], rules["clone3"]["errnoRet"]) == ("SCMP_ACT_ERRNO", 38)


def test_other_processors_are_not_supported() -> None:
    assert seccomp.supports("arm64")
    assert not seccomp.supports("riscv64")
