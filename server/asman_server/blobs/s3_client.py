"""Connects to the S3 storage that a hub's settings name."""

from __future__ import annotations

from typing import Any, Final

from asman_shared.transfer import s3_client as transfer

from .s3_settings import S3Settings

CONNECTIONS: Final = 32
"""Largest number of connections to the storage."""


def s3_client(settings: S3Settings, endpoint: str) -> Any:
    """Returns a client of the storage, to be entered as an async context.

    Args:
        settings: The access to the storage.
        endpoint: The URL at which it is asked; empty for AWS's own.
    """
    return transfer.s3_client(
        endpoint,
        region=settings.region,
        access_key=settings.access_key,
        secret_key=settings.secret_key,
        addressing="path" if settings.path_style else "virtual",
        connections=CONNECTIONS,
    )
