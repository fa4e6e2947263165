"""Finds images in files of this machine: OCI layouts, as folders or archives, and archives of ``docker save``."""

from __future__ import annotations

import contextlib
import hashlib
import json
import logging
import shutil
import tarfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any, Final

from asman_shared.errors import BadDefinition, BadRequest, ExecutionError

from ..images.reference import ImageReference
from .image_store import ImageStore
from .manifests import (
    MANIFEST_BYTES,
    SETTINGS_BYTES,
    Blob,
    Manifest,
    Unreadable,
    digest_of,
    read_manifest,
    read_settings,
    select,
)

log = logging.getLogger("asman.worker.oci")

_NAMES: Final = ("io.containerd.image.name", "org.opencontainers.image.ref.name")
"""Annotations that hold an image's name; the second may be a tag alone."""
_INDEX: Final = "index.json"
_SAVED: Final = "manifest.json"
_MEMBERS: Final = 1_000_000
_CHUNK: Final = 1024 * 1024
_NESTED: Final = 4


@dataclass(frozen=True, slots=True)
class LocalImage:
    """An image in a file.

    Attributes:
        path: The file or folder.
        digest: The digest of its manifest or index; empty for an archive without one.
        saved: Its entry in an archive of ``docker save``.
    """

    path: Path
    digest: str = ""
    saved: dict[str, Any] = field(default_factory=dict, hash=False)


class LocalImages:
    """The images that the operator gave by file.

    Args:
        given: Paths, or ``NAME=PATH`` for an image under another name than in its file.
    """

    def __init__(self, given: Sequence[str] = ()) -> None:
        self._given = tuple(given)
        self._found: dict[str, LocalImage] = {}

    def load(self) -> None:
        """Reads the names of all images; blocks.

        Raises:
            BadRequest: A file holds no image, or one whose name is not told.
        """
        for each in self._given:
            name, equals, path = each.partition("=")
            if not equals:
                name, path = "", each
            try:
                with _files(Path(path).expanduser()) as files:
                    found = dict(_listed(files, Path(path).expanduser()))
            except (OSError, tarfile.TarError, EOFError, Unreadable, ValueError, LookupError, TypeError) as error:
                why = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
                raise BadRequest(
                    f"'{path}' is no image in a form that can be read (an OCI layout, or what `docker save` writes): "
                    f"{why}",
                    field="oci_image",
                ) from None
            self._add(name, path, found)

    def _add(self, name: str, path: str, found: dict[str, LocalImage]) -> None:
        if name:
            images = {id(image): image for image in found.values()}
            if len(images) != 1:
                raise BadRequest(f"'{path}' holds {len(images)} images, so it can't have one name", field="oci_image")
            self._found[str(ImageReference.parse(name, field="oci_image"))] = next(iter(images.values()))
            return
        named = 0
        for text, image in found.items():
            with contextlib.suppress(BadDefinition):
                self._found[str(ImageReference.parse(text))] = image
                named += 1
        if not named:
            raise BadRequest(f"'{path}' does not tell the name of its image: give it as NAME={path}", field="oci_image")

    def find(self, reference: ImageReference) -> LocalImage | None:
        """Returns the image of a name; None for none."""
        return self._found.get(str(reference))

    def __len__(self) -> int:
        return len(self._found)


def load_parts(image: LocalImage, platform: str, store: ImageStore, name: str) -> tuple[Manifest, bytes]:
    """Copies the parts of an image into a store, whose locks the caller need not hold; blocks.

    Args:
        image: The image.
        platform: The platform to choose, such as ``linux/amd64``.
        store: The store.
        name: The image's name, for errors.

    Returns:
        The image and its settings.

    Raises:
        ExecutionError: It can't be read any more, or is for other platforms.
    """
    try:
        with _files(image.path) as files:
            if image.saved:
                return _saved_parts(files, image, platform, store, name)
            manifest = _chosen(files, image.digest, platform, name)
            settings = files.read(_place(manifest.settings.digest), SETTINGS_BYTES)
            _check_platform(settings, platform, name)
            for blob in manifest.layers:
                _copy(files, _place(blob.digest), blob, store)
            return manifest, settings
    except (OSError, tarfile.TarError, EOFError, Unreadable, ValueError, LookupError, TypeError) as error:
        log.warning("the image '%s' in %s can't be read: %s", name, image.path, error)
        raise ExecutionError(
            f"image '{name}' can't be read from its file on the worker; the worker's log says why", fault="worker"
        ) from error


def _chosen(files: _Files, digest: str, platform: str, name: str) -> Manifest:
    for _ in range(_NESTED):
        found = read_manifest(files.read(_place(digest), MANIFEST_BYTES))
        if isinstance(found, Manifest):
            return found
        choice = select(found, platform)
        if choice is None:
            raise ExecutionError(f"image '{name}' does not exist for {platform}")
        digest = choice.digest
    raise Unreadable("its indexes lead to each other")


def _check_platform(settings: bytes, platform: str, name: str) -> None:
    have = read_settings(settings).platform
    if have.split("/")[:2] != platform.split("/")[:2]:
        raise ExecutionError(f"image '{name}' is available for {have}, not for {platform}")


