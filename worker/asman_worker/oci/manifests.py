"""Reads the documents that describe an image: indexes, manifests and settings (OCI's form, and Docker's v2)."""

from __future__ import annotations

import hashlib
import json
import posixpath
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal

from asman_shared.errors import ExecutionError

MANIFEST_BYTES: Final = 4 * 1024 * 1024
"""Largest manifest or index, in bytes."""
SETTINGS_BYTES: Final = 8 * 1024 * 1024
"""Largest document of an image's settings, in bytes."""
LAYERS: Final = 500
"""Largest number of layers of an image."""
_ENTRIES: Final = 1000
_NESTED: Final = 4
_VOLUMES: Final = 500
INDEXES: Final = (
    "application/vnd.oci.image.index.v1+json",
    "application/vnd.docker.distribution.manifest.list.v2+json",
)
MANIFESTS: Final = (
    "application/vnd.oci.image.manifest.v1+json",
    "application/vnd.docker.distribution.manifest.v2+json",
)
DIGEST: Final = re.compile(r"sha256:[0-9a-f]{64}")

Compression = Literal["none", "gzip", "zstd"]


@dataclass(frozen=True, slots=True)
class Blob:
    """A part of an image.

    Attributes:
        digest: The sha256 of its bytes, as ``sha256:…``.
        size: Its size, in bytes.
        compression: The compression of a layer.
    """

    digest: str
    size: int
    compression: Compression = "none"


@dataclass(frozen=True, slots=True)
class Manifest:
    """The parts of one image for one platform.

    Attributes:
        digest: The sha256 of the manifest itself, as ``sha256:…``.
        settings: The document of its settings.
        layers: The layers, the lowest first.
    """

    digest: str
    settings: Blob
    layers: tuple[Blob, ...]


@dataclass(frozen=True, slots=True)
class Choice:
    """An entry of an index.

    Attributes:
        digest: The sha256 of the manifest or index that it leads to, as ``sha256:…``.
        platform: Its platform, such as ``linux/arm64/v8``; empty if it names none.
        index: Whether it leads to another index.
    """

    digest: str
    platform: str
    index: bool = False


@dataclass(frozen=True, slots=True)
class Settings:
    """The settings of an image that matter for its containers.

    Attributes:
        platform: Its platform, such as ``linux/amd64``.
        layers: The sha256 of each layer without compression, as ``sha256:…``.
        user: The user of its command, as in the image.
        workdir: Its working directory.
        env: Its variables.
        entrypoint: Its entrypoint.
        command: Its command.
        volumes: The paths that it declares as volumes, cleaned.
    """

    platform: str
    layers: tuple[str, ...]
    user: str = ""
    workdir: str = ""
    env: tuple[tuple[str, str], ...] = ()
    entrypoint: tuple[str, ...] = ()
    command: tuple[str, ...] = ()
    volumes: tuple[str, ...] = ()


class Unreadable(Exception):
    """A document is not one that describes an image; the message says why."""


def digest_of(data: bytes) -> str:
    """Returns the digest of a document."""
    return f"sha256:{hashlib.sha256(data).hexdigest()}"


def read_manifest(data: bytes) -> Manifest | list[Choice]:
    """Reads a manifest or an index.

    Raises:
        Unreadable: It is neither.
    """
    document = _document(data)
    kind = str(document.get("mediaType") or "")
    if kind in INDEXES or (not kind and "manifests" in document):
        return [_choice(entry) for entry in _listed(document.get("manifests"), _ENTRIES)]
    if kind and kind not in MANIFESTS:
        raise Unreadable(f"its kind is '{kind[:100]}'")
    layers = _listed(document.get("layers"), LAYERS)
    return Manifest(digest_of(data), _blob(document.get("config")), tuple(_layer(each) for each in layers))


def select(choices: Sequence[Choice], platform: str) -> Choice | None:
    """Returns the entry of an index for a platform; one whose variant is the same first; None if there is none."""
    wanted = platform.split("/")
    fitting = [each for each in choices if _fits(each.platform, wanted) or (each.index and not each.platform)]
    exact = [each for each in fitting if each.platform == platform]
    return next(iter([*exact, *fitting]), None)


def fits(platform: str, wanted: str) -> bool:
    """Whether a platform is the wanted one; a variant counts only when both name one."""
    return _fits(platform, wanted.split("/"))


