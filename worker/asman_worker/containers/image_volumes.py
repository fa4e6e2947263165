"""Keeps the settings of an image from changing what a job's folders mean.

An engine mounts a new volume at each path that an image declares with ``VOLUME``, and deletes it with the container.
Inside ``/inputs`` or ``/outputs`` it would hide the job's own folder. So the worker mounts its own folder at such a
path, too, which replaces the volume of the image. What can't be repaired so is refused.
"""

from __future__ import annotations

import asyncio
import base64
import json
import logging
import posixpath
import re
import stat
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Final

import aiohttp
from aiodocker import Docker

from asman_shared.errors import ExecutionError

from ..execution.environment import CACHE, INPUTS, OUTPUTS
from ..execution.folders import JobFolder
from ..images.engine import explained

log = logging.getLogger("asman.worker.image_volumes")

OURS: Final = (INPUTS, OUTPUTS, CACHE)
"""The folders of a job."""
_SYSTEM: Final = re.compile(
    r"/|/proc(?:/.*)?|/dev(?:/(?:console|full|null|ptmx|pts|random|tty|urandom|zero))?", re.DOTALL
)
"""Paths at which no container with a volume can start."""
_PATIENCE: Final = aiohttp.ClientTimeout(total=60)
_GO_SYMLINK: Final = 1 << 27
"""The bit of a link in a file mode of Go's ``os`` package, which the engine's API uses."""


def own_binds(folder: JobFolder, written: Mapping[str, Path], volumes: Iterable[str]) -> list[str]:
    """Returns a mount of the job's own folder for each volume inside ``/inputs``, ``/outputs`` and the job's volumes.

    The folders are created. It must be called before the container starts, while only this process can write to them.

    Args:
        folder: The attempt's folders.
        written: The folders that outlive the container, by their path in it.
        volumes: The volumes that the image declares.

    Raises:
        ExecutionError: A volume's path can't be mounted so.
    """
    binds: list[str] = []
    for volume in volumes:
        if _SYSTEM.fullmatch(volume):
            raise ExecutionError(
                f"the image declares a volume at '{volume}', where a container has its own system, so it can't start: "
                "remove that VOLUME from the image's Dockerfile"
            )
        if volume.startswith(f"{CACHE}/"):
            # Other jobs write to this folder while this one starts: a link of theirs would be mounted here.
            raise _refused(volume, f"is inside {CACHE}, which all jobs of the queue share")
        inside = next((path for path in written if volume.startswith(f"{path}/")), "")
        if ":" in volume:
            if inside or volume.startswith(f"{INPUTS}/"):
                raise _refused(volume, "has a ':' in its path")
        elif volume.startswith(f"{INPUTS}/"):
            binds.append(f"{_made(folder.inputs, volume, INPUTS, 0o755)}:{volume}:ro,z")
        elif inside:
            binds.append(f"{_made(written[inside], volume, inside, 0o777)}:{volume}:z")
    return binds


def _made(root: Path, volume: str, target: str, mode: int) -> Path:
    """Creates the folder of a volume inside one of ours, without following links; an input of that name stays."""
    path = root
    parts = volume.removeprefix(f"{target}/").split("/")
    for part in parts:
        if not stat.S_ISDIR(path.lstat().st_mode):
            raise _refused(volume, f"is inside the file {target}{str(path).removeprefix(str(root))}")
        path = path / part
        if not path.exists() and not path.is_symlink():
            path.mkdir()
            path.chmod(mode)
    if path.is_symlink():
        raise _refused(volume, "is a link")
    return path


async def check_links(docker: Docker, container: str, volumes: tuple[str, ...]) -> None:
    """Refuses an image in which a link makes one of our folders another folder of ours or a volume.

    Args:
        docker: The engine.
        container: A container of the image that has not started.
        volumes: The volumes that the image declares.

    Raises:
        ExecutionError: The mounts would hide each other, or the engine fails.
    """
    asked = {path for place in (*OURS, *volumes) for path in _prefixes(place)}
    with explained("look into the image"):
        found = await asyncio.gather(*(_link(docker, container, path) for path in asked))
    if None in found:
        # The engine looks at a container with all its mounts, and one of them may be inside our read-only inputs.
        if not volumes:
            log.warning("the engine can't look into the container %s before its start", container[:12])
            return
        raise ExecutionError(
            f"the volumes that the image declares ({', '.join(volumes)[:500]}) can't be mounted beside the job's "
            "folders: remove VOLUME from the image's Dockerfile"
        )
    check_overlaps({path: target for path, target in zip(asked, found, strict=True) if target}, volumes)


def check_overlaps(links: dict[str, str], volumes: Iterable[str]) -> None:
    """Refuses links by which one of our folders is another folder of ours or a volume.

    Args:
        links: The links on the way to our folders and to the volumes, each with its final target.
        volumes: The volumes that the image declares.

    Raises:
        ExecutionError: The mounts would hide each other.
    """
    if not links:
        return
    real = {place: resolved(place, links) for place in (*OURS, *volumes)}
    for ours in OURS:
        for other in (*OURS, *volumes):
            if other != ours and not _inside(other, ours) and _overlap(real[ours], real[other]):
                raise ExecutionError(
                    f"the image has a link by which {ours} and {other} are the same folder, so files in one of them "
                    "would be lost: remove that link, or the VOLUME, from the image"
                )


def resolved(path: str, links: dict[str, str]) -> str:
    """Returns a path with the links on its way replaced by their targets, which are free of links."""
    real = ""
    for prefix in _prefixes(path):
        real = links.get(prefix) or f"{real}/{posixpath.basename(prefix)}"
    return real


async def _link(docker: Docker, container: str, path: str) -> str | None:
    """Returns the target of a link in a container, empty for anything else, None if that can't be seen."""
    # aiodocker expects a body in an error, which the answer to HEAD never has.
    url = docker._canonicalize_url(f"containers/{container}/archive", versioned_api=True)
    async with docker.session.head(url, params={"path": path}, timeout=_PATIENCE) as response:
        if response.status >= 500:
            return None
        if response.status != 200:
            return ""
        said = json.loads(base64.b64decode(response.headers.get("X-Docker-Container-Path-Stat", "e30=")))
    return str(said.get("linkTarget") or "") if int(said.get("mode") or 0) & _GO_SYMLINK else ""


def _prefixes(path: str) -> list[str]:
    """Returns the folders on the way to a path, and the path itself."""
    parts = path.strip("/").split("/")
    return ["/" + "/".join(parts[: number + 1]) for number in range(len(parts))]


def _inside(path: str, folder: str) -> bool:
    return path.startswith(f"{folder}/")


def _overlap(one: str, other: str) -> bool:
    return one == other or _inside(one, other) or _inside(other, one)


def _refused(volume: str, why: str) -> ExecutionError:
    return ExecutionError(
        f"the image declares a volume at '{volume}', which {why}: the files there would be lost. "
        "Remove that VOLUME from the image's Dockerfile"
    )
