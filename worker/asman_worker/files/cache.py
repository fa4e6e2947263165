"""Keeps files by their sha256 for later jobs, with limits for size and age; removes the least recently used first.

Jobs get copies of the files, each verified while it is copied. So no job can change a file that another one reads.
"""

from __future__ import annotations

import contextlib
import hashlib
import logging
import os
import secrets
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from asman_shared.definition import SHA256
from asman_shared.units import MIB

log = logging.getLogger("asman.worker.cache")

_CHUNK: Final = MIB


class FileCache:
    """A cache of files in one folder.

    Args:
        folder: The folder, which only this cache uses while the worker runs.
        most: Largest size of all files, in bytes; 0 keeps none.
        age: Time after which an unused file is removed, in seconds; 0 for never.
    """

    def __init__(self, folder: Path, *, most: int, age: float = 0) -> None:
        self._folder = folder
        self._most = most
        self._age = age
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        for left in folder.glob("*.new"):
            left.unlink(missing_ok=True)

    def copy_to(self, sha256: str, target: Path) -> bool:
        """Copies a file out, if the cache has it; removes it if it is damaged; blocks."""
        path = self._folder / sha256
        try:
            with path.open("rb") as kept, target.open("xb") as out:
                digest = _copy(kept.fileno(), out.fileno())
            if digest == sha256:
                os.utime(path)
                return True
        except FileNotFoundError:
            return False
        log.warning("a file of the cache was damaged; fetching it again")
        path.unlink(missing_ok=True)
        target.unlink(missing_ok=True)
        return False

    def keep(self, sha256: str, source: Path) -> None:
        """Keeps a copy of a file, if there is room; blocks. A file that can't be kept is not an error."""
        if SHA256.fullmatch(sha256) is None:
            return
        path, fresh = self._folder / sha256, self._folder / f"{secrets.token_hex(8)}.new"
        with contextlib.suppress(OSError):
            size = source.stat().st_size
            if size > self._most or path.exists():
                return
            self.trim(self._most - size)
            try:
                with source.open("rb") as whole, fresh.open("xb") as out:
                    digest = _copy(whole.fileno(), out.fileno())
                if digest == sha256:
                    fresh.replace(path)
            finally:
                fresh.unlink(missing_ok=True)

    def trim(self, most: int | None = None) -> int:
        """Removes old files, and the least recently used ones over the limit; returns the bytes left; blocks."""
        most = self._most if most is None else most
        left = 0
        oldest = time.time() - self._age if self._age else 0.0
        for path, used, size in sorted(self._files(), key=lambda item: item[1], reverse=True):
            if used < oldest or left + size > most:
                path.unlink(missing_ok=True)
            else:
                left += size
        return left

    def _files(self) -> Iterator[tuple[Path, float, int]]:
        with os.scandir(self._folder) as entries:
            for entry in entries:
                with contextlib.suppress(OSError):
                    found = entry.stat(follow_symlinks=False)
                    yield Path(entry.path), found.st_mtime, found.st_size


def _copy(source: int, target: int) -> str:
    """Copies an open file to another; returns the sha256 of the copy."""
    digest = hashlib.sha256()
    while data := os.read(source, _CHUNK):
        digest.update(data)
        view = memoryview(data)
        while view:
            view = view[os.write(target, view) :]
    return digest.hexdigest()
