"""Locks that the processes of a machine share: the kernel's own, which end with their process in any way."""

from __future__ import annotations

import asyncio
import fcntl
import os
from pathlib import Path
from types import TracebackType
from typing import Final, Self

_PAUSE_SECONDS: Final = 0.05


class FileLock:
    """A lock that is held until it is closed.

    Attributes:
        path: Its file.
    """

    def __init__(self, path: Path, held: int) -> None:
        self.path = path
        self._held = held

    @classmethod
    def take(cls, path: Path, *, exclusive: bool) -> Self | None:
        """Takes a lock; returns None if another holder is in the way.

        Args:
            path: Its file, which is made if it is missing.
            exclusive: Whether nobody else may hold it meanwhile; else others may share it.
        """
        while True:
            file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            try:
                fcntl.flock(file, (fcntl.LOCK_EX if exclusive else fcntl.LOCK_SH) | fcntl.LOCK_NB)
                if path.exists() and path.stat().st_ino == os.fstat(file).st_ino:
                    return cls(path, file)
            except BlockingIOError:
                os.close(file)
                return None
            except FileNotFoundError:
                pass
            # Its last holder removed the file: a lock on it would exclude nobody.
            os.close(file)

    @classmethod
    async def wait(cls, path: Path, *, exclusive: bool) -> Self:
        """Takes a lock as soon as no other holder is in the way; cancelling it ends the wait."""
        while (lock := cls.take(path, exclusive=exclusive)) is None:  # noqa: ASYNC110 - others are processes
            await asyncio.sleep(_PAUSE_SECONDS)
        return lock

    def share(self) -> None:
        """Lets others share this lock from now on."""
        fcntl.flock(self._held, fcntl.LOCK_SH)

    def touch(self) -> None:
        """Notes that what the lock stands for was used now."""
        os.utime(self._held)

    def remove(self) -> None:
        """Removes the file of an exclusive lock, because what it stands for is gone, and closes it."""
        self.path.unlink(missing_ok=True)
        self.close()

    def close(self) -> None:
        """Lets the lock go."""
        if self._held >= 0:
            os.close(self._held)
            self._held = -1

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
