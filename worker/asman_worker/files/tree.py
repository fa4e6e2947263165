"""Walks and removes folders that jobs filled: of any depth, in time in proportion to their size, following no links.

A path in such a folder may be longer than any system call takes, and nested deeper than Python may recurse. So the walk
has one folder open, and goes down by a name and up by ``..``.
"""

from __future__ import annotations

import contextlib
import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

_FOLDER: Final = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_PATH: Final = os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_MOVED: Final = 100
"""Number of folders that may be moved from their place during a walk, before the walk ends early."""


@dataclass(frozen=True, slots=True)
class Entry:
    """An entry of a folder.

    Attributes:
        at: The folder, open until the next entry is asked for.
        name: Its name in the folder.
        stat: Its state; links are not followed.
        left: Whether it is a folder whose own entries have all been yielded, which is yielded a second time.
    """

    at: int
    name: str
    stat: os.stat_result
    left: bool = False


@dataclass(slots=True)
class _Level:
    """A folder on the way from the root to the open one."""

    name: str
    identity: tuple[int, int]
    pending: list[tuple[str, os.stat_result]]


class _Walk:
    """A walk through a folder; the open folder is `at`."""

    def __init__(self, root: Path, *, forcing: bool) -> None:
        self._root = root
        self._forcing = forcing
        self._levels: list[_Level] = []
        self._moved = 0
        self.at = -1

    def close(self) -> None:
        if self.at >= 0:
            os.close(self.at)
            self.at = -1

    def run(self) -> Iterator[Entry]:
        try:
            self._move(os.open(self._root, _FOLDER))
        except FileNotFoundError:
            return
        except OSError:
            if self._forcing:
                raise
            return
        yield from self._enter("")
        while self._levels:
            level = self._levels[-1]
            if level.pending:
                name, about = level.pending.pop()
                # A folder that can't be opened has just gone, was swapped for a link, or is closed.
                with contextlib.suppress(OSError):
                    self._move(self._open(name))
                    yield from self._enter(name)
                    continue
                yield Entry(self.at, name, about, left=True)
            else:
                self._levels.pop()
                if not self._levels or not self._up():
                    continue
                # The folder that was left may have changed meanwhile.
                with contextlib.suppress(OSError):
                    about = os.stat(level.name, dir_fd=self.at, follow_symlinks=False)
                    yield Entry(self.at, level.name, about, left=True)

    def _move(self, to: int) -> None:
        self.close()
        self.at = to

    def _open(self, name: str) -> int:
        try:
            return os.open(name, _FOLDER, dir_fd=self.at)
        except PermissionError:
            if not self._forcing:
                raise
            file = os.open(name, _PATH, dir_fd=self.at)
            try:
                Path(f"/proc/self/fd/{file}").chmod(0o700)
            finally:
                os.close(file)
            return os.open(name, _FOLDER, dir_fd=self.at)

    def _enter(self, name: str) -> Iterator[Entry]:
        """Yields the entries of the folder that was just opened."""
        about = os.fstat(self.at)
        if self._forcing and about.st_mode & 0o700 != 0o700:
            with contextlib.suppress(OSError):
                os.fchmod(self.at, 0o700)
        level = _Level(name, (about.st_dev, about.st_ino), [])
        self._levels.append(level)
        with contextlib.suppress(OSError), os.scandir(self.at) as entries:
            for entry in list(entries):
                with contextlib.suppress(FileNotFoundError, PermissionError):
                    found = entry.stat(follow_symlinks=False)
                    if stat.S_ISDIR(found.st_mode):
                        level.pending.append((entry.name, found))
                    yield Entry(self.at, entry.name, found)

    def _up(self) -> bool:
        """Opens the folder above; False if somebody moved a folder meanwhile, so that the walk goes on elsewhere."""
        with contextlib.suppress(OSError):
            above = os.open("..", _FOLDER, dir_fd=self.at)
            if self._is(above, self._levels[-1]):
                self._move(above)
                return True
            os.close(above)
        self._moved += 1
        if self._moved > _MOVED:
            self._levels.clear()
        while self._levels and not self._reopen():
            pass
        return False

    def _reopen(self) -> bool:
        """Opens the present folder by its names from the root; drops it and returns False if it is not there."""
        for number, level in enumerate(self._levels):
            try:
                self._move(os.open(level.name, _FOLDER, dir_fd=self.at) if number else os.open(self._root, _FOLDER))
                there = self._is(self.at, level)
            except OSError:
                there = False
            if not there:
                del self._levels[number:]
                return False
        return True

    @staticmethod
    def _is(file: int, level: _Level) -> bool:
        about = os.fstat(file)
        return (about.st_dev, about.st_ino) == level.identity


@contextlib.contextmanager
def walking(folder: Path, *, forcing: bool = False) -> Iterator[Iterator[Entry]]:
    """Yields the entries of a folder and of the folders in it, first those of a folder and then what is inside them.

    Each folder comes twice, at last with ``left``. Something else may change the folder meanwhile: no link is followed,
    and the walk stays inside. What can't be read is left out; a folder that does not exist is empty.

    Args:
        folder: The folder; its last part must not be a link.
        forcing: Whether closed folders are opened by changing their mode.
    """
    walk = _Walk(folder, forcing=forcing)
    entries = walk.run()
    try:
        yield entries
    finally:
        walk.close()


def remove_tree(folder: Path) -> None:
    """Removes a folder with all that is in it; blocks. A missing folder is no error.

    Raises:
        OSError: Something can't be removed, for example because it belongs to another user.
    """
    first: OSError | None = None
    with walking(folder, forcing=True) as entries:
        for entry in entries:
            is_folder = stat.S_ISDIR(entry.stat.st_mode)
            if is_folder and not entry.left:
                continue
            try:
                if is_folder:
                    os.rmdir(entry.name, dir_fd=entry.at)
                else:
                    os.unlink(entry.name, dir_fd=entry.at)
            except FileNotFoundError:
                pass
            except OSError as error:
                first = first or error
    if first is not None:
        raise first
    with contextlib.suppress(FileNotFoundError):
        folder.rmdir()
