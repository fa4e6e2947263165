"""Build contexts: a folder becomes one archive, with the same bytes for the same files."""

from __future__ import annotations

import gzip
import os
import stat
import tarfile
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, Final

from asman_shared import limits
from asman_shared.definition import UPLOADED
from asman_shared.dockerignore import DockerIgnore
from asman_shared.errors import BadDefinition
from asman_shared.transfer import Blob

from .inputs import hash_file

FIELD: Final = "definition.build.context"
"""Field that errors about a build context name."""


def pack_folder(folder: Path, dockerfile: str = "Dockerfile") -> tuple[str, Blob]:
    """Packs a folder except for the files that its ``.dockerignore`` excludes; blocks.

    Args:
        folder: The folder.
        dockerfile: Path of the Dockerfile in the folder; it is packed even if the rules exclude it.

    Returns:
        The value of the build's ``context``, and the archive to store.

    Raises:
        BadDefinition: The folder can't be read, or a pattern of its ``.dockerignore`` is wrong.
    """
    kept = tempfile.NamedTemporaryFile(prefix="asman-context-", suffix=".tar.gz")  # noqa: SIM115 - the blob closes it
    try:
        ignore = DockerIgnore(_rules(folder))
        # Times and owners are left out, so that the same files give the same blob and the same job.
        with (
            gzip.GzipFile(filename="", fileobj=kept, mode="wb", compresslevel=6, mtime=0) as packed,
            tarfile.open(fileobj=packed, mode="w|", format=tarfile.PAX_FORMAT) as tar,
        ):
            for name, path in _walk(folder, "", 0):
                if name in (dockerfile, ".dockerignore") or not ignore.drops(name):
                    _add(tar, name, path)
        kept.flush()
    except BaseException as error:
        kept.close()
        if not isinstance(error, OSError):
            raise
        raise BadDefinition(f"the folder '{folder}' can't be packed: {error.strerror or error}", field=FIELD) from error
    blob = hash_file(Path(kept.name), FIELD)
    assert callable(blob.source)  # noqa: S101 - a file's blob is opened when it is sent
    # The blob's source keeps the temporary file open for as long as the blob may be sent.
    return f"{UPLOADED}{blob.sha256}", replace(
        blob, label=f"the folder '{folder}'", source=partial(_open, kept, blob.source)
    )


def _open(kept: Any, source: Callable[[], int]) -> int:
    del kept
    return source()


def _rules(folder: Path) -> str:
    try:
        return (folder / ".dockerignore").read_bytes().decode("utf-8", "surrogateescape")
    except FileNotFoundError:
        return ""


def _walk(folder: Path, prefix: str, depth: int) -> Iterator[tuple[str, Path]]:
    """Yields everything below a folder in the order of names, without following links."""
    if depth > limits.PATH_LENGTH // 2:
        raise BadDefinition(f"the folder '{folder}' is nested too deeply", field=FIELD)
    for entry in sorted(os.scandir(folder), key=lambda each: each.name):
        name = f"{prefix}{entry.name}"
        yield name, Path(entry.path)
        if entry.is_dir(follow_symlinks=False):
            yield from _walk(Path(entry.path), f"{name}/", depth + 1)


def _add(tar: tarfile.TarFile, name: str, path: Path) -> None:
    found = path.lstat()
    info = tarfile.TarInfo(name)
    info.mode = 0o755 if found.st_mode & 0o111 else 0o644
    if stat.S_ISDIR(found.st_mode):
        info.type = tarfile.DIRTYPE
        tar.addfile(info)
    elif stat.S_ISLNK(found.st_mode):
        info.type, info.linkname, info.mode = tarfile.SYMTYPE, str(path.readlink()), 0o777
        tar.addfile(info)
    elif stat.S_ISREG(found.st_mode):
        with path.open("rb") as content:
            info.size = os.fstat(content.fileno()).st_size
            tar.addfile(info, content)
    else:
        raise BadDefinition(f"'{name}' is neither a file, a folder nor a link", field=FIELD)