def _saved_parts(
    files: _Files, image: LocalImage, platform: str, store: ImageStore, name: str
) -> tuple[Manifest, bytes]:
    """Reads an image of ``docker save``, whose layers are named by the settings alone and not compressed."""
    settings = files.read(str(image.saved["Config"]), SETTINGS_BYTES)
    _check_platform(settings, platform, name)
    names = [str(each) for each in image.saved["Layers"]]
    diffs = read_settings(settings).layers
    if len(names) != len(diffs):
        raise Unreadable("its settings name other layers than it has")
    layers: list[Blob] = []
    for member, diff in zip(names, diffs, strict=True):
        blob = Blob(diff, files.size(member))
        _copy(files, member, blob, store)
        layers.append(blob)
    digest = digest_of(settings)
    return Manifest(digest, Blob(digest, len(settings)), tuple(layers)), settings


def _copy(files: _Files, name: str, blob: Blob, store: ImageStore) -> None:
    if not store.has(blob):
        # Beside the file of a pull of the same part, which may be coming.
        coming = store.partial(blob).with_suffix(".local")
        files.copy(name, coming)
        store.keep(blob, coming)


def _listed(files: _Files, path: Path) -> Iterator[tuple[str, LocalImage]]:
    """Yields the images of a file, each with a name, which may be empty."""
    if files.has(_SAVED):
        for entry in json.loads(files.read(_SAVED, MANIFEST_BYTES)):
            image = LocalImage(path, saved=dict(entry))
            for tag in entry.get("RepoTags") or [""]:
                yield str(tag), image
        return
    for entry in json.loads(files.read(_INDEX, MANIFEST_BYTES))["manifests"]:
        image = LocalImage(path, digest=str(entry["digest"]))
        about = entry.get("annotations") or {}
        names = [str(about[each]) for each in _NAMES if about.get(each)]
        # A tag alone is not a name, and would be read as one of the default registry.
        whole = [each for each in names if ":" in each or "/" in each]
        for name in whole or [""]:
            yield name, image


def _place(digest: str) -> str:
    kind, _, value = digest.partition(":")
    if kind != "sha256" or len(value) != 64 or not value.isalnum():
        raise Unreadable("it names a part by something else than sha256")
    return f"blobs/sha256/{value}"


class _Files:
    """The files of an image, in a folder or an archive; a name never leads out of it."""

    def __init__(self, folder: Path | None, archive: tarfile.TarFile | None) -> None:
        self._folder = folder
        self._members: dict[str, tarfile.TarInfo] = {}
        self._archive = archive
        if archive is not None:
            for number, member in enumerate(archive):
                if number > _MEMBERS:
                    raise Unreadable(f"it has more than {_MEMBERS} files")
                self._members[member.name.removeprefix("./")] = member

    def has(self, name: str) -> bool:
        """Whether there is a file of a name."""
        return name in self._members if self._folder is None else (self._folder / name).is_file()

    def size(self, name: str) -> int:
        """Returns the size of a file, in bytes."""
        with self.open(name) as source:
            source.seek(0, 2)
            return source.tell()

    def read(self, name: str, most: int) -> bytes:
        """Returns a small file.

        Raises:
            Unreadable: It is larger than ``most`` bytes.
        """
        with self.open(name) as source:
            data = source.read(most + 1)
        if len(data) > most:
            raise Unreadable(f"its file {name[:100]} has more than {most} bytes")
        if name.startswith("blobs/sha256/") and hashlib.sha256(data).hexdigest() != name.rpartition("/")[2]:
            raise Unreadable(f"its file {name} has other bytes than its name says")
        return data

    def copy(self, name: str, target: Path) -> None:
        """Copies a file."""
        with self.open(name) as source, target.open("wb") as out:
            shutil.copyfileobj(source, out, _CHUNK)

    def open(self, name: str) -> IO[bytes]:
        """Opens a file.

        Raises:
            OSError: There is none.
        """
        if self._folder is not None:
            return (self._folder / name).open("rb")
        member = self._members.get(name)
        # Engines write a layer that two images share once, and as a link to it the second time.
        for _ in range(_NESTED):
            if member is not None and (member.issym() or member.islnk()):
                link = member.linkname
                if member.issym():
                    link = str(Path("/", member.name).parent / link)
                member = self._members.get(_normal(link))
        source = self._archive.extractfile(member) if self._archive is not None and member is not None else None
        if source is None:
            raise FileNotFoundError(2, f"it has no file {name[:200]}")
        return source


def _normal(path: str) -> str:
    parts: list[str] = []
    for part in path.split("/"):
        if part == "..":
            parts[-1:] = []
        elif part not in ("", "."):
            parts.append(part)
    return "/".join(parts)


@contextlib.contextmanager
def _files(path: Path) -> Iterator[_Files]:
    if path.is_dir():
        yield _Files(path, None)
        return
    with tarfile.open(path) as archive:
        yield _Files(None, archive)
