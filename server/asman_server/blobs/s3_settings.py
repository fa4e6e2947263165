"""Settings of the S3 bucket for blobs, and the parsing of its address."""

from __future__ import annotations

import re
from typing import Final
from urllib.parse import urlsplit

from msgspec import Struct

from asman_shared.errors import BadRequest

_BUCKET: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{1,253}[A-Za-z0-9]")
_PREFIX: Final = re.compile(r"[A-Za-z0-9_][A-Za-z0-9!_.*'()-]*(/[A-Za-z0-9_][A-Za-z0-9!_.*'()-]*)*")
PREFIX_LENGTH: Final = 200


class S3Settings(Struct, frozen=True):
    """Bucket for blobs, with its endpoints and credentials.

    Attributes:
        bucket: It exists.
        prefix: What the keys begin with, without slashes at its ends; empty for nothing.
        endpoint: URL of the service; empty for AWS's own (or what AWS's variables say).
        public_endpoint: URL under which clients reach the same service; empty for the same.
        region: Such as ``eu-central-1``.
        access_key: With ``secret_key``; both empty for whatever AWS's own chain finds (variables, profile, role).
        secret_key: See ``access_key``.
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
    """Bucket and prefix of ``s3://bucket/prefix``.

    Raises:
        BadRequest: It is not written so.
    """
    bucket, _, prefix = text.removeprefix("s3://").partition("/")
    prefix = prefix.strip("/")
    if not text.startswith("s3://") or _BUCKET.fullmatch(bucket) is None:
        raise BadRequest("write s3://bucket or s3://bucket/prefix; without it, blobs are in the data folder")
    if prefix and (_PREFIX.fullmatch(prefix) is None or len(prefix) > PREFIX_LENGTH):
        raise BadRequest(f"the prefix '{prefix[:80]}' is not made of plain words joined by single slashes")
    return bucket, prefix


def is_http_url(text: str) -> bool:
    """Whether a text is the URL of a service: scheme and host, and nothing behind them but a path."""
    parts = urlsplit(text)
    return parts.scheme in ("http", "https") and bool(parts.hostname) and not (parts.query or parts.fragment)
