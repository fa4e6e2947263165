"""Measures the disk use of a running container: what it wrote itself, its volumes, its outputs and the job cache."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

from aiodocker import Docker

from ..execution.disk_use import Account, DiskGuard, DiskUse, Excess, folder_use, layer_files
from ..images.engine import LOST

Watch = Callable[[str], Coroutine[Any, Any, Excess]]


@asynccontextmanager
async def watching(
    guard: DiskGuard, docker: Docker, outputs: Path, cache: Path, account: Account | None = None
) -> AsyncIterator[Watch]:
    """Measures a container from before its start to the end of the block.

    Args:
        guard: Decides.
        docker: The engine.
        outputs: The folder of its outputs.
        cache: The folder that it shares with other jobs of its queue.
        account: What earlier commands of its job were charged for that folder, if the job has several.

    Yields:
        A function that takes the container's id and returns the reason why it must stop, once there is one. While the
        engine is away only the folders are measured.
    """
    shared = guard.shared(cache)
    with guard.writing() as writer:
        async with shared.charging(writer, account):
            last = DiskUse()

            async def outgrown(container: str) -> Excess:
                async def measure() -> DiskUse:
                    nonlocal last
                    with suppress(*LOST):
                        last = await container_use(docker, container)
                    await shared.measure()
                    return last + await asyncio.to_thread(folder_use, outputs) + shared.share(writer)

                return await guard.watch(writer, measure)

            yield outgrown


async def container_use(docker: Docker, container: str) -> DiskUse:
    """Returns the disk use of a container and its volumes; its own files are counted as far as `layer_files` can.

    Raises:
        DockerError: The engine does not know the container, or is being stopped.
        OSError: The engine is away.
    """
    found = await docker._query_json(f"containers/{container}/json?size=1")
    use = DiskUse(int(found.get("SizeRw") or 0), await asyncio.to_thread(layer_files, found))
    mounts: list[dict[str, Any]] = [each for each in found.get("Mounts") or () if each.get("Type") == "volume"]
    hidden: set[str] = set()
    for mount in mounts:
        source = Path(str(mount.get("Source") or "/nowhere"))
        if os.access(source, os.R_OK | os.X_OK):
            use += await asyncio.to_thread(folder_use, source)
        else:
            hidden.add(str(mount.get("Name")))
    if hidden:
        # The engine is elsewhere, or this process may not enter its folders: it measures them, but slowly.
        volumes = (await docker._query_json("system/df")).get("Volumes") or ()
        sizes = [(each.get("UsageData") or {}).get("Size") or 0 for each in volumes if each.get("Name") in hidden]
        use += DiskUse(max(0, sum(sizes)))
    return use
