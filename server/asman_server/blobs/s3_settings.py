"""The bucket for blobs and the access to it."""

from __future__ import annotations

import re
from typing import Final
from urllib.parse import urlsplit

from msgspec import Struct

from asman_shared.errors import BadRequest

_BUCKET: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{1,253}[A-Za-z0-9]")
_PREFIX: Final = re.compile(r"[A-Za-z0-9_][A-Za-z0-9!_.*'()-]*(/[A-Za-z0-9_][A-Za-z0-9!_.*'()-]*)*")
PREFIX_LENGTH: Final = 200
"""Longest prefix of keys, in characters."""


class S3Settings(Struct, frozen=True):
    """The bucket for blobs and the access to it.

    Attributes:
        bucket: The name of an existing bucket.
        prefix: The beginning of all keys, without slashes at its ends; may be empty.
        endpoint: URL of the service; empty for AWS's own (or the one in AWS's environment variables).
        public_endpoint: URL of the same service for clients; empty if it is ``endpoint``.
        region: The region, such as ``eu-central-1``.
        access_key: The access key; empty, like ``secret_key``, to use AWS's own chain (variables, profile, role).
        secret_key: The secret key; see ``access_key``.
        path_style: Whether the bucket is in the path instead of the host name.
    """

    bucket: str
    prefix: str = ""
    endpoint: str = ""
    public_endpoint: str = ""
    region: str = "us-east-1"
    access_key: str = ""
    secret_key: str = ""
    path_style: bool = False

    def __repr__(self) -> str:
        return f"S3Settings(s3://{self.bucket}/{self.prefix})"


def s3_address(text: str) -> tuple[str, str]:
    """Parses ``s3://bucket/prefix`` into bucket and prefix.

    Raises:
        BadRequest: The text has another form.
    """
    bucket, _, prefix = text.removeprefix("s3://").partition("/")
    prefix = prefix.strip("/")
    if not text.startswith("s3://") or _BUCKET.fullmatch(bucket) is None:
        raise BadRequest("write s3://bucket or s3://bucket/prefix; without it, blobs are in the data folder")
    if prefix and (_PREFIX.fullmatch(prefix) is None or len(prefix) > PREFIX_LENGTH):
        raise BadRequest(f"the prefix '{prefix[:80]}' is not made of plain words joined by single slashes")
    return bucket, prefix


def is_http_url(text: str) -> bool:
    """Returns whether a text is the URL of a service: scheme, host and an optional path."""
    parts = urlsplit(text)
    return parts.scheme in ("http", "https") and bool(parts.hostname) and not (parts.query or parts.fragment)
