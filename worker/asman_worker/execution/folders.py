"""The folders of one attempt: created empty, never shared, removed when the attempt ends."""

from __future__ import annotations

import logging
import os
import stat
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from asman_shared.definition_check import check_name
from asman_shared.errors import BadDefinition

from ..files.tree import remove_tree

log = logging.getLogger("asman.worker.folders")


@dataclass(frozen=True, slots=True)
class JobFolder:
    """The folders that hold the files of one attempt.

    Attributes:
        root: ``<first 16 digits of the job's id>-<attempt>``.
        inputs: Files that the job reads.
        outputs: Files that the job writes.
        config: Config files with an absolute path, under that path.
    """

    root: Path

    @classmethod
    def of(cls, jobs: Path, job: str, attempt: int) -> Self:
        """Returns the folder of an attempt; it need not exist."""
        return cls(jobs / f"{job[:16]}-{attempt}")

    @property
    def inputs(self) -> Path:
        """Files that the job reads."""
        return self.root / "inputs"

    @property
    def outputs(self) -> Path:
        """Files that the job writes."""
        return self.root / "outputs"

    @property
    def config(self) -> Path:
        """Config files with an absolute path."""
        return self.root / "config"

    def volume(self, path: str) -> Path:
        """Returns the place of a volume, or of a file in one, by its absolute path in the container.

        It is in ``outputs``, which jobs with volumes have no other way to.
        """
        return self.outputs / path.removeprefix("/")

    def make(self, volumes: Iterable[str] = ()) -> None:
        """Creates the folders; files of an earlier run are removed first.

        Jobs may run as any user of their image, so everybody may write to ``outputs``; ``root`` keeps other
        users of this machine out.

        Args:
            volumes: The job's volumes.
        """
        self.remove()
        self.root.parent.mkdir(parents=True, exist_ok=True)
        # The worker's umask keeps other users out, and a job may be one.
        for folder, mode in ((self.root, 0o711), (self.inputs, 0o755), (self.config, 0o755), (self.outputs, 0o777)):
            folder.mkdir()
            folder.chmod(mode)
        for path in volumes:
            self.make_inside(path)

    def make_inside(self, path: str) -> None:
        """Creates a folder of the container that is a volume or in one, before any job can write there."""
        folder = self.outputs
        for part in path.removeprefix("/").split("/"):
            folder = folder / part
            if not folder.exists():
                folder.mkdir()
                folder.chmod(0o777)

    def remove(self) -> None:
        """Removes the attempt's folders; a missing folder is no error.

        Raises:
            OSError: A file can't be removed, for example because it belongs to another user.
        """
        if self.root.is_symlink():
            self.root.unlink()
        elif self.root.exists():
            remove_tree(self.root)


def sweep(jobs: Path, wanted: set[str]) -> None:
    """Removes the folders of earlier attempts, except those named in ``wanted``."""
    for path in jobs.iterdir():
        if path.name not in wanted:
            try:
                JobFolder(path).remove()
            except OSError as error:
                log.warning("can't remove %s, left by an earlier run: %s", path, error)


def resolve(folder: Path, name: str, *, field: str, mode: int = 0o755) -> Path:
    """Returns the path of a name strictly inside a folder, and creates its parent folders.

    Args:
        folder: A folder that only this process writes to.
        name: An untrusted name, checked by `asman_shared.definition_check.check_name`.
        field: The field of the definition that holds the name, for the error.
        mode: Permission bits of the folders that are created.

    Raises:
        BadDefinition: The name escapes the folder, or passes through a file.
    """
    path = folder
    *parents, last = check_name(name, field=field).split("/")
    for part in parents:
        path = path / part
        try:
            path.mkdir()
        except FileExistsError:
            if not stat.S_ISDIR(path.lstat().st_mode):
                raise BadDefinition(f"'{name}' passes through another file", field=field) from None
        else:
            path.chmod(mode)
    target = path / last
    if os.path.lexists(target):
        raise BadDefinition(f"'{name}' is given twice, or is the folder of another name", field=field)
    return target
