"""Connects to an S3 storage; imported where one is used alone, because its library takes long to load."""

from __future__ import annotations

from typing import Any, Final

from aiobotocore.config import AioConfig
from aiobotocore.session import get_session

TIMEOUT_SECONDS: Final = 60
"""Time limit for a response of the storage, in seconds."""


def s3_client(
    endpoint: str, *, region: str, access_key: str, secret_key: str, addressing: str, connections: int
) -> Any:
    """Returns a client of the storage, to be entered as an async context.

    Args:
        endpoint: The URL at which it is asked; empty for AWS's own.
        region: The region that requests are signed for.
        access_key: The key's id; empty to look for credentials where AWS's programs do.
        secret_key: The key's secret.
        addressing: The place of a bucket's name: ``path``, ``virtual`` (the host) or ``auto``.
        connections: Largest number of connections to the storage.
    """
    return get_session().create_client(
        "s3",
        endpoint_url=endpoint or None,
        region_name=region,
        aws_access_key_id=access_key or None,
        aws_secret_access_key=secret_key or None,
        config=AioConfig(
            signature_version="s3v4",
            s3={"addressing_style": addressing},
            request_checksum_calculation="when_required",
            response_checksum_validation="when_required",
            max_pool_connections=connections,
            connect_timeout=TIMEOUT_SECONDS,
            read_timeout=TIMEOUT_SECONDS,
            retries={"mode": "standard", "total_max_attempts": 3},
        ),
    )
