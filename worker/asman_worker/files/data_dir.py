"""Manages the folder that identifies a worker: the same after a restart, and different for two workers on one host."""

from __future__ import annotations

import fcntl
import logging
import os
import secrets
from collections.abc import Iterator, Sequence
from itertools import count
from pathlib import Path
from types import TracebackType

from asman_shared.disk.private_folder import private
from asman_shared.errors import Unavailable

log = logging.getLogger("asman.worker.datadir")

_MOST_WORKERS = 1000


class Home:
    """A worker's folder for one queue.

    Attributes:
        path: The folder.
        incarnation: A random id, made once per folder. Containers carry it, so that a restarted worker finds its own
            and no others.
    """

    def __init__(self, path: Path, incarnation: str) -> None:
        self.path = path
        self.incarnation = incarnation

    def folder(self, name: str) -> Path:
        """Returns a folder inside, which is made if it is missing."""
        path = self.path / name
        path.mkdir(parents=True, exist_ok=True)
        return path


class DataDir(Home):
    """A data folder that this process holds alone while it is open.

    The first worker takes the folder itself, the next ones ``1``, ``2``, … inside it. The kernel's lock
    (``flock``) ends with the process, in any way.
    """

    def __init__(self, path: Path, lock: int, incarnation: str) -> None:
        super().__init__(path, incarnation)
        self._lock: int | None = lock

    @classmethod
    def take(cls, root: Path) -> DataDir:
        """Takes the first free folder.

        Raises:
            Unavailable: The folder can't be written, other users may enter it, or too many workers share it.
        """
        for path in _candidates(root):
            if open_to_others := private(path, marks=("lock", "incarnation")):
                raise Unavailable(open_to_others)
            try:
                lock = os.open(path / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            except OSError as error:
                raise Unavailable(
                    f"the worker's data folder {path} can't be used: {error.strerror}; choose another with --data-dir"
                ) from error
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                os.close(lock)
                continue
            return cls(path, lock, _incarnation(path))
        raise Unavailable(f"{_MOST_WORKERS} workers use {root} already")

    def homes(self, queues: Sequence[str]) -> list[Home]:
        """Returns a folder for each queue; the same queues always get the same folders.

        Args:
            queues: Digests of the queues. A single queue gets the folder itself.
        """
        if len(queues) == 1:
            return [self]
        made: list[Home] = []
        for digest in queues:
            path = self.path / "queues" / digest
            path.mkdir(parents=True, exist_ok=True, mode=0o700)
            made.append(Home(path, _incarnation(path)))
        return made

    def strangers(self, homes: Sequence[Home]) -> list[str]:
        """Returns the incarnations of queues that were served from this folder before and are not served now."""
        served = {home.incarnation for home in homes}
        known = [self.incarnation]
        if (queues := self.path / "queues").is_dir():
            known += [_incarnation(path) for path in sorted(queues.iterdir()) if path.is_dir()]
        return [incarnation for incarnation in known if incarnation not in served]

    def close(self) -> None:
        """Releases the folder to other processes."""
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def __enter__(self) -> DataDir:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _candidates(root: Path) -> Iterator[Path]:
    yield root
    for number in count(1):
        if number >= _MOST_WORKERS:
            return
        yield root / str(number)


def _incarnation(path: Path) -> str:
    """Returns the folder's random id, which is made at first use."""
    file = path / "incarnation"
    try:
        found = file.read_text().strip()
        if len(found) == 32 and found.isalnum():
            return found
        log.warning("the incarnation in %s is unreadable; this worker starts as a new one", path)
    except FileNotFoundError:
        pass
    made = secrets.token_hex(16)
    fresh = path / "incarnation.new"
    with fresh.open("w") as out:
        out.write(made)
        out.flush()
        os.fsync(out.fileno())
    fresh.replace(file)
    return made
