"""Becomes a job's command with the job's folders at ``/inputs``, ``/outputs`` and ``/job-cache``.

A program of its own, which needs the standard library alone: ``python -I -S job_root.py PLAN STATUS``. It makes a mount
namespace, as an ordinary user in a user namespace that has this one user. There it builds a root on a small file system
in memory: all that the host's root has, at the same places, and the job's folders. The host's root stays as it is.
Nothing is isolated: the job sees the host's files and processes, as its user.

PLAN is a file in JSON, see `Plan`. STATUS is a descriptor: on it the program says why the command could not be started;
it is closed when the command starts.
"""

from __future__ import annotations

import ctypes
import json
import os
import sys
from typing import Any, Final, TypedDict

CLONE_NEWNS: Final = 0x00020000
CLONE_NEWUSER: Final = 0x10000000
MS_BIND_ALL: Final = 0x1000 | 0x4000
MS_SLAVE_ALL: Final = 0x80000 | 0x4000
MNT_DETACH: Final = 2
PIVOT_ROOT: Final = {"x86_64": 155, "aarch64": 41, "riscv64": 41}
"""The number of the system call by machine; C libraries have no function for it."""
FAILED: Final = 125
"""The exit code when the command could not be started."""


class Plan(TypedDict):
    """A command and the places of its folders.

    Attributes:
        root: An empty folder for the new root.
        folders: The job's folders, by their names below the new root.
        workdir: The folder in which the command begins, as the job sees it.
        environment: All variables of the command.
        words: The command.
    """

    root: str
    folders: dict[str, str]
    workdir: str
    environment: dict[str, str]
    words: list[str]


class Failed(Exception):
    """The command can't be started; the message says why."""


_libc: Final[Any] = ctypes.CDLL(None, use_errno=True)


def _checked(result: int, what: str) -> None:
    if result != 0:
        raise Failed(f"{what}: {os.strerror(ctypes.get_errno())}")


def _mount(source: str, target: str, kind: bytes | None, flags: int, options: bytes | None = None) -> None:
    result = _libc.mount(os.fsencode(source), os.fsencode(target), kind, ctypes.c_ulong(flags), options)
    _checked(result, f"{target} can't be mounted")


def _own_namespaces() -> None:
    user, group = os.geteuid(), os.getegid()
    if user == 0:
        _checked(_libc.unshare(CLONE_NEWNS), "a mount namespace can't be made")
        return
    _checked(_libc.unshare(CLONE_NEWNS | CLONE_NEWUSER), "a user namespace can't be made")
    for name, text in (("setgroups", "deny"), ("uid_map", f"{user} {user} 1"), ("gid_map", f"{group} {group} 1")):
        with open(f"/proc/self/{name}", "w", encoding="ascii") as file:
            file.write(text)


def _fill(root: str, folders: dict[str, str]) -> None:
    """Puts what the host's root has, and the job's folders, below the new root."""
    for entry in os.scandir("/"):
        place = f"{root}/{entry.name}"
        if entry.name in folders:
            continue
        if entry.is_symlink():
            os.symlink(os.readlink(entry.path), place)
        elif entry.is_dir():
            os.mkdir(place)
            _mount(entry.path, place, None, MS_BIND_ALL)
        elif entry.is_file():
            os.close(os.open(place, os.O_CREAT | os.O_WRONLY | os.O_CLOEXEC))
            _mount(entry.path, place, None, MS_BIND_ALL)
    for name, folder in folders.items():
        os.mkdir(f"{root}/{name}")
        _mount(folder, f"{root}/{name}", None, MS_BIND_ALL)


def _enter(root: str) -> None:
    """Makes a folder the root of this process, and lets go of the old one."""
    machine = os.uname().machine
    number = PIVOT_ROOT.get(machine)
    if number is None:
        raise Failed(f"it is not known how to change the root on {machine}")
    os.chdir(root)
    _checked(_libc.syscall(ctypes.c_long(number), b".", b"."), "the root can't be changed")
    _checked(_libc.umount2(b".", MNT_DETACH), "the old root can't be let go")


def become(plan: Plan) -> None:
    """Becomes the command; returns never.

    Raises:
        Failed: The system does not allow the namespaces, or the command can't be started.
        OSError: Likewise.
    """
    _own_namespaces()
    _mount("none", "/", None, MS_SLAVE_ALL)
    os.makedirs(plan["root"], exist_ok=True)
    _mount("tmpfs", plan["root"], b"tmpfs", 0, b"mode=755,size=1m")
    _fill(plan["root"], plan["folders"])
    _enter(plan["root"])
    try:
        os.chdir(plan["workdir"])
    except OSError as error:
        raise Failed(f"it can't begin in {plan['workdir']}: {error.strerror}") from error
    os.execvpe(plan["words"][0], plan["words"], plan["environment"])  # noqa: S606 - what this program is for


def program(path: str, status: int) -> None:
    """Runs the program of a job, in the folders that were mounted for it."""
    os.set_inheritable(status, False)
    try:
        with open(path, encoding="utf-8") as file:
            plan: Plan = json.load(file)
        os.unlink(path)
        become(plan)
    except (Failed, OSError) as error:
        os.write(status, str(error).encode("utf-8", "replace")[:4000])
    os._exit(FAILED)


if __name__ == "__main__":
    program(sys.argv[1], int(sys.argv[2]))
