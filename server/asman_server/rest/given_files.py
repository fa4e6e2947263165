"""Files that come within a request, put into a definition as other clients do it, for equal ids."""

from __future__ import annotations

import asyncio
import base64
import hashlib
from collections.abc import Mapping
from typing import Final

from asman_shared import limits
from asman_shared.definition import DataRef

from ..access import Access
from ..hub import Hub

SHORTER_INLINE: Final = 48
"""Size of a file that is always within the definition, in bytes: it is shorter than a sha256 there."""
INLINE_TOTAL: Final = 128 * 1024
"""Bytes of larger files that a definition holds itself; further ones are blobs. As the client has it, for equal ids."""
AT_ONCE: Final = 16
"""Number of blobs that one request stores at a time."""


async def refs_of(hub: Hub, files: Mapping[str, bytes], access: Access | None = None) -> dict[str, DataRef]:
    """Returns refs of files by their names: small ones hold the bytes, the others are stored as blobs.

    Args:
        hub: The hub.
        files: The bytes of each file.
        access: The key that they came with, for the limits of its sender.

    Raises:
        AsmanError: A blob can't be stored now.
    """
    found: dict[str, DataRef] = {}
    blobs: dict[str, bytes] = {}
    inline = 0
    for name in sorted(files):
        body = files[name]
        fits = len(body) <= SHORTER_INLINE
        if not fits and len(body) <= limits.INLINE_BYTES and inline + len(body) <= INLINE_TOTAL:
            inline += len(body)
            fits = True
        if fits:
            found[name] = _inline(body)
        else:
            sha256 = hashlib.sha256(body).hexdigest()
            blobs[sha256] = body
            found[name] = DataRef(sha256, "key")
    if access is not None:
        hub.limiter.store_once(access, {sha256: len(body) for sha256, body in blobs.items()})
    await _store(hub, blobs)
    return found


def _inline(body: bytes) -> DataRef:
    try:
        return DataRef(body.decode(), "utf8")
    except UnicodeDecodeError:
        return DataRef(base64.b64encode(body).decode(), "base64")


async def _store(hub: Hub, blobs: dict[str, bytes]) -> None:
    missing = await hub.blobs.missing("", list(blobs)) if blobs else []
    for begun in range(0, len(missing), AT_ONCE):
        await asyncio.gather(*(hub.files.keep(blobs[sha256], sha256) for sha256 in missing[begun : begun + AT_ONCE]))
