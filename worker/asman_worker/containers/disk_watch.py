"""Measures the disk use of a running job at intervals, where the storage driver can't limit it."""

from __future__ import annotations

import asyncio
import os
import time
from contextlib import suppress
from pathlib import Path
from typing import Final

from aiodocker import Docker

from ..images.engine import LOST

_LEAST_SECONDS: Final = 1.0
"""Shortest pause between two measurements, in seconds."""
_SHARE: Final = 20
"""Length of a pause, as a multiple of the time that the last measurement took."""


async def outgrown(docker: Docker, container: str, outputs: Path, most: int) -> int:
    """Returns the size of a container and its outputs, in bytes, once together they exceed ``most`` bytes.

    Measuring many files takes long, so the pauses grow with the time that it takes. While the engine is away nothing is
    measured.
    """
    while True:
        began = time.monotonic()
        size = await asyncio.to_thread(folder_size, outputs)
        with suppress(*LOST):
            size += int((await docker._query_json(f"containers/{container}/json?size=1")).get("SizeRw") or 0)
        if size > most:
            return size
        await asyncio.sleep(max(_LEAST_SECONDS, _SHARE * (time.monotonic() - began)))


def folder_size(folder: Path) -> int:
    """Returns the disk use of a folder, in bytes, without following links or counting unreadable files; blocks."""
    total = 0
    pending = [folder]
    while pending:
        with suppress(OSError), os.scandir(pending.pop()) as entries:
            for entry in entries:
                with suppress(OSError):
                    found = entry.stat(follow_symlinks=False)
                    total += found.st_blocks * 512
                    if entry.is_dir(follow_symlinks=False):
                        pending.append(Path(entry.path))
    return total
