"""Files of containers: measured, removed and handed over, by this process itself or by a keeper with their ids."""

from __future__ import annotations

import contextlib
import json
import logging
import os
import subprocess
import threading
from pathlib import Path
from typing import Any, Final

from asman_shared.errors import Unavailable

from ...execution.disk_use import DiskUse, folder_use
from ...files.set_bits import strip_set_bits
from ...files.tree import remove_tree
from ...files.trim import trim_folder
from ..programs import command
from .ids import Ids, find_ids, single_id

log = logging.getLogger("asman.worker.oci")

NAMESPACES: Final = (
    "allow user namespaces (sysctl user.max_user_namespaces, kernel.unprivileged_userns_clone=1, "
    "kernel.apparmor_restrict_unprivileged_userns=0), or run the worker as root"
)
"""The remedy for a machine that refuses user namespaces."""
_END_SECONDS: Final = 5.0


class Files:
    """Files of containers for a worker that is root, which can read and remove all. Every method blocks.

    Attributes:
        ids: The ids of containers; None for those of the machine.
    """

    ids: Ids | None = None

    def use(self, folder: Path) -> DiskUse:
        """Returns the disk use of what is in a folder."""
        return folder_use(folder)

    def remove(self, folder: Path) -> None:
        """Removes a folder with all that is in it; a missing one is no error.

        Raises:
            OSError: Something can't be removed.
        """
        remove_tree(folder)

    def give(self, folder: Path) -> None:
        """Makes all that is in a folder this worker's own, once no process of the container is left.

        Raises:
            OSError: Something can't be changed.
        """

    def copy(self, source: Path, target: Path) -> DiskUse:
        """Copies an image's root; returns the size of the copy.

        Raises:
            OSError: It can't be copied.
        """
        raise OSError(f"a root that is not mounted is for ordinary users alone ({source} to {target})")

    def trim(self, folder: Path, most: int, age: float) -> None:
        """Keeps a folder that jobs share within a size and an age; see `files.trim.trim_folder`."""
        trim_folder(folder, most, age)

    def strip(self, folder: Path) -> None:
        """Takes the set-id bits of the files in a folder away."""
        strip_set_bits(folder)

    def close(self) -> None:
        """Ends what helps."""


class KeptFiles(Files):
    """Files of an ordinary user's containers, which a keeper has to reach: a process with the containers' ids.

    There are two, so that removing much does not delay measuring.

    Args:
        ids: The ids of containers.
    """

    def __init__(self, ids: Ids) -> None:
        self.ids: Ids = ids
        self._looking = _Keeper(ids)
        self._changing = _Keeper(ids)

    def open(self) -> None:
        """Starts a keeper, which tries the ids out.

        Raises:
            Unavailable: They can't be used.
        """
        self._looking.start()

    def use(self, folder: Path) -> DiskUse:
        """Returns the disk use of what is in a folder, whoever's it is."""
        said = self._looking.ask("use", str(folder))
        return DiskUse(int(said["bytes"]), int(said["files"]), float(said["cost"]))

    def remove(self, folder: Path) -> None:
        """Removes a folder with all that is in it, whoever's it is."""
        if folder.exists():
            self._changing.ask("remove", str(folder))

    def give(self, folder: Path) -> None:
        """Makes all that is in a folder this worker's own."""
        self._changing.ask("give", str(folder))

    def copy(self, source: Path, target: Path) -> DiskUse:
        """Copies an image's root with its owners."""
        said = self._changing.ask("copy", str(source), str(target))
        return DiskUse(int(said["bytes"]), int(said["files"]))

    def trim(self, folder: Path, most: int, age: float) -> None:
        """Keeps a folder that jobs share within a size and an age."""
        self._changing.ask("trim", str(folder), most, age)

    def strip(self, folder: Path) -> None:
        """Takes the set-id bits of the files in a folder away."""
        self._changing.ask("strip", str(folder))

    def close(self) -> None:
        """Ends the keepers."""
        self._looking.close()
        self._changing.close()


def open_files(*, light: bool = False) -> Files:
    """Returns what reaches the files of this user's containers, which also tells the ids of containers; blocks.

    Args:
        light: Whether containers have one id alone, as those of bubblewrap.

    Raises:
        Unavailable: This user may have no containers.
    """
    if os.geteuid() == 0:
        if light:
            raise Unavailable("the executor bubblewrap is for users who are not root: use --executor oci")
        return Files()
    ids = single_id("bubblewrap gives no others") if light else find_ids()
    while True:
        files = KeptFiles(ids)
        try:
            files.open()
        except Unavailable as error:
            files.close()
            if ids.single:
                raise Unavailable(
                    f"this user may have no containers of its own ({error.message}): {NAMESPACES}"
                ) from error
            log.info("the ids of /etc/subuid can't be used: %s", error.message)
            ids = single_id(error.message)
        else:
            return files


class _Keeper:
    """A process with the ids of containers; it is started at first use, and again if somebody killed it."""

    def __init__(self, ids: Ids) -> None:
        self._ids = ids
        self._process: subprocess.Popen[str] | None = None
        self._turn = threading.Lock()

    def start(self) -> None:
        with self._turn:
            self._started()

    def ask(self, what: str, *words: object) -> dict[str, Any]:
        with self._turn:
            try:
                try:
                    said = self._asked(what, words)
                except (OSError, ValueError):
                    log.warning("the keeper of containers' files is gone; starting another")
                    self._end()
                    said = self._asked(what, words)
            except (Unavailable, ValueError) as error:
                raise OSError(f"files of containers are out of reach: {error}") from error
        if "error" in said:
            raise OSError(int(said["errno"]), str(said["error"]))
        return said

    def close(self) -> None:
        with self._turn:
            self._end()

    def _asked(self, what: str, words: tuple[object, ...]) -> dict[str, Any]:
        return self._talk(self._started(), {"do": what, "with": list(words)})

    def _started(self) -> subprocess.Popen[str]:
        if self._process is None:
            process = self._process = subprocess.Popen(  # noqa: S603 - a program of our own
                command("keeper"),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin"},
                cwd="/",
                start_new_session=True,
                text=True,
            )
            try:
                said = self._talk(process, self._ids.written())
            except (OSError, ValueError) as error:
                said = {"failed": str(error)}
            if why := said.get("failed"):
                self._end()
                raise Unavailable(str(why))
        return self._process

    @staticmethod
    def _talk(process: subprocess.Popen[str], what: dict[str, Any]) -> dict[str, Any]:
        assert process.stdin is not None  # noqa: S101 - asked for above
        assert process.stdout is not None  # noqa: S101 - asked for above
        process.stdin.write(json.dumps(what) + "\n")
        process.stdin.flush()
        said = json.loads(process.stdout.readline())
        return dict(said)

    def _end(self) -> None:
        process, self._process = self._process, None
        if process is None:
            return
        with process:
            try:
                with contextlib.suppress(OSError):
                    if process.stdin is not None:
                        process.stdin.close()
                process.wait(_END_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()
