"""Folders of this machine that the operator shares with jobs: read and written part of a path by part.

No link is followed below such a folder, because jobs that may write there can make links, and change them at any time.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
import stat
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO, Final

from asman_shared import limits
from asman_shared.definition_check import is_reserved
from asman_shared.errors import BadRequest, ExecutionError
from asman_shared.places.urls import FOLDER_LENGTH, FOLDERS, WRITABLE, folder_tags, within
from asman_shared.units import MIB, format_size

_FOLDER: Final = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_ROOT: Final = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
_FILE: Final = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_NEW: Final = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_DEPTH: Final = 64
"""Deepest level of folders that is copied."""


class SharedFolders:
    """The folders that the operator shares.

    Args:
        folders: Whether jobs may write, by the path of each folder.
    """

    def __init__(self, folders: Mapping[str, bool]) -> None:
        self._folders = dict(folders)

    @classmethod
    def of(cls, options: Sequence[str], data_dir: Path) -> SharedFolders:
        """Reads the operator's options, ``PATH`` or ``PATH:rw``.

        Raises:
            BadRequest: One can't be shared.
        """
        if len(options) > FOLDERS:
            raise BadRequest(f"a worker shares at most {FOLDERS} folders", field="shared_folder")
        found: dict[str, bool] = {}
        for option in options:
            path = option.removesuffix(WRITABLE)
            if why := _unshareable(path, data_dir):
                raise BadRequest(f"'{path[:200]}' can't be shared with jobs: {why}", field="shared_folder")
            if path in found:
                raise BadRequest(f"'{path[:200]}' is shared twice", field="shared_folder")
            found[path] = option.endswith(WRITABLE)
        _keep_apart(found)
        return cls(found)

    @property
    def tags(self) -> list[str]:
        """The tags by which jobs find this worker."""
        return list(
            dict.fromkeys(
                tag for path, writable in self._folders.items() for tag in folder_tags(path, writable=writable)
            )
        )

    def root_of(self, path: str, *, writing: bool = False) -> tuple[str, bool]:
        """Returns the innermost shared folder that is or holds a path, and whether jobs may write there.

        Raises:
            ExecutionError: There is none.
        """
        fitting = [each for each, writable in self._folders.items() if within(path, each) and (writable or not writing)]
        if not fitting:
            option = f"--shared-folder PATH{WRITABLE}" if writing else "--shared-folder PATH"
            what = "for writing" if writing else "for reading"
            raise ExecutionError(f"this worker shares no folder with '{path[:200]}' {what}: see its option {option}")
        root = max(fitting, key=len)
        return root, self._folders[root]

    def copy_file(self, path: str, to: Path, most: int) -> None:
        """Copies a file to a new one; blocks.

        Raises:
            ExecutionError: It is not shared, not a regular file, too large, or can't be read.
        """
        with self._at(path) as (at, name), _told(path):
            _copy(at, name, to, _Budget(most))

    def copy_folder(self, path: str, to: Path, most: int) -> None:
        """Copies the regular files of a folder, with the folders that they are in, into an existing folder; blocks.

        Raises:
            ExecutionError: It is not shared, too large, or can't be read.
        """
        root, _ = self.root_of(path)
        with _told(path):
            at = _folder_at(root, path.removeprefix(root).strip("/"))
            try:
                _copy_all(at, to, _Budget(most), 0)
            finally:
                os.close(at)

    def write(self, path: str, source: IO[bytes]) -> None:
        """Writes a file, whole or not at all, and makes the folders that it is in; blocks.

        Raises:
            ExecutionError: The path is not shared for writing, or can't be written.
        """
        with self._at(path, writing=True) as (at, name), _told(path):
            new = f".asman-{secrets.token_hex(8)}"
            try:
                with open(os.open(new, _NEW, 0o644, dir_fd=at), "wb") as out:  # noqa: PTH123 - from a descriptor
                    shutil.copyfileobj(source, out, MIB)
                    os.fchmod(out.fileno(), 0o755 if os.fstat(source.fileno()).st_mode & 0o100 else 0o644)
                os.replace(new, name, src_dir_fd=at, dst_dir_fd=at)
            except BaseException:
                with contextlib.suppress(OSError):
                    os.unlink(new, dir_fd=at)
                raise

    @contextlib.contextmanager
    def _at(self, path: str, *, writing: bool = False):  # type: ignore[no-untyped-def]
        """Yields the folder of a path, open, and the last part of the path."""
        root, _ = self.root_of(path, writing=writing)
        folder, _, name = path.removeprefix(root).strip("/").rpartition("/")
        if not name:
            raise ExecutionError(f"'{path[:200]}' is a shared folder itself, not a file in it")
        with _told(path):
            at = _folder_at(root, folder, making=writing)
        try:
            yield at, name
        finally:
            os.close(at)


def _keep_apart(folders: Mapping[str, bool]) -> None:
    """Checks that no folder lies in one where jobs may write: they could put a link in its place.

    Raises:
        BadRequest: One does.
    """
    real = {path: str(Path(path).resolve()) for path in folders}
    for path, writable in folders.items():
        inner = next((each for each in folders if each != path and within(real[each], real[path])), "")
        if writable and inner:
            raise BadRequest(
                f"'{inner[:200]}' can't be shared with jobs: it lies in '{path[:200]}', where jobs may write and could "
                "put a link in its place",
                field="shared_folder",
            )


def _unshareable(path: str, data_dir: Path) -> str:
    """Returns the reason for which a folder can't be shared; empty if it can."""
    if not path.startswith("/") or os.path.normpath(path) != path or path.startswith("//"):
        return "write an absolute path without '.', '..' and a slash at its end"
    if ":" in path or "," in path or not path.isprintable():
        return "its name has a character that mounts can't have"
    if len(path.encode()) > FOLDER_LENGTH:
        return f"its path has more than {FOLDER_LENGTH} bytes"
    if is_reserved(path):
        return "containers have a folder of their own there"
    try:
        real = Path(path).resolve(strict=True)
    except OSError as error:
        return error.strerror or str(error)
    if not real.is_dir():
        return "it is no folder"
    data = data_dir.expanduser().absolute().resolve()
    if real == Path("/") or within(str(data), str(real)) or within(str(real), str(data)):
        return "the data folder of the worker is there (--data-dir)"
    return ""


