"""The folder that makes a restarted worker the same worker, and two workers on one host different ones."""

from __future__ import annotations

import fcntl
import logging
import os
import secrets
from collections.abc import Iterator, Sequence
from itertools import count
from pathlib import Path
from types import TracebackType

from asman_shared.errors import Unavailable

log = logging.getLogger("asman.worker.datadir")

_MOST_WORKERS = 1000


class Home:
    """The folder of one queue's side of a worker.

    Attributes:
        path: The folder.
        incarnation: Random and made once per folder; containers carry it, so that a restarted worker finds its own
            and no one else's.
    """

    def __init__(self, path: Path, incarnation: str) -> None:
        self.path = path
        self.incarnation = incarnation

    def folder(self, name: str) -> Path:
        """A folder of that name inside, made when missing."""
        path = self.path / name
        path.mkdir(parents=True, exist_ok=True)
        return path


class DataDir(Home):
    """A data folder held by this process alone for as long as it is open.

    The first worker takes the folder itself, the next ones ``1``, ``2``, … inside it. The lock is the kernel's
    (``flock``): it goes with the process, however that ends.
    """

    def __init__(self, path: Path, lock: int, incarnation: str) -> None:
        super().__init__(path, incarnation)
        self._lock: int | None = lock

    @classmethod
    def take(cls, root: Path) -> DataDir:
        """Takes the first free folder.

        Raises:
            Unavailable: The folder can't be written, or too many workers share it.
        """
        for path in _candidates(root):
            try:
                path.mkdir(parents=True, exist_ok=True, mode=0o700)
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
        """A home for each queue, the same ones whenever the same queues are served.

        Args:
            queues: Their digests. A single queue is at home in the folder itself.
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
        """The incarnations of queues that were served from this folder and are not now."""
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
    """The folder's own random id, made at first use."""
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
