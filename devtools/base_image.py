"""Make a small base image from nothing: busybox-static and a few files; for machines without a registry.

usage: python -m devtools.base_image [--check] [NAME]
"""

from __future__ import annotations

import argparse
import hashlib
import io
import json
import platform
import shutil
import subprocess
import sys
import tarfile
from collections.abc import Mapping, Sequence
from pathlib import Path

from devtools import docker_api

DEFAULT_NAME = "asman/busybox:local"

_FILES = {
    "etc/passwd": "root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/:/bin/false\n",
    "etc/group": "root:x:0:\nnogroup:x:65534:\n",
    "etc/hostname": "localhost\n",
    "etc/os-release": 'NAME="Asman busybox"\nID=asman-busybox\n',
}
_FOLDERS = {
    "bin": 0o755, "dev": 0o755, "etc": 0o755, "home": 0o755, "proc": 0o755, "root": 0o700, "sbin": 0o755,
    "sys": 0o755, "tmp": 0o1777, "usr": 0o755, "usr/bin": 0o755, "usr/sbin": 0o755,
    "var": 0o755, "var/tmp": 0o1777,
}  # fmt: skip
_SEARCHED = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_CHANGES = (
    'CMD ["/bin/sh"]',
    f"ENV PATH={_SEARCHED}",
    "LABEL asman.base=busybox-static",
)


def busybox() -> Path | None:
    """Return the machine's statically linked busybox, if it has one."""
    found = shutil.which("busybox", path="/bin:/usr/bin:/usr/local/bin")
    if found is None:
        return None
    # A program that names its loader is not static, and would not start in an empty image.
    return None if b"ld-linux" in Path(found).read_bytes()[:4096] else Path(found)


def root_tar(program: Path) -> bytes:
    """Return the tar of a root folder that holds busybox under each of its names; the same bytes each time."""
    names = subprocess.run([program, "--list"], check=True, capture_output=True, text=True).stdout.split()  # noqa: S603
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w", format=tarfile.GNU_FORMAT) as tar:

        def add(name: str, kind: bytes, mode: int, content: bytes = b"", link: str = "") -> None:
            entry = tarfile.TarInfo(name)
            entry.type, entry.mode, entry.size, entry.linkname = kind, mode, len(content), link
            tar.addfile(entry, io.BytesIO(content))

        for folder, mode in _FOLDERS.items():
            add(folder, tarfile.DIRTYPE, mode)
        for name, text in _FILES.items():
            add(name, tarfile.REGTYPE, 0o644, text.encode())
        add("bin/busybox", tarfile.REGTYPE, 0o755, program.read_bytes())
        for name in sorted(set(names) - {"busybox"}):
            add(f"bin/{name}", tarfile.SYMTYPE, 0o777, link="busybox")
        add("usr/bin/env", tarfile.SYMTYPE, 0o777, link="/bin/busybox")
    return packed.getvalue()


def save(path: Path, name: str, layers: Sequence[bytes] = (), settings: Mapping[str, object] | None = None) -> str:
    """Write the image as `docker save` does, with further layers and settings, and return its name.

    Raises:
        FileNotFoundError: This machine has no busybox-static.
    """
    program = busybox()
    if program is None:
        raise FileNotFoundError("no static busybox here to make an image of; install busybox-static")
    stacked = [root_tar(program), *layers]
    config = {
        "architecture": {"x86_64": "amd64", "aarch64": "arm64"}.get(platform.machine(), platform.machine()),
        "os": "linux",
        "config": {"Cmd": ["/bin/sh"], "Env": [f"PATH={_SEARCHED}"], **(settings or {})},
        "rootfs": {"type": "layers", "diff_ids": [f"sha256:{hashlib.sha256(each).hexdigest()}" for each in stacked]},
    }
    files = {f"{number}/layer.tar": each for number, each in enumerate(stacked)}
    entry = {"Config": "config.json", "RepoTags": [name], "Layers": list(files)}
    files["config.json"] = json.dumps(config).encode()
    files["manifest.json"] = json.dumps([entry]).encode()
    with tarfile.open(path, "w") as tar:
        for member, content in files.items():
            about = tarfile.TarInfo(member)
            about.size = len(content)
            tar.addfile(about, io.BytesIO(content))
    return name


def ensure(host: str, name: str = DEFAULT_NAME) -> str:
    """Make sure that the engine holds the image, and return its name.

    Raises:
        docker_api.EngineError: The engine refused, or this machine has no busybox-static.
    """
    if docker_api.has_image(host, name):
        return name
    program = busybox()
    if program is None:
        raise docker_api.EngineError("no static busybox here to make an image of; install busybox-static")
    docker_api.import_image(host, name, root_tar(program), _CHANGES)
    return name


def main() -> int:
    """Make the image in the engine that this environment offers."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("name", nargs="?", default=DEFAULT_NAME)
    parser.add_argument("--check", action="store_true", help="only say, by exit code, whether the image could be made")
    asked = parser.parse_args()
    if asked.check:
        return 0 if busybox() else 1
    host = docker_api.reachable()
    if host is None:
        sys.stderr.write("error: no container engine answers; start one with scripts/engine.sh start\n")
        return 1
    try:
        sys.stdout.write(f"{ensure(host, asked.name)}\n")
    except docker_api.EngineError as error:
        sys.stderr.write(f"error: {error}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