def _fits(platform: str, wanted: list[str]) -> bool:
    have = platform.split("/")
    return have[:2] == wanted[:2] and (len(wanted) < 3 or len(have) < 3 or have[2] == wanted[2])


def read_settings(data: bytes) -> Settings:
    """Reads an image's settings.

    Raises:
        Unreadable: They can't be read, or name too much.
    """
    document = _document(data)
    inner = document.get("config") or {}
    roots = document.get("rootfs") or {}
    if not isinstance(inner, dict) or not isinstance(roots, dict):
        raise Unreadable("its settings have another form")
    variant = str(document.get("variant") or "")
    platform = f"{document.get('os', 'linux')}/{document.get('architecture', '')}"
    layers = tuple(_texts(roots.get("diff_ids")))
    if not all(DIGEST.fullmatch(each) for each in layers) or len(layers) > LAYERS:
        raise Unreadable("its settings do not name its layers")
    volumes = inner.get("Volumes") or {}
    if not isinstance(volumes, dict) or len(volumes) > _VOLUMES:
        raise Unreadable(f"it declares more than {_VOLUMES} volumes, or in another form")
    words = [*_texts(inner.get("Env")), *_texts(inner.get("Entrypoint")), *_texts(inner.get("Cmd")), *map(str, volumes)]
    if any("\0" in each for each in (*words, str(inner.get("User")), str(inner.get("WorkingDir")))):
        raise Unreadable("its settings have a text with a zero byte")
    return Settings(
        platform=f"{platform}/{variant}" if variant else platform,
        layers=layers,
        user=str(inner.get("User") or ""),
        workdir=str(inner.get("WorkingDir") or ""),
        env=tuple((name, value) for name, _, value in (each.partition("=") for each in _texts(inner.get("Env")))),
        entrypoint=tuple(_texts(inner.get("Entrypoint"))),
        command=tuple(_texts(inner.get("Cmd"))),
        volumes=tuple(sorted({posixpath.normpath(f"/{path}").replace("//", "/") for path in map(str, volumes)})),
    )


def no_image_for(name: str, platform: str) -> ExecutionError:
    """Returns the error about an image that exists for other platforms only."""
    return ExecutionError(f"image '{name}' does not exist for {platform}")


def _document(data: bytes) -> dict[str, Any]:
    try:
        found = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise Unreadable("it is not JSON") from error
    if not isinstance(found, dict):
        raise Unreadable("it is not an object of JSON")
    return found


def _listed(value: Any, most: int) -> list[Any]:
    if not isinstance(value, list) or len(value) > most:
        raise Unreadable(f"it lacks a list, or has one with more than {most} entries")
    return value


def _texts(value: Any) -> list[str]:
    if value is None:
        return []
    if not isinstance(value, list) or not all(isinstance(each, str) for each in value):
        raise Unreadable("its settings have a list with other things than texts")
    return value


def _blob(value: Any) -> Blob:
    if not isinstance(value, dict):
        raise Unreadable("it does not describe its parts")
    digest, size = str(value.get("digest") or ""), value.get("size")
    if DIGEST.fullmatch(digest) is None or not isinstance(size, int) or isinstance(size, bool) or size < 0:
        raise Unreadable("it does not name its parts by sha256 and size")
    return Blob(digest, size)


def _layer(value: Any) -> Blob:
    found = _blob(value)
    kind = str(value.get("mediaType") or "")
    if "foreign" in kind or "nondistributable" in kind:
        raise Unreadable("it has a layer that registries do not hand out")
    compression: Compression = "none"
    if kind.endswith(("gzip", ".gz")):
        compression = "gzip"
    elif kind.endswith("zstd"):
        compression = "zstd"
    elif not kind.endswith(("tar", ".tar")):
        raise Unreadable(f"it has a layer of the kind '{kind[:100]}'")
    return Blob(found.digest, found.size, compression)


def _choice(value: Any) -> Choice:
    found = _blob(value)
    about = value.get("platform") or {}
    if not isinstance(about, dict):
        raise Unreadable("it has an entry whose platform has another form")
    parts = [str(about.get(name) or "") for name in ("os", "architecture", "variant")]
    platform = "/".join(part for part in parts if part) if parts[0] and parts[1] else ""
    return Choice(found.digest, platform, str(value.get("mediaType") or "") in INDEXES)
