"""Manages the folder that identifies a worker: the same after a restart, and different for two workers on one host."""

from __future__ import annotations

import fcntl
import hashlib
import hmac
import logging
import os
import secrets
from collections.abc import Iterator, Sequence
from itertools import count
from pathlib import Path
from types import TracebackType

from asman_shared.address import Address
from asman_shared.disk.private_folder import private
from asman_shared.errors import Unavailable

log = logging.getLogger("asman.worker.datadir")

_MOST_WORKERS = 1000
_SECRET_BYTES = 32


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

    def __init__(self, path: Path, lock: int, incarnation: str, secret: bytes) -> None:
        super().__init__(path, incarnation)
        self._lock: int | None = lock
        self._secret = secret

    @classmethod
    def take(cls, root: Path) -> DataDir:
        """Takes the first free folder.

        Raises:
            Unavailable: The folder can't be written, other users may enter it, or too many workers share it.
        """
        if os.path.lexists(root / "hub.sqlite"):
            raise Unavailable(
                f"{root} is the data folder of a hub, and a worker needs one of its own: choose another with --data-dir"
            )
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
            return cls(path, lock, _incarnation(path), _secret(path))
        raise Unavailable(f"{_MOST_WORKERS} workers use {root} already")

    def short_name(self, queue: str) -> str:
        """Returns the name by which logs, metrics and folders show a queue; nobody can check a guess by it."""
        return f"q-{self._keyed('queue', queue)[:8]}"

    def homes(self, targets: Sequence[Address]) -> list[Home]:
        """Returns a folder for each queue; the same queues always get the same folders.

        Args:
            targets: The queues. A single queue gets the folder itself.
        """
        if len(targets) == 1:
            return [self]
        made: list[Home] = []
        for target in targets:
            named = f"{target.hub}\n{target.queue}"
            path = self._known("queues", named, 16) or self.path / "queues" / self._keyed("home", named)[:16]
            path.mkdir(parents=True, exist_ok=True, mode=0o700)
            made.append(Home(path, _incarnation(path)))
        return made

    def job_cache(self, queue: str) -> Path:
        """Returns the folder that jobs of a queue share; any user of any image may write there."""
        path = self._known("cache", queue, 8) or self.path / "cache" / self._keyed("queue", queue)[:8]
        path.mkdir(parents=True, exist_ok=True)
        path.chmod(0o777)
        return path

    def _keyed(self, use: str, text: str) -> str:
        return hmac.new(self._secret, f"asman worker {use} v1\n{text}".encode(), hashlib.sha256).hexdigest()

    def _known(self, folder: str, text: str, length: int) -> Path | None:
        """Returns the folder that an older version made for a queue, whose name had no key; None if there is none."""
        path = self.path / folder / hashlib.sha256(text.encode()).hexdigest()[:length]
        return path if path.is_dir() else None

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
    _write(file, made.encode())
    return made


def _secret(path: Path) -> bytes:
    """Returns the folder's secret, which is made at first use and keys the short names of queues."""
    file = path / "secret"
    try:
        found = file.read_bytes()
        if len(found) == _SECRET_BYTES:
            return found
        log.warning("the secret in %s is unreadable; queues get other short names", path)
    except FileNotFoundError:
        pass
    made = secrets.token_bytes(_SECRET_BYTES)
    _write(file, made)
    return made


def _write(file: Path, data: bytes) -> None:
    """Writes a file for its owner alone; after a crash it is either missing or whole."""
    fresh = file.with_name(f"{file.name}.new")
    with os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as out:
        out.write(data)
        out.flush()
        os.fsync(out.fileno())
    fresh.replace(file)
