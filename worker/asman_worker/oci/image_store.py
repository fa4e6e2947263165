"""Keeps images on this machine: their parts by sha256, and one unpacked root for each image.

Several workers of a machine share a store. Whoever uses a part or a root holds a shared lock on it, and whoever makes
or removes one an exclusive lock; the time of a lock's file is that of the last use. A root is named by the sha256 of
the image's settings, which name all its layers.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import json
import logging
import os
import secrets
import shutil
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Final

from asman_shared.errors import ExecutionError

from .file_lock import FileLock
from .manifests import Blob, Manifest, Settings, Unreadable, read_settings
from .programs import command
from .rootless.kept_files import Files

log = logging.getLogger("asman.worker.oci")

FILES: Final = 2_000_000
"""Largest number of files of an image."""
MOST: Final = 2**62
"""Largest size of an image where only the disk bounds it, in bytes."""
MEMORY: Final = 2 * 1024 * 1024 * 1024
"""Address space of the program that unpacks an image, in bytes: headers in a layer may claim any size."""
_ROOT: Final = "root-"
_BLOB: Final = "blob-"
_CHUNK: Final = 1024 * 1024
_ABOUT: Final = "image.json"
_KILL_SECONDS: Final = 10.0
_AGAIN_SECONDS: Final = 0.5
"""Time after which an image that gave way to an older one is tried again, in seconds; it doubles each time."""
_LONGEST_AGAIN_SECONDS: Final = 8.0


@dataclass(frozen=True, slots=True)
class StoredImage:
    """An image that is unpacked on this machine.

    Attributes:
        id: The sha256 of its settings, as ``sha256:…``.
        digest: The registry's digest; the id for an image without one.
        root: The folder with its files; nothing ever changes in it.
        lock: The file whose lock keeps it from being removed.
        size: Its size on disk, in bytes.
        settings: Its settings.
    """

    id: str
    digest: str
    root: Path
    lock: Path
    size: int
    settings: Settings = field(repr=False)

    @property
    def user(self) -> str:
        """The user of its command, as in the image."""
        return self.settings.user

    @property
    def workdir(self) -> str:
        """Its working directory."""
        return self.settings.workdir

    @property
    def env(self) -> dict[str, str]:
        """Its variables."""
        return dict(self.settings.env)

    @property
    def entrypoint(self) -> tuple[str, ...]:
        """Its entrypoint."""
        return self.settings.entrypoint

    @property
    def command(self) -> tuple[str, ...]:
        """Its command."""
        return self.settings.command

    @property
    def volumes(self) -> tuple[str, ...]:
        """The paths that it declares as volumes."""
        return self.settings.volumes


class ImageStore:
    """The images of a machine.

    Args:
        folder: The store's folder.
        most: Largest size of all parts and roots, in bytes; 0 for any.
        age: Time after which what is unused is removed, in seconds; 0 for never.
        reserve: Bytes of the disk that stay free.
    """

    def __init__(self, folder: Path, *, most: int = 0, age: float = 0, reserve: int = 0) -> None:
        self._folder = folder
        self._most = most
        self._age = age
        self._reserve = reserve
        self._roots = folder / "roots"
        self._blobs = folder / "blobs"
        self._partial = folder / "partial"
        self._locks = folder / "locks"
        self._room = folder / "room"
        self._files = Files()

    def open(self, files: Files | None = None) -> None:
        """Makes the folders.

        Args:
            files: Reaches the files of roots, for a worker that is not root.
        """
        if files is not None:
            self._files = files
        if files is not None and files.ids is not None and files.ids.single:
            # Their files have lost their owners, which matters to nobody but those with more ids.
            self._roots = self._folder / "roots-of-one-id"
        for each in (self._roots, self._blobs, self._partial, self._locks, self._room):
            each.mkdir(parents=True, exist_ok=True, mode=0o700)

    @property
    def loading(self) -> Path:
        """The file whose lock is held by whoever loads an image from a file; meanwhile no part is removed."""
        return self._locks / "loading"

    def lock_of(self, image: str) -> Path:
        """Returns the file whose lock protects an image, by the image's id."""
        return self._locks / f"{_ROOT}{_hex(image)}"

    def hold(self, image: StoredImage) -> FileLock | None:
        """Keeps an image from being removed until the lock is closed; None if it is gone or being removed."""
        lock = FileLock.take(image.lock, exclusive=False) if image.root.is_dir() else None
        if lock is not None:
            if image.root.is_dir():
                lock.touch()
                return lock
            lock.close()
        return None

    def find(self, image: str, digest: str = "") -> StoredImage | None:
        """Returns an image that is unpacked here, by its id; None if it is not."""
        folder = self._roots / _hex(image)
        try:
            about = json.loads((folder / _ABOUT).read_bytes())
            settings = _settings(about["settings"])
            return StoredImage(
                image, digest or image, folder / "rootfs", self.lock_of(image), int(about["size"]), settings
            )
        except FileNotFoundError:
            return None
        except (OSError, ValueError, TypeError, LookupError) as error:
            log.warning("the image %s in the store can't be read: %s", image[:19], error)
            return None

    # ------------------------------------------------------------------------------------------------------ parts

    async def part(self, blob: Blob) -> FileLock:
        """Takes the lock of a part of an image: a shared one if the part is here, else an exclusive one."""
        path = self._locks / f"{_BLOB}{_hex(blob.digest)}"
        while True:
            if self.has(blob):
                lock = await FileLock.wait(path, exclusive=False)
                if self.has(blob):
                    lock.touch()
                    return lock
            else:
                lock = await FileLock.wait(path, exclusive=True)
                if not self.has(blob):
                    return lock
            lock.close()

    def has(self, blob: Blob) -> bool:
        """Whether a part is here as a whole."""
        return self.path(blob).exists()

    def path(self, blob: Blob) -> Path:
        """Returns the place of a part."""
        return self._blobs / _hex(blob.digest)

    def partial(self, blob: Blob) -> Path:
        """Returns the place of a part that is coming; only who holds its exclusive lock may write there."""
        return self._partial / _hex(blob.digest)

    def keep(self, blob: Blob, coming: Path | None = None) -> None:
        """Checks a part that has come, and keeps it; blocks.

        Args:
            blob: The part.
            coming: Its file, if not that of `partial`.

        Raises:
            ExecutionError: Its bytes are others than its name says.
        """
        coming = coming or self.partial(blob)
        with coming.open("rb") as read:
            found = hashlib.file_digest(read, "sha256").hexdigest()
        if found != _hex(blob.digest):
            coming.unlink()
            raise ExecutionError("a part of the image arrived with other bytes than its name says", fault="worker")
        coming.replace(self.path(blob))

    # ------------------------------------------------------------------------------------------------------ roots

    async def unpack(self, manifest: Manifest, settings: bytes, told: Callable[[int], None]) -> StoredImage:
        """Unpacks an image, all of whose parts are here, unless that was done before.

        Args:
            manifest: The image.
            settings: Its settings.
            told: Called with the number of layers that are unpacked.

        Raises:
            ExecutionError: It can't be unpacked, or is too large.
        """
        image = manifest.settings.digest
        while True:
            # Whoever uses the image shares its lock, perhaps for days.
            if self.find(image) is not None:
                with await FileLock.wait(self.lock_of(image), exclusive=False) as lock:
                    if (found := self.find(image, manifest.digest)) is not None:
                        lock.touch()
                        return found
            with await FileLock.wait(self.lock_of(image), exclusive=True):
                if self.find(image) is None:
                    await self._unpack(manifest, settings, told)

    async def _unpack(self, manifest: Manifest, settings: bytes, told: Callable[[int], None]) -> None:
        try:
            about = read_settings(settings)
        except Unreadable as error:
            raise ExecutionError(f"the image can't be unpacked: {error}") from error
        if len(about.layers) != len(manifest.layers):
            raise ExecutionError("the image can't be unpacked: its settings name other layers than it has")
        layers = [
            {"path": str(self.path(blob)), "kind": blob.compression, "diff_id": diff}
            for blob, diff in zip(manifest.layers, about.layers, strict=True)
        ]
        fresh = self._roots / f"{_hex(manifest.settings.digest)}.new"
        root = fresh / "rootfs"
        pause = _AGAIN_SECONDS
        try:
            while True:
                await asyncio.to_thread(self._files.remove, fresh)
                root.mkdir(parents=True, mode=0o700)
                root.chmod(0o755)
                if await self._run_unpacker(root, layers, told):
                    break
                await asyncio.to_thread(self._files.remove, fresh)
                # An older image needs the room first, and is waiting for what was just removed.
                await asyncio.sleep(pause)
                pause = min(2 * pause, _LONGEST_AGAIN_SECONDS)
            use = await asyncio.to_thread(self._files.use, root)
            (fresh / _ABOUT).write_text(json.dumps({"size": use.bytes, "settings": asdict(about)}))
            fresh.rename(self._roots / _hex(manifest.settings.digest))
        finally:
            await asyncio.to_thread(self._files.remove, fresh)

    def room(self) -> int:
        """Returns the number of bytes that another image may take."""
        free = max(0, shutil.disk_usage(self._folder).free - self._reserve)
        return min(free, self._most) if self._most else free

    async def _run_unpacker(self, root: Path, layers: Sequence[dict[str, str]], told: Callable[[int], None]) -> bool:
        """Unpacks layers; returns False if others that began before need the room first."""
        order = json.dumps(
            {
                "layers": layers,
                "bytes": self._most or MOST,
                "files": FILES,
                "memory": MEMORY,
                "ids": self._files.ids.written() if self._files.ids is not None else {},
                "room": str(self._room),
                "reserve": self._reserve,
            }
        )
        process = await asyncio.create_subprocess_exec(
            *command("unpacker", str(root)),
            stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
            start_new_session=True,
        )  # fmt: skip
        assert process.stdin is not None  # noqa: S101 - asked for above
        assert process.stdout is not None  # noqa: S101 - asked for above
        assert process.stderr is not None  # noqa: S101 - asked for above
        said: dict[str, Any] = {}
        try:
            process.stdin.write(order.encode())
            process.stdin.close()
            while line := await process.stdout.readline():
                said = json.loads(line)
                if "layers" in said:
                    told(int(said["layers"]))
            complaint = (await process.stderr.read(4000)).decode("utf-8", "replace")
            code = await process.wait()
        except BaseException:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            await asyncio.wait_for(process.wait(), _KILL_SECONDS)
            raise
        if code == 0 or said.get("later"):
            return code == 0
        if (why := said.get("refused")) is not None:
            raise ExecutionError(f"the image can't be unpacked: {why}")
        if said.get("full"):
            raise ExecutionError("the image can't be unpacked: the worker's disk is full", fault="worker")
        log.warning("unpacking an image failed: %s", said.get("failed") or complaint[-1000:] or f"exit code {code}")
        raise ExecutionError("the image can't be unpacked on this worker; its log says why", fault="worker")

    # ------------------------------------------------------------------------------------------------------- room

    def trim(self) -> int:
        """Removes what is unused for long, and over the quota what was used least recently; blocks.

        What somebody uses stays. Leftovers of killed processes are removed.

        Returns:
            The number of bytes left.
        """
        found: list[tuple[float, int, str]] = []
        for blob in self._blobs.iterdir():
            with contextlib.suppress(OSError):
                found.append((self._used(f"{_BLOB}{blob.name}"), blob.stat().st_blocks * 512, f"{_BLOB}{blob.name}"))
        for root in self._roots.iterdir():
            if "." in root.name:
                self._remove_leftover(root)
            elif (image := self.find(f"sha256:{root.name}")) is not None:
                found.append((self._used(f"{_ROOT}{root.name}"), image.size, f"{_ROOT}{root.name}"))
        for part in self._partial.iterdir():
            with contextlib.suppress(OSError):
                if time.time() - part.stat().st_mtime > max(self._age, 3600.0):
                    self._remove(f"{_BLOB}{part.name}")
        oldest = time.time() - self._age if self._age else 0.0
        loading = FileLock.take(self.loading, exclusive=False)
        if loading is None:
            return sum(size for _, size, _ in found)
        with loading:
            return self._trim(found, oldest)

    def _trim(self, found: list[tuple[float, int, str]], oldest: float) -> int:
        left = 0
        # Of two with the same last use, a part goes before a root that was made of it.
        for used, size, name in sorted(found, key=lambda each: (each[0], each[2]), reverse=True):
            fits = used >= oldest and (not self._most or left + size <= self._most)
            if fits or not self._remove(name):
                left += size
        return left

    def _used(self, name: str) -> float:
        try:
            return (self._locks / name).stat().st_mtime
        except OSError:
            return 0.0

    def _remove(self, name: str) -> bool:
        """Removes a part or a root unless somebody uses it; returns whether it is gone."""
        lock = FileLock.take(self._locks / name, exclusive=True)
        if lock is None:
            return False
        try:
            if name.startswith(_BLOB):
                (self._blobs / name.removeprefix(_BLOB)).unlink(missing_ok=True)
                (self._partial / name.removeprefix(_BLOB)).unlink(missing_ok=True)
            else:
                root = self._roots / name.removeprefix(_ROOT)
                gone = root.with_name(f"{root.name}.{secrets.token_hex(4)}")
                root.rename(gone)
                self._files.remove(gone)
            lock.remove()
        except OSError as error:
            log.warning("can't remove %s from the image store: %s", name[:24], error)
            return False
        finally:
            lock.close()
        log.info("removed %s from the image store: unused for long, or the store was full", name[:24])
        return True

    def _remove_leftover(self, folder: Path) -> None:
        lock = FileLock.take(self._locks / f"{_ROOT}{folder.name.partition('.')[0]}", exclusive=True)
        if lock is None:
            return
        with lock:
            try:
                self._files.remove(folder)
            except OSError as error:
                log.warning("can't remove %s, left by an earlier process: %s", folder, error)


def _settings(about: dict[str, Any]) -> Settings:
    lists = ("layers", "entrypoint", "command", "volumes")
    made = {name: tuple(map(str, about[name])) for name in lists}
    return Settings(
        platform=str(about["platform"]),
        user=str(about["user"]),
        workdir=str(about["workdir"]),
        env=tuple((str(name), str(value)) for name, value in about["env"]),
        **made,
    )


def _hex(digest: str) -> str:
    return digest.removeprefix("sha256:")


def write_partial(path: Path, data: bytes) -> None:
    """Adds bytes to a part that is coming; blocks."""
    file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
    with os.fdopen(file, "ab") as out:
        out.write(data)