@contextlib.contextmanager
def _told(path: str):  # type: ignore[no-untyped-def]
    """Makes sentences of the errors of the operating system."""
    try:
        yield
    except OSError as error:
        link = " (links are not followed)" if error.errno in (20, 40) else ""
        raise ExecutionError(f"'{path[:200]}': {error.strerror or error}{link}") from error


def _folder_at(root: str, inner: str, *, making: bool = False) -> int:
    """Opens a folder below a shared one, part by part."""
    at = os.open(root, _ROOT)
    for part in inner.split("/") if inner else ():
        try:
            try:
                below = os.open(part, _FOLDER, dir_fd=at)
            except FileNotFoundError:
                if not making:
                    raise
                with contextlib.suppress(FileExistsError):
                    os.mkdir(part, 0o755, dir_fd=at)
                below = os.open(part, _FOLDER, dir_fd=at)
        finally:
            os.close(at)
        at = below
    return at


class _Budget:
    """The bytes and files that may still be copied."""

    def __init__(self, most: int) -> None:
        self._most = self._left = most
        self._files = limits.INPUTS

    def take(self, size: int) -> None:
        """Takes a file.

        Raises:
            ExecutionError: It is too much.
        """
        self._left -= size
        self._files -= 1
        if self._left < 0:
            raise ExecutionError(f"it has more than {format_size(self._most)}, the most that this worker copies")
        if self._files < 0:
            raise ExecutionError(f"it has more than {limits.INPUTS} files: pack them into an archive")


def _copy(at: int, name: str, to: Path, budget: _Budget) -> None:
    with open(os.open(name, _FILE, dir_fd=at), "rb") as source:  # noqa: PTH123 - from a descriptor
        about = os.fstat(source.fileno())
        if not stat.S_ISREG(about.st_mode):
            raise ExecutionError(f"'{name[:200]}' is no regular file")
        budget.take(about.st_size)
        with to.open("xb") as out:
            left = about.st_size
            while left and (data := source.read(min(left, MIB))):
                out.write(data)
                left -= len(data)
            os.fchmod(out.fileno(), 0o755 if about.st_mode & 0o100 else 0o644)


def _copy_all(at: int, to: Path, budget: _Budget, depth: int) -> None:
    if depth > _DEPTH:
        raise ExecutionError(f"it has folders deeper than {_DEPTH}")
    with os.scandir(at) as entries:
        found = sorted((entry.name, entry.stat(follow_symlinks=False).st_mode) for entry in entries)
    for name, mode in found:
        if stat.S_ISREG(mode):
            _copy(at, name, to / name, budget)
        elif stat.S_ISDIR(mode):
            (to / name).mkdir()
            (to / name).chmod(to.stat().st_mode & 0o777)
            below = os.open(name, _FOLDER, dir_fd=at)
            try:
                _copy_all(below, to / name, budget, depth + 1)
            finally:
                os.close(below)
