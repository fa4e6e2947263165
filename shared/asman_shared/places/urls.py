"""Places of files outside of the hub that only a worker reaches: folders that its operator shares, and S3 buckets.

A definition names them by URL: ``file:///folder/file`` and ``s3://bucket/key``. A slash at the end means a folder. A
config file may be a ref with such a URL, and an entry of ``outputs`` may end in ``=URL``: files that its pattern takes
are written there instead of being kept by the hub. The job has a tag for each place, as workers that reach it have.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final, Literal
from urllib.parse import quote, unquote_to_bytes

from msgspec import Struct

from .. import limits
from ..errors import BadDefinition

SCHEMES: Final = ("file://", "s3://")
FOLDER_TAG: Final = "asman:shared-folder"
"""Tag of workers that share any folder, and beginning of the tags with the folders' paths."""
BUCKET_TAG: Final = "asman:s3-bucket"
"""Beginning of the tags of workers that reach a bucket."""
WRITABLE: Final = ":rw"
"""End of a tag, or of an option of a worker, that allows writing."""
FOLDER_LENGTH: Final = limits.LABEL_LENGTH - len(f"{FOLDER_TAG}:{WRITABLE}")
"""Longest path of a shared folder, in bytes: it stands in a tag."""
FOLDERS: Final = 10
"""Most folders, and most buckets, of one worker."""
KEY_LENGTH: Final = 1024
"""Longest key of an object, in bytes; as S3 has it."""
OUTPUT_LENGTH: Final = limits.PATH_LENGTH + limits.BUILD_PATH_LENGTH
"""Longest pattern of an output with its URL, in characters."""

BUCKET: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{1,61}[A-Za-z0-9]")
_OUTPUT: Final = re.compile(r"(?P<pattern>.*?)=(?P<url>(?:file|s3)://.*)", re.DOTALL)
_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f]")


class Place(Struct, frozen=True):
    """A place of files.

    Attributes:
        kind: ``file`` or ``s3``.
        bucket: The bucket; empty for ``file``.
        path: The absolute path on the worker, or the key, without a slash at its end.
        folder: Whether it is a folder, or the beginning of the keys of objects.
    """

    kind: Literal["file", "s3"]
    bucket: str
    path: str
    folder: bool


def is_place(url: object) -> bool:
    """Whether a value is the URL of a place that only workers reach."""
    return isinstance(url, str) and url.startswith(SCHEMES)


def place_of(url: str, field: str) -> Place:
    """Reads the URL of a place.

    Raises:
        BadDefinition: It can't be one; the error names the field.
    """
    if url.startswith("file://"):
        return _folder_place(url, field)
    bucket, _, key = url.removeprefix("s3://").partition("/")
    if not url.startswith("s3://") or BUCKET.fullmatch(bucket) is None:
        raise BadDefinition("write s3://bucket/key, with the name of a bucket", field=field)
    place = Place("s3", bucket, key.removesuffix("/"), key.endswith("/") or not key)
    if len(key.encode("utf-8", "surrogatepass")) > KEY_LENGTH:
        raise BadDefinition(f"a key in S3 has at most {KEY_LENGTH} bytes", field=field)
    if place.path and not _plain(place.path):
        raise BadDefinition("a key in S3 is made of plain names joined by single slashes here", field=field)
    return place


def _folder_place(url: str, field: str) -> Place:
    rest = url.removeprefix("file://")
    if not rest.startswith("/"):
        raise BadDefinition("write file:///path: an absolute path on the worker, and no host", field=field)
    if "?" in rest or "#" in rest:
        raise BadDefinition("percent-encode ? and # in a file:// URL", field=field)
    try:
        path = unquote_to_bytes(rest).decode()
    except UnicodeError:
        raise BadDefinition("the path of a file:// URL must be UTF-8", field=field) from None
    place = Place("file", "", path.removesuffix("/"), path.endswith("/"))
    if len(place.path.encode()) > limits.PATH_LENGTH or not _plain(place.path.removeprefix("/")):
        raise BadDefinition(
            f"the path of a file:// URL is made of plain names joined by single slashes, without '.' and '..', and has "
            f"at most {limits.PATH_LENGTH} bytes",
            field=field,
        )
    return place


def _plain(path: str) -> bool:
    """Whether a path is made of names that can't lead elsewhere."""
    return _CONTROL.search(path) is None and all(
        part not in ("", ".", "..") and len(part.encode("utf-8", "surrogatepass")) <= limits.NAME_LENGTH
        for part in path.split("/")
    )


def check_reached(url: str, tags: Sequence[str] | None, field: str) -> None:
    """Checks the URL of a place, and that only workers that reach it get the job.

    Raises:
        BadDefinition: The URL can't be one, or the job's tags name no such worker.
    """
    place = place_of(url, field)
    tag = FOLDER_TAG if place.kind == "file" else f"{BUCKET_TAG}:{place.bucket}"
    if not any(each == tag or each.startswith(f"{tag}:") for each in tags or ()):
        raise BadDefinition(f"only some workers reach this place: name it in the job's tags, as '{tag}'", field=field)


def output_of(entry: str) -> tuple[str, str]:
    """Returns the pattern of an entry of ``outputs``, and the URL that its files are written to; empty for none.

    A pattern has no two slashes in a row, so no pattern is mistaken for one with a URL.
    """
    found = _OUTPUT.fullmatch(entry)
    return (found["pattern"], found["url"]) if found is not None else (entry, "")


def url_within(url: str, name: str) -> str:
    """Returns the URL of a file in a folder.

    Args:
        url: The folder's, with a slash at its end.
        name: The file's name in it; empty if the URL is the file's own.
    """
    return url + (quote(name) if url.startswith("file://") else name)


def folder_tags(path: str, *, writable: bool) -> list[str]:
    """Returns the tags of a worker that shares a folder; the first ones say no path."""
    made = [FOLDER_TAG, f"{FOLDER_TAG}:{path}"]
    return made + [f"{tag}{WRITABLE}" for tag in made] if writable else made


def bucket_tags(bucket: str, *, writable: bool) -> list[str]:
    """Returns the tags of a worker that reaches a bucket."""
    tag = f"{BUCKET_TAG}:{bucket}"
    return [tag, f"{tag}{WRITABLE}"] if writable else [tag]


def folder_of(tag: str) -> tuple[str, bool] | None:
    """Returns the folder that a tag names, and whether it may be written to; None for another tag."""
    if not tag.startswith(f"{FOLDER_TAG}:/"):
        return None
    path = tag.removeprefix(f"{FOLDER_TAG}:")
    return path.removesuffix(WRITABLE), path.endswith(WRITABLE)


def within(path: str, folder: str) -> bool:
    """Whether a path is a folder or in it."""
    return path == folder or path.startswith(f"{folder}/")
