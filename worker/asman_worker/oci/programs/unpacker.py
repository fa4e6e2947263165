"""The program that unpacks the layers of an image into one folder.

It is a process of its own, whose argument is the folder that it changes its root to: whatever names and links a layer
holds, nothing outside can be reached. It reads the order as JSON from standard input and writes a line of JSON for each
step. It imports all that it needs before it changes its root. An ordinary user's is the root of a user namespace.
"""

from __future__ import annotations

import encodings.ascii
import encodings.idna
import encodings.latin_1
import errno
import gzip
import hashlib
import io
import json
import os
import resource
import shutil
import stat
import subprocess
import sys
import tarfile
import zlib
from typing import IO, Any, Final

from .namespaces import Failed, own_users
from .room import Account, Later

CODECS: Final = (encodings.ascii, encodings.idna, encodings.latin_1)
"""Codecs are loaded from files, which are out of reach later."""
_CHUNK: Final = 1024 * 1024
_EACH: Final = 16 * 1024 * 1024
_BLOCK: Final = 4096
"""The least that a folder takes on a disk, and the last part of a file, in bytes."""
_WHITEOUT: Final = ".wh."
_OPAQUE: Final = ".wh..wh..opq"
_XATTR: Final = "SCHILY.xattr."
_KEPT_XATTRS: Final = ("security.capability", "user.")
_OVERLAY_XATTR: Final = "user.overlay."
"""Begins attributes that mean something to an overlay itself, which no image has a say in."""
_DEEPEST: Final = 256
_LONGEST: Final = 4096


_OWN_FAULTS = frozenset(
    {errno.ENAMETOOLONG, errno.ENOENT, errno.EEXIST, errno.EINVAL, errno.ELOOP, errno.ENOTDIR, errno.EISDIR}
)
"""Errors of the system that tell of an entry which can't be, and not of this machine."""


class Refused(Exception):
    """A layer can't be unpacked; the message says why."""


class _Counting(io.RawIOBase):
    """The bytes of a layer's archive: counted, bounded and hashed while they are read."""

    def __init__(self, source: IO[bytes], budget: _Budget) -> None:
        self._source = source
        self._budget = budget
        self.hash = hashlib.sha256()

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1) -> bytes:
        data = self._source.read(_CHUNK if size < 0 else size)
        self.hash.update(data)
        self._budget.read(len(data))
        return data


class _Budget:
    """The room that an image may still take: of its own bound, and of what all share on the disk."""

    def __init__(self, most: int, files: int, account: Account) -> None:
        self._bytes = most
        self._files = files
        self._most, self._most_files = most, files
        self._account = account
        self._done = self._told = 0

    def read(self, size: int) -> None:
        """Takes bytes of an archive, with all that it holds besides the files' contents."""
        self._take(size)
        self._done += size
        if self._done - self._told >= _EACH:
            self._told = self._done
            say({"bytes": self._done})

    def file(self, size: int, *, folder: bool = False) -> None:
        """Takes one file, and the rest of its last block. A file with holes is larger than its part of the archive."""
        self._files -= 1
        if self._files < 0:
            raise Refused(f"it has more than {self._most_files} files")
        if size > self._most:
            raise Refused(f"a file in it has {size} bytes, and there is room for {self._most}")
        self._take(_BLOCK if folder else -size % _BLOCK)

    def _take(self, size: int) -> None:
        self._bytes -= size
        if self._bytes < 0:
            raise Refused(f"it is larger than {self._most} bytes, the most that there is room for")
        self._account.use(size)


def say(what: dict[str, Any]) -> None:
    """Writes a line for the worker."""
    sys.stdout.write(json.dumps(what) + "\n")
    sys.stdout.flush()


def clean(name: str, what: str) -> str:
    """Returns a name in an archive as a path from the root, without a slash at its beginning; empty for the root.

    Raises:
        Refused: It leads out of the root, or can't be a path.
    """
    parts = [part for part in name.split("/") if part not in ("", ".")]
    if ".." in parts:
        raise Refused(f"the {what} '{name[:200]}' leads out of the image by '..'")
    if "\0" in name or len(parts) > _DEEPEST or len(os.fsencode(name)) > _LONGEST:
        raise Refused(f"the {what} '{name[:200]}' can't be a path")
    return "/".join(parts)


