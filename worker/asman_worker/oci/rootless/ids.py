"""Finds the ids of users and groups that this user's containers may have."""

from __future__ import annotations

import os
import platform
import pwd
import re
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

SUBUID: Final = Path("/etc/subuid")
SUBGID: Final = Path("/etc/subgid")
INSTALL: Final = (
    "install uidmap, and give this user further ids (`usermod --add-subuids 100000-165535 --add-subgids 100000-165535 "
    "USER` as root)"
)
"""The remedy for a user without further ids."""
_MOST: Final = 65535
"""Ids that are used beside that of root; images have few above."""
_PATH: Final = "/usr/local/bin:/usr/bin:/bin:/usr/local/sbin:/usr/sbin:/sbin"
_COUNTED: Final = (5, 14)
"""The first kernel that counts processes for each user namespace."""

Range = tuple[int, int, int]
"""First id inside, first id outside, number of ids."""


@dataclass(frozen=True, slots=True)
class Ids:
    """The ids of a user namespace; its root is this user.

    Attributes:
        uids: The ranges of users.
        gids: The ranges of groups.
        newuidmap: The program that gives users beside this one; empty if there are none.
        newgidmap: The program that gives groups.
        why: The reason why there is one id alone; empty if there are more.
    """

    uids: tuple[Range, ...]
    gids: tuple[Range, ...]
    newuidmap: str = ""
    newgidmap: str = ""
    why: str = ""

    @property
    def single(self) -> bool:
        """Whether there is one id alone, which is then that of each container's user, whoever that is."""
        return len(self.uids) == 1

    def written(self) -> dict[str, Any]:
        """Returns the ids in the form of `programs.namespaces.own_users`."""
        return {
            "uids": [list(each) for each in self.uids],
            "gids": [list(each) for each in self.gids],
            "newuidmap": self.newuidmap,
            "newgidmap": self.newgidmap,
        }

    def holds(self, uid: int, gid: int) -> bool:
        """Whether a container can have a user and a group."""
        return self.single or (uid <= self.uids[1][2] and gid <= self.gids[1][2])

    def mappings(self, uid: int, gid: int) -> tuple[list[dict[str, int]], list[dict[str, int]]]:
        """Returns the ids of a container in the runtime's form (OCI runtime specification, ``linux.uidMappings``).

        Args:
            uid: The user of its command.
            gid: The group of its command.
        """
        if self.single:
            return [_mapping(uid, 1)], [_mapping(gid, 1)]
        # Each range by itself: the kernel takes none that is in two ranges of the namespace above.
        return [_mapping(first, size, first) for first, _, size in self.uids], [
            _mapping(first, size, first) for first, _, size in self.gids
        ]


def _mapping(inside: int, size: int, outside: int = 0) -> dict[str, int]:
    return {"containerID": inside, "hostID": outside, "size": size}


def single_id(why: str) -> Ids:
    """Returns the id that every user has: its own."""
    return Ids(((0, os.geteuid(), 1),), ((0, os.getegid(), 1),), why=why)


def find_ids(subuid: Path = SUBUID, subgid: Path = SUBGID) -> Ids:
    """Returns the ids that this user may use, as far as files and programs tell; only trying them out is certain."""
    programs = [shutil.which(name, path=_PATH) for name in ("newuidmap", "newgidmap")]
    if not all(programs):
        return single_id("newuidmap and newgidmap are not installed")
    names = {str(os.geteuid())}
    try:
        names.add(pwd.getpwuid(os.geteuid()).pw_name)
    except KeyError:
        return single_id("this user has no name in /etc/passwd")
    ranges = [_largest(path, names) for path in (subuid, subgid)]
    for path, found in zip((subuid, subgid), ranges, strict=True):
        if found is None:
            return single_id(f"{path} has no ids for this user")
    (first_uid, users), (first_gid, groups) = (each or (0, 0) for each in ranges)
    return Ids(
        ((0, os.geteuid(), 1), (1, first_uid, users)),
        ((0, os.getegid(), 1), (1, first_gid, groups)),
        str(programs[0]),
        str(programs[1]),
    )


def _largest(path: Path, names: set[str]) -> tuple[int, int] | None:
    """Returns the largest range of a file such as ``/etc/subuid`` for a user: its first id, and how many are used."""
    found: list[tuple[int, int]] = []
    try:
        lines = path.read_text(errors="replace").splitlines()
    except OSError:
        return None
    for line in lines:
        name, _, rest = line.strip().partition(":")
        numbers = re.fullmatch(r"(\d{1,10}):(\d{1,10})", rest)
        if name in names and numbers is not None and int(numbers[2]) > 0:
            found.append((int(numbers[1]), min(int(numbers[2]), _MOST)))
    return max(found, key=lambda each: each[1], default=None)


def counts_processes(release: str = "") -> bool:
    """Whether the kernel can bound the number of processes in a user namespace without a control group."""
    numbers = re.match(r"(\d+)\.(\d+)", release or platform.release())
    return numbers is not None and (int(numbers[1]), int(numbers[2])) >= _COUNTED
