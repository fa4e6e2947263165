"""A base image with this machine's own Node.js, npm, and npm's cache, because no registry is in reach."""

from __future__ import annotations

import io
import subprocess
import tarfile
from pathlib import Path

from devtools import docker_api
from devtools.base_image import busybox, root_tar
from devtools.engine import Engine

from .python_base import add_libraries


def ensure_node(engine: Engine, name: str, cache: Path) -> str:
    """Makes the image unless the engine has it; returns its name.

    Args:
        engine: The engine.
        name: ``repository:tag``.
        cache: A cache folder of npm, from which alone packages are installed in the image.
    """
    if docker_api.has_image(engine.host, name):
        return name
    small = busybox()
    assert small is not None, "make setup installs busybox-static"
    said = subprocess.check_output(["node", "-p", "process.execPath"], text=True)
    node = Path(said.strip())
    npm = node.parents[1] / "lib" / "node_modules" / "npm"
    packed = io.BytesIO(root_tar(small))
    with tarfile.open(fileobj=packed, mode="a", format=tarfile.GNU_FORMAT) as tar:
        tar.add(node, "usr/local/bin/node")
        tar.add(npm, "usr/local/lib/node_modules/npm")
        tar.add(cache / "_cacache", "npm-cache/_cacache")
        add_libraries(tar, [node])
        entry = tarfile.TarInfo("usr/local/bin/npm")
        entry.type, entry.linkname = tarfile.SYMTYPE, "../lib/node_modules/npm/bin/npm-cli.js"
        tar.addfile(entry)
    settings = ["ENV PATH=/usr/local/bin:/usr/bin:/bin npm_config_cache=/npm-cache npm_config_offline=true"]
    docker_api.import_image(engine.host, name, packed.getvalue(), settings)
    return name