class Unpacker:
    """Unpacks layers into the present root, the lowest first.

    Args:
        budget: The room that the image may take.
        owners: Whether files keep their owners; else all are this process's own.
    """

    def __init__(self, budget: _Budget, *, owners: bool = True) -> None:
        self._budget = budget
        self._owners = owners
        self._made: set[str] = set()
        self._times: dict[str, float] = {}

    def layer(self, source: IO[bytes], digest: str) -> None:
        """Unpacks one layer.

        Args:
            source: Its archive, not compressed.
            digest: The sha256 that the archive must have, as ``sha256:…``; empty for any.

        Raises:
            Refused: It is damaged, or must not be unpacked.
        """
        self._made.clear()
        self._times.clear()
        counting = _Counting(source, self._budget)
        try:
            with tarfile.open(fileobj=counting, mode="r|", errorlevel=2) as tar:
                for member in tar:
                    self._member(tar, member)
            while counting.read(_CHUNK):
                pass
        except (tarfile.TarError, EOFError, zlib.error, gzip.BadGzipFile) as error:
            raise Refused(f"a layer of it is damaged: {error}") from error
        except (ValueError, OverflowError, RecursionError) as error:
            raise Refused(f"a layer of it has an entry that can't be made: {str(error)[:200]}") from error
        except OSError as error:
            if error.errno not in _OWN_FAULTS:
                raise
            raise Refused(f"a layer of it has an entry that can't be made: {error.strerror}") from error
        for path, when in self._times.items():
            try:
                os.utime(f"/{path}", (when, when), follow_symlinks=False)
            except (OSError, ValueError, OverflowError):
                pass
        if digest and f"sha256:{counting.hash.hexdigest()}" != digest:
            raise Refused("a layer of it is not the one that its settings name")

    def _member(self, tar: tarfile.TarFile, member: tarfile.TarInfo) -> None:
        path = clean(member.name, "name")
        self._budget.file(member.size if member.isreg() else 0, folder=member.isdir())
        if member.issparse():
            self._budget.read(member.size)  # its holes are not in the archive, but are written
        folder, _, base = path.rpartition("/")
        if base.startswith(_WHITEOUT):
            self._whiteout(folder, base)
            return
        if folder:
            self._make_folders(folder)
        place = f"/{path}"
        if path:
            self._make_room(place, member.isdir())
        if member.isdir():
            if not os.path.isdir(place):
                os.mkdir(place, 0o700)
            self._times[path] = member.mtime
        elif member.isreg():
            self._write(tar, member, place)
        elif member.issym():
            os.symlink(member.linkname, place)
        elif member.islnk():
            target = clean(member.linkname, "target of the link")
            try:
                os.link(f"/{target}", place, follow_symlinks=False)
            except OSError as error:
                raise Refused(f"the link '{path[:200]}' leads to nothing: {error.strerror}") from error
            self._made.add(path)
            return
        elif member.isfifo():
            os.mkfifo(place, 0o600)
        else:
            return  # the nodes of devices are the container's own
        self._made.add(path)
        self._describe(member, place)

    def _whiteout(self, folder: str, base: str) -> None:
        """Removes what the layers below have made, and nothing of this one."""
        if base == _OPAQUE:
            try:
                below = os.listdir(f"/{folder}")
            except OSError:
                return
            for each in below:
                self._remove_below(f"{folder}/{each}" if folder else each)
        elif not base.startswith(_WHITEOUT * 2):
            hidden = base.removeprefix(_WHITEOUT)
            if hidden in ("", ".", ".."):
                raise Refused(f"the name '{base}' hides nothing that can be named")
            self._remove_below(f"{folder}/{hidden}" if folder else hidden)

    def _remove_below(self, path: str) -> None:
        if path not in self._made:
            _remove(f"/{path}")
        elif os.path.isdir(f"/{path}") and not os.path.islink(f"/{path}"):
            for each in os.listdir(f"/{path}"):
                self._remove_below(f"{path}/{each}")

    def _make_folders(self, path: str) -> None:
        """Makes the folders on the way to a file; a link on the way stays, and leads to somewhere in this root."""
        if os.path.isdir(f"/{path}"):
            return
        place = ""
        for part in path.split("/"):
            place = f"{place}/{part}"
            try:
                os.mkdir(place, 0o755)
            except FileExistsError as error:
                if not os.path.isdir(place):
                    raise Refused(f"'{path[:200]}' is no folder, but has files in it: {error.strerror}") from error
            except OSError as error:
                if error.errno not in _OWN_FAULTS:
                    raise
                raise Refused(f"'{path[:200]}' is no folder, but has files in it: {error.strerror}") from error
            else:
                self._budget.file(0, folder=True)

    @staticmethod
    def _make_room(place: str, folder: bool) -> None:
        try:
            there = os.lstat(place)
        except FileNotFoundError:
            return
        if not (folder and stat.S_ISDIR(there.st_mode)):
            _remove(place)

    @staticmethod
    def _write(tar: tarfile.TarFile, member: tarfile.TarInfo, place: str) -> None:
        file = os.open(place, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        with os.fdopen(file, "wb") as out:
            source = tar.extractfile(member)
            if source is not None:
                shutil.copyfileobj(source, out, _CHUNK)

    def _describe(self, member: tarfile.TarInfo, place: str) -> None:
        """Sets owner, mode, extended attributes and time, in this order, because each may undo those after it."""
        if self._owners:
            try:
                os.chown(place, member.uid, member.gid, follow_symlinks=False)
            except OSError as error:
                if error.errno != errno.EINVAL:
                    raise
                raise Refused(
                    f"it has files of user {member.uid} and group {member.gid}, of which one is not among the ids that "
                    "this worker may use (/etc/subuid, /etc/subgid)"
                ) from error
        if member.issym():
            return
        os.chmod(place, member.mode & 0o7777)
        for name, value in (member.pax_headers or {}).items():
            attribute = name.removeprefix(_XATTR)
            if attribute.startswith(_OVERLAY_XATTR):
                continue
            if attribute != name and attribute.startswith(_KEPT_XATTRS):
                try:
                    os.setxattr(place, attribute, value.encode("utf-8", "surrogateescape"))
                except OSError:
                    pass
        if not member.isdir():
            os.utime(place, (member.mtime, member.mtime))


def _remove(place: str) -> None:
    try:
        if os.path.isdir(place) and not os.path.islink(place):
            shutil.rmtree(place)
        else:
            os.unlink(place)
    except FileNotFoundError:
        pass


def _opened(layer: dict[str, Any]) -> IO[bytes]:
    """Opens a layer's file, with its compression undone.

    Raises:
        Refused: Its compression is not one that can be undone here.
    """
    kind, path = layer["kind"], layer["path"]
    if kind == "zstd":
        program = shutil.which("zstd", path="/usr/local/bin:/usr/bin:/bin")
        if program is None:
            raise Refused("a layer of it is compressed with zstd, and this machine has no program `zstd`: install it")
        source = open(path, "rb")
        words = [program, "-dcq"]
        undoing = subprocess.Popen(words, stdin=source, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)  # noqa: S603
        source.close()
        assert undoing.stdout is not None  # noqa: S101 - asked for
        return undoing.stdout
    file = open(path, "rb")
    return gzip.GzipFile(fileobj=file) if kind == "gzip" else file  # type: ignore[return-value]


def main(root: str) -> int:
    """Unpacks the layers that standard input names; returns 0 once all are there."""
    order = json.load(sys.stdin)
    resource.setrlimit(resource.RLIMIT_AS, (int(order["memory"]), int(order["memory"])))
    try:
        if ids := order["ids"]:
            own_users(ids)
        sources = [(_opened(layer), str(layer["diff_id"])) for layer in order["layers"]]
        account = Account(order["room"], int(order["reserve"]))
        os.chroot(root)
        os.chdir("/")
        os.umask(0)
        owners = not ids or len(ids["uids"]) > 1
        unpacker = Unpacker(_Budget(int(order["bytes"]), int(order["files"]), account), owners=owners)
        for number, (source, digest) in enumerate(sources):
            unpacker.layer(source, digest)
            source.close()
            say({"layers": number + 1})
        account.close()
    except Later:
        say({"later": True})
        return 1
    except Refused as error:
        say({"refused": str(error)})
        return 1
    except MemoryError:
        say({"refused": f"it takes more than {order['memory']} bytes of memory to read a layer of it"})
        return 1
    except Failed as error:
        say({"failed": str(error)})
        return 1
    except OSError as error:
        say({"failed": error.strerror or str(error), "full": error.errno in (28, 122)})
        return 1
    return 0


def program(words: list[str]) -> None:
    """Runs this module as a program."""
    sys.exit(main(words[0]))
