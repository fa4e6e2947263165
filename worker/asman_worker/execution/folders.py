"""The folders of one attempt: made fresh, never shared, gone afterwards."""

from __future__ import annotations

import logging
import os
import shutil
import stat
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from asman_shared.definition_check import check_name
from asman_shared.errors import BadDefinition

log = logging.getLogger("asman.worker.folders")


@dataclass(frozen=True, slots=True)
class JobFolder:
    """Where the files of one attempt are.

    Attributes:
        root: ``<first 16 digits of the job's id>-<attempt>``.
        inputs: What the job reads.
        outputs: What the job leaves.
        config: Config files with an absolute path, under that path.
    """

    root: Path

    @classmethod
    def of(cls, jobs: Path, job: str, attempt: int) -> Self:
        """The folder of an attempt, whether it exists or not."""
        return cls(jobs / f"{job[:16]}-{attempt}")

    @property
    def inputs(self) -> Path:
        """What the job reads."""
        return self.root / "inputs"

    @property
    def outputs(self) -> Path:
        """What the job leaves."""
        return self.root / "outputs"

    @property
    def config(self) -> Path:
        """Config files with an absolute path."""
        return self.root / "config"

    def make(self) -> None:
        """Makes the folders, empty: what an earlier run left there is removed first.

        Jobs may run as any user of their image, so ``outputs`` can be written by all; ``root`` keeps others of this
        machine out.
        """
        self.remove()
        self.root.mkdir(parents=True, mode=0o711)
        self.inputs.mkdir(mode=0o755)
        self.config.mkdir(mode=0o755)
        self.outputs.mkdir()
        self.outputs.chmod(0o777)

    def remove(self) -> None:
        """Removes everything; nothing happens when it is gone already.

        Raises:
            OSError: Something can't be removed, such as files of another user.
        """
        if self.root.is_symlink():
            self.root.unlink()
        elif self.root.exists():
            shutil.rmtree(self.root, onerror=_make_writable)


def sweep(jobs: Path, wanted: set[str]) -> None:
    """Removes the folders of earlier attempts but those named in ``wanted``."""
    for path in jobs.iterdir():
        if path.name not in wanted:
            try:
                JobFolder(path).remove()
            except OSError as error:
                log.warning("%s, which an earlier run left, can't be removed: %s", path, error)


def resolve(folder: Path, name: str, *, field: str) -> Path:
    """The path of a name strictly inside a folder, with the folders on the way to it made.

    Args:
        folder: A folder into which this process alone writes.
        name: A hostile name, checked by `asman_shared.definition_check.check_name`.
        field: Where the name stands, for the error.

    Raises:
        BadDefinition: The name escapes, or goes through a file.
    """
    path = folder
    *parents, last = check_name(name, field=field).split("/")
    for part in parents:
        path = path / part
        try:
            path.mkdir(mode=0o755)
        except FileExistsError:
            if not stat.S_ISDIR(path.lstat().st_mode):
                raise BadDefinition(f"'{name}' goes through another file", field=field) from None
    target = path / last
    if os.path.lexists(target):
        raise BadDefinition(f"'{name}' is there twice, or is a folder of another name", field=field)
    return target


def _make_writable(function: Callable[..., Any], path: str, info: Any) -> None:
    """A job may leave folders that forbid even their owner to empty them."""
    if not isinstance(info[1], PermissionError):
        if isinstance(info[1], FileNotFoundError):
            return
        raise info[1]
    parent = Path(path).parent
    parent.chmod(0o700)
    if not Path(path).is_symlink():
        Path(path).chmod(0o700)
    if function in (os.open, os.scandir, os.lstat):
        shutil.rmtree(path)
    else:
        function(path)
