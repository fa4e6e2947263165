"""Shares the free room of a disk among all that unpack images there at the same time, in any process.

Each has an entry, a locked file, from its beginning to its end. It asks for room in pieces, of which only the last is
not written yet, so the free room of the disk tells the rest. Where the room is used up, the oldest goes on: younger
ones give up what they have written and come again, and the oldest waits for that.
"""

from __future__ import annotations

import errno
import fcntl
import os
import time
from typing import Final

PIECE: Final = 16 * 1024 * 1024
"""Usual size of a piece, in bytes."""
_PAUSE_SECONDS: Final = 0.05
_LOCK: Final = "account"
_ENTRY: Final = "at-"
_DIGITS: Final = 20


class Later(Exception):
    """An older one needs the room first."""


class Account:
    """The room of one that unpacks, from now on until it is closed.

    Args:
        folder: The folder of all entries, on the disk.
        reserve: Bytes of the disk that stay free.
    """

    def __init__(self, folder: str, reserve: int) -> None:
        self._reserve = reserve
        self._left = 0
        self._at = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        turn = self._turn()
        try:
            self._name = f"{_ENTRY}{time.monotonic_ns():0{_DIGITS}}-{os.getpid()}"
            self._own = os.open(self._name, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600, dir_fd=self._at)
            fcntl.flock(self._own, fcntl.LOCK_EX)
        finally:
            os.close(turn)

    def close(self) -> None:
        """Leaves the account."""
        os.unlink(self._name, dir_fd=self._at)
        os.close(self._own)
        os.close(self._at)

    def use(self, size: int) -> None:
        """Takes room before something is written.

        Args:
            size: The number of bytes.

        Raises:
            Later: Others are older, and there is not enough for all.
            OSError: The disk is full (``ENOSPC``).
        """
        self._left -= size
        while self._left < 0:
            if self._take(PIECE) or self._take(-self._left):
                return
            older, younger = self._others()
            if older:
                raise Later
            if not younger:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            time.sleep(_PAUSE_SECONDS)

    def _take(self, size: int) -> bool:
        """Takes a piece, if there is one beside those of all others and it is enough."""
        if size + self._left < 0:
            return False
        turn = self._turn()
        try:
            disk = os.fstatvfs(self._at)
            free = disk.f_bavail * disk.f_frsize - self._reserve - sum(self._entries().values())
            if free < size:
                return False
            self._left += size
            os.pwrite(self._own, f"{size:0{_DIGITS}}".encode(), 0)
            return True
        finally:
            os.close(turn)

    def _others(self) -> tuple[bool, bool]:
        """Returns whether some are older, and whether some are younger."""
        turn = self._turn()
        try:
            names = self._entries()
        finally:
            os.close(turn)
        return any(name < self._name for name in names), any(name > self._name for name in names)

    def _entries(self) -> dict[str, int]:
        """Returns what each other one may still write, and removes entries of dead ones; its caller has the turn."""
        found: dict[str, int] = {}
        for name in os.listdir(self._at):
            if name == self._name or not name.startswith(_ENTRY):
                continue
            try:
                file = os.open(name, os.O_RDWR | os.O_CLOEXEC, dir_fd=self._at)
            except FileNotFoundError:
                continue
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                os.unlink(name, dir_fd=self._at)
            except BlockingIOError:
                found[name] = int(os.pread(file, _DIGITS, 0) or b"0")
            except FileNotFoundError:
                pass
            finally:
                os.close(file)
        return found

    def _turn(self) -> int:
        """Waits for the turn to look and change; it ends when the file is closed."""
        file = os.open(_LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600, dir_fd=self._at)
        fcntl.flock(file, fcntl.LOCK_EX)
        return file
