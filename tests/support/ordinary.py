"""Runs a program as a user that is on no machine: known in the mount namespace of the program alone, so nothing stays.

It takes root. The user has further ids of its own, or none, and sees the folders of the tests although their parents
belong to root.
"""

from __future__ import annotations

import contextlib
import json
import os
import shlex
import shutil
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from asman_worker.oci.cgroups import PERIOD, Layout
from devtools import as_user

USER = 61234
"""Its number."""
_NAME = "asman-ordinary"
_FIRST = 1_700_000_000
"""The first of its further ids."""
_FILES = ("passwd", "group", "subuid", "subgid")


@dataclass
class Ordinary:
    """A user for programs.

    Attributes:
        ids: Whether it has further ids.
        groups: Whether control groups are handed to it.
        cpus: The cpus of these groups, in thousandths; 0 for any.
        before: Commands that root runs in the mount namespace before the program.
    """

    ids: bool = True
    groups: bool = False
    cpus: int = 0
    before: list[str] = field(default_factory=list)

    @contextlib.contextmanager
    def command(self, words: list[str], seen: list[Path]) -> Iterator[list[str]]:
        """Yields the command that runs a program as the user.

        Args:
            words: The program.
            seen: Folders and files that it sees at their own places; the user must be able to use them.
        """
        with self._prepared(seen, "$$") as (script, home):
            run = f"exec setpriv --reuid={USER} --regid={USER} --clear-groups --inh-caps=-all env HOME={home}"
            lines = f"{script}\n{run} {shlex.join(words)}"
            yield ["unshare", "--mount", "--propagation", "private", "sh", "-ec", lines]

    @contextlib.contextmanager
    def worker(self, settings: dict[str, Any], seen: list[Path]) -> Iterator[list[str]]:
        """Yields the words by which the fork server starts a worker as the user; see `command`."""
        with self._prepared(seen, "$PPID") as (script, home):
            yield [as_user.WORD, script, str(USER), str(home), json.dumps(settings)]

    @contextlib.contextmanager
    def _prepared(self, seen: list[Path], pid: str) -> Iterator[tuple[str, Path]]:
        """Yields what root runs before the program, whose process the script knows as ``pid``, and the user's home."""
        folder = Path(tempfile.mkdtemp(prefix="asman-ordinary-"))
        layout = Layout.find()
        group = f"/{folder.name}"
        groups = {layout.folder(each, group) for each in ("memory", "pids", "cpu")} if self.groups else set()
        try:
            folder.chmod(0o755)
            self._write_files(folder)
            for each in groups:
                each.mkdir()
                for place in (each, each / "cgroup.procs"):
                    os.chown(place, USER, USER)
            if self.cpus:
                (layout.folder("cpu", group) / "cpu.cfs_quota_us").write_text(str(self.cpus * PERIOD // 1000))
            lines = self._mounts(folder, seen)
            lines += [f"echo {pid} > {each}/cgroup.procs" for each in sorted(groups)]
            yield "\n".join(lines), folder / "home"
        finally:
            shutil.rmtree(folder)
            if groups:
                layout.clear(group)

    def _write_files(self, folder: Path) -> None:
        for name in _FILES:
            there = Path("/etc", name)
            (folder / name).write_text(there.read_text() if there.exists() else "")
        with (folder / "passwd").open("a") as file:
            file.write(f"{_NAME}:x:{USER}:{USER}::{folder}/home:/bin/sh\n")
        for name in ("subuid", "subgid"):
            (folder / name).write_text(f"{_NAME}:{_FIRST}:65536\n" if self.ids else "")
        (folder / "home").mkdir()
        os.chown(folder / "home", USER, USER)

    def _mounts(self, folder: Path, seen: list[Path]) -> list[str]:
        lines = [f"if [ -e /etc/{name} ]; then mount --bind {folder}/{name} /etc/{name}; fi" for name in _FILES]
        hidden = {place: blocked for place in seen if (blocked := _blocked(place)) is not None}
        for number, place in enumerate(hidden):
            hold = folder / f"seen-{number}"
            hold.touch() if place.is_file() else hold.mkdir()
            lines.append(f"mount --bind {shlex.quote(str(place))} {hold}")
        lines += [f"mount -t tmpfs -o mode=755 tmpfs {shlex.quote(str(each))}" for each in sorted(set(hidden.values()))]
        for number, place in enumerate(hidden):
            there = shlex.quote(str(place))
            above = shlex.quote(str(place.parent))
            lines.append(f"mkdir -p {above}; touch {there}" if place.is_file() else f"mkdir -p {there}")
            lines.append(f"mount --bind {folder}/seen-{number} {there}")
        return [*lines, *self.before]


def owned(folder: Path) -> Path:
    """Makes a folder the user's; returns it."""
    folder.mkdir(parents=True, exist_ok=True)
    os.chown(folder, USER, USER)
    return folder


def python(code: str, *words: str) -> list[str]:
    """Returns the command that runs some Python with the modules of the tests."""
    rooms = os.pathsep.join(path for path in sys.path if path)
    return ["env", f"PYTHONPATH={rooms}", sys.executable, "-c", code, *words]


def _blocked(place: Path) -> Path | None:
    """Returns the highest folder on the way to a place that the user can't enter; None if there is none."""
    for folder in reversed(place.parents):
        if not folder.stat().st_mode & 0o001:
            return folder
    return None
