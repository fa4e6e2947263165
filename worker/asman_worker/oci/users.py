"""Finds files and users in an image's root, without ever leaving it by a link."""

from __future__ import annotations

import os
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from asman_shared.errors import ExecutionError

_LINKS: Final = 40
_LARGEST: Final = 4 * 1024 * 1024
_HIGHEST: Final = 2**31 - 1
_DIGITS: Final = 10
"""Most digits of a uid or gid."""


@dataclass(frozen=True, slots=True)
class User:
    """The user that a container's command runs as.

    Attributes:
        uid: Its number.
        gid: The number of its group.
        groups: The numbers of its other groups.
        home: Its home folder.
    """

    uid: int
    gid: int
    groups: tuple[int, ...]
    home: str


def inside(root: Path, path: str) -> str:
    """Returns a path of a container with its links resolved as the container would see them; parts may be missing.

    Raises:
        ExecutionError: There are too many links on the way.
    """
    done: list[str] = []
    left = [part for part in reversed(path.split("/")) if part not in ("", ".")]
    links = 0
    while left:
        part = left.pop()
        if part == "..":
            if done:
                done.pop()
            continue
        try:
            target = str(root.joinpath(*done, part).readlink())
        except OSError:
            done.append(part)
            continue
        links += 1
        if links > _LINKS:
            raise ExecutionError(f"the image has too many links on the way to '{path[:200]}'")
        if target.startswith("/"):
            done.clear()
        left.extend(each for each in reversed(target.split("/")) if each not in ("", "."))
    return "/" + "/".join(done)


def links_on(root: Path, path: str) -> dict[str, str]:
    """Returns the links among a path and the folders on the way to it, each with the place that it leads to."""
    found: dict[str, str] = {}
    parts = path.strip("/").split("/")
    for number in range(len(parts)):
        prefix = "/" + "/".join(parts[: number + 1])
        above = inside(root, "/".join(parts[:number]))
        if Path(f"{root}{above}/{parts[number]}").is_symlink():
            found[prefix] = inside(root, prefix)
    return found


def kind_of(root: Path, path: str) -> int | None:
    """Returns the kind of a file in a container's root, as in `stat.S_IFMT`; None if it is not there."""
    try:
        return stat.S_IFMT(os.lstat(f"{root}{inside(root, path)}").st_mode)
    except OSError:
        return None


def find_user(root: Path, wanted: str) -> User:
    """Returns the user that an image's ``USER`` means: a name or number, and perhaps a group after a colon.

    Raises:
        ExecutionError: A name is not known to the image, or a number is out of range.
    """
    name, _, group = (wanted or "0").partition(":")
    people = _table(root, "/etc/passwd")
    found = next((each for each in people if each[0] == name), None)
    if found is None and _digits(name):
        found = next((each for each in people if len(each) > 2 and each[2] == name), None)
    if found is None and not _digits(name):
        raise ExecutionError(f"unable to find user {name[:100]}: no matching entries in passwd file")
    uid = _number(found[2] if found is not None and len(found) > 2 else name)
    gid = _number(found[3]) if found is not None and len(found) > 3 and _digits(found[3]) else 0
    home = found[5] if found is not None and len(found) > 5 and found[5].startswith("/") else "/"
    groups = _table(root, "/etc/group")
    others: tuple[int, ...] = ()
    if group:
        chosen = next((each for each in groups if group == each[0]), None)
        if chosen is None and not _digits(group):
            raise ExecutionError(f"unable to find group {group[:100]}: no matching entries in group file")
        gid = _number(chosen[2] if chosen is not None and len(chosen) > 2 else group)
    elif found is not None:
        others = tuple(
            sorted(
                {
                    _number(each[2])
                    for each in groups
                    if len(each) > 3 and _digits(each[2]) and found[0] in each[3].split(",")
                }
            )
        )
    return User(uid, gid, others, home)


def _digits(text: str) -> bool:
    """Whether a text is of the digits 0 to 9 alone."""
    return text.isascii() and text.isdecimal()


def _number(text: str) -> int:
    if not _digits(text) or len(text) > _DIGITS or int(text) > _HIGHEST:
        raise ExecutionError(f"uids and gids must be in range 0-{_HIGHEST}")
    return int(text)


def _table(root: Path, path: str) -> list[list[str]]:
    """Returns the lines of a file like ``/etc/passwd``; none if the image has no such file."""
    try:
        file = os.open(f"{root}{inside(root, path)}", os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return []
    with os.fdopen(file, "rb") as read:
        if not stat.S_ISREG(os.fstat(file).st_mode):
            return []
        text = read.read(_LARGEST).decode("utf-8", "replace")
    return [line.strip().split(":") for line in text.splitlines() if line.strip() and not line.startswith("#")]
