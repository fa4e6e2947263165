"""Namespaces of a process: users and mounts of its own, the root of a container in them, and limits without a group."""

from __future__ import annotations

import ctypes
import os
from typing import Any, Final

libc: Final = ctypes.CDLL(None, use_errno=True)

_CLONE_NEWNS: Final = 0x00020000
_CLONE_NEWUSER: Final = 0x10000000
_MS_BIND: Final = 0x1000
_MS_REC_SLAVE: Final = 0x4000 | 0x80000
_MNT_DETACH: Final = 2
_PR_SET_PDEATHSIG: Final = 1


class Failed(Exception):
    """The container could not be started; the message says why."""


def _checked(result: int, what: str) -> None:
    if result != 0:
        number = ctypes.get_errno()
        raise Failed(f"{what}: {os.strerror(number)}")


def _mount(kind: bytes, target: str, options: str) -> None:
    result = libc.mount(kind, os.fsencode(target), kind, 0, os.fsencode(options))
    _checked(result, f"the {kind.decode()} file system of the container can't be mounted")


def own_users(ids: dict[str, Any]) -> None:
    """Makes this process the root of a user namespace of its own.

    Args:
        ids: The ids in it, as `rootless.ids.Ids.written` returns them.

    Raises:
        Failed: The kernel refuses it, or the programs that give further ids do.
    """
    user, group = os.geteuid(), os.getegid()
    giving = [
        [program, str(os.getpid()), *(str(number) for part in parts for number in part)]
        for program, parts in ((ids["newuidmap"], ids["uids"]), (ids["newgidmap"], ids["gids"]))
        if program
    ]
    ready, go = os.pipe2(os.O_CLOEXEC)
    helper = _helper(ready, go, giving) if giving else 0
    os.close(ready)
    try:
        _checked(libc.unshare(_CLONE_NEWUSER), "a user namespace can't be made")
        if helper:
            os.write(go, b".")
            status, helper = os.waitpid(helper, 0)[1], 0
            if status != 0:
                raise Failed("newuidmap or newgidmap refused the ids of /etc/subuid and /etc/subgid")
            os.setgroups([])
        else:
            # Without this, nobody but root may choose groups.
            _write("/proc/self/setgroups", "deny")
            _write("/proc/self/uid_map", f"0 {user} 1")
            _write("/proc/self/gid_map", f"0 {group} 1")
    finally:
        os.close(go)
        if helper:
            os.waitpid(helper, 0)


def _helper(ready: int, go: int, commands: list[list[str]]) -> int:
    """Starts a process outside of the coming namespace, which gives it its ids once a byte comes."""
    child = os.fork()
    if child:
        return child
    code = 1
    try:
        os.close(go)
        if os.read(ready, 1):
            code = 0
            for words in commands:
                pid = os.posix_spawn(words[0], words, {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin"})
                code = code or os.waitpid(pid, 0)[1]
    finally:
        os._exit(1 if code else 0)


def _write(path: str, text: str) -> None:
    try:
        with open(path, "w", encoding="ascii") as file:
            file.write(text)
    except OSError as error:
        raise Failed(f"a user namespace can't be used ({path}): {error.strerror}") from error


def own_mounts(hidden: list[str], *, ordinary: bool = False) -> None:
    """Gives this process a mount namespace of its own, in which some mounts are gone.

    Args:
        hidden: Their places.
        ordinary: Whether they can only be covered, as in a user namespace.

    Raises:
        Failed: The kernel refuses it.
    """
    _checked(libc.unshare(_CLONE_NEWNS), "a mount namespace can't be made")
    _checked(libc.mount(b"none", b"/", None, ctypes.c_ulong(_MS_REC_SLAVE), None), "mounts can't be separated")
    for place in hidden:
        if ordinary:
            _mount(b"tmpfs", place, "size=4k")
        else:
            _checked(libc.umount2(os.fsencode(place), _MNT_DETACH), f"{place} can't be hidden from the runtime")


def overlay(lower: str, upper: str, work: str, target: str, *, ordinary: bool = False) -> None:
    """Mounts a writable layer over an image's root.

    Raises:
        Failed: The kernel refuses it.
    """
    more = ",userxattr" if ordinary else ""
    _mount(b"overlay", target, f"lowerdir={lower},upperdir={upper},workdir={work}{more}")


def bind(source: str, target: str) -> None:
    """Shows a folder at another place, too.

    Raises:
        Failed: The kernel refuses it.
    """
    result = libc.mount(os.fsencode(source), os.fsencode(target), None, ctypes.c_ulong(_MS_BIND), None)
    _checked(result, "the root of the container can't be mounted")


def die_with(parent: int) -> None:
    """Makes the kernel kill this process when its parent dies, also if that was just before."""
    libc.prctl(_PR_SET_PDEATHSIG, 9, 0, 0, 0)
    if os.getppid() != parent:
        os._exit(1)
