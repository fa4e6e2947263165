"""A base image with this machine's own Python and a few small programs, because no registry is in reach."""

from __future__ import annotations

import io
import os
import re
import shutil
import subprocess
import sys
import tarfile
from collections.abc import Callable, Iterable
from pathlib import Path

from devtools import docker_api
from devtools.base_image import busybox, root_tar
from devtools.engine import Engine

_LEFT_OUT = re.compile(r"/(site-packages|__pycache__|test|tests|idlelib|tkinter|lib2to3|config-[^/]+)(/|$)")
#: What looking up names and compiled packages need; every distribution has it.
_ALSO = (
    "libnss_*.so.2",
    "libresolv.so.2",
    "libgcc_s.so.1",
    "libstdc++.so.6",
    "libm.so.6",
    "librt.so.1",
    "libdl.so.2",
    "libpthread.so.0",
    "libutil.so.1",
)
_LIBRARY = re.compile(r"(?:=> )?(/\S+) \(0x")


def ensure_python(
    engine: Engine,
    name: str,
    programs: Iterable[str] = (),
    folders: Iterable[Path] = (),
    more: Callable[[tarfile.TarFile], None] = lambda _tar: None,
) -> str:
    """Makes the image unless the engine has it.

    Args:
        engine: The engine.
        name: ``repository:tag``.
        programs: More programs of this machine to put in, with their libraries.
        folders: More folders of this machine to put in.
        more: Puts in what else there is to be.
    """
    if docker_api.has_image(engine.host, name):
        return name
    small = busybox()
    assert small is not None, "make setup installs busybox-static"
    packed = io.BytesIO(root_tar(small))
    with tarfile.open(fileobj=packed, mode="a", format=tarfile.GNU_FORMAT) as tar:
        prefix = Path(sys.base_prefix)
        version = f"python3.{sys.version_info.minor}"
        tar.add(prefix / "lib" / version, f"usr/local/lib/{version}", filter=_wanted)
        binaries = [prefix / "bin" / version, *(prefix / "lib" / version / "lib-dynload").glob("*.so")]
        tar.add(binaries[0].resolve(), f"usr/local/bin/{version}", filter=_wanted)
        places = f"{os.environ['PATH']}:/usr/sbin"
        found = [Path(path) for each in programs if (path := shutil.which(each, path=places))]
        for program in found:
            tar.add(program.resolve(), f"usr/bin/{program.name}")
        for folder in folders:
            tar.add(folder, str(folder).lstrip("/"))
        more(tar)
        add_libraries(tar, [*binaries, *found])
        for link in ("usr/local/bin/python", "usr/local/bin/python3"):
            entry = tarfile.TarInfo(link)
            entry.type, entry.linkname = tarfile.SYMTYPE, version
            tar.addfile(entry)
    path = "ENV PATH=/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin"
    docker_api.import_image(engine.host, name, packed.getvalue(), [path, 'CMD ["/bin/sh"]'])
    return name


def add_libraries(tar: tarfile.TarFile, programs: Iterable[Path]) -> None:
    """Adds the shared libraries that programs need; those of a home folder go where everybody can read them."""
    for library in sorted(_libraries(programs)):
        of_system = library.startswith(("/lib", "/usr/"))
        tar.add(os.path.realpath(library), library.lstrip("/") if of_system else f"usr/lib/{Path(library).name}")


def _wanted(info: tarfile.TarInfo) -> tarfile.TarInfo | None:
    info.uid = info.gid = 0
    return None if _LEFT_OUT.search(f"/{info.name}") else info


def _libraries(programs: Iterable[Path]) -> set[str]:
    """The shared libraries that programs need, and those that every distribution has."""
    found: set[str] = set()
    for program in programs:
        told = subprocess.run(["ldd", program], check=False, capture_output=True, text=True).stdout
        found |= set(_LIBRARY.findall(told))
    home = next((Path(library).parent for library in found if "/libc.so" in library), Path("/lib"))
    for also in _ALSO:
        found |= {str(path) for path in home.glob(also)}
    return found
