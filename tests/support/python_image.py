"""An image that holds this machine's Python and busybox, made from nothing because no registry is in reach."""

from __future__ import annotations

import io
import os
import subprocess
import sys
import tarfile
from collections.abc import Iterator
from pathlib import Path

from devtools import base_image, docker_api
from devtools.engine import Engine

_HOME = "opt/python"
_LEFT_OUT = {
    "__pycache__", "ensurepip", "idlelib", "lib2to3", "pydoc_data", "site-packages", "test", "tests", "tkinter",
    "turtledemo", "unittest",
}  # fmt: skip
_LIBRARY = f"lib/python{sys.version_info[0]}.{sys.version_info[1]}"


def ensure_python(engine: Engine) -> str:
    """Make the image unless the engine holds it already; returns its name."""
    name = f"asman-test/python:{sys.version_info[0]}.{sys.version_info[1]}"
    if not docker_api.has_image(engine.host, name):
        program = base_image.busybox()
        assert program is not None, "no static busybox here; make setup installs it"
        path = f"ENV PATH=/{_HOME}/bin:/usr/local/bin:/usr/bin:/bin"
        docker_api.import_image(engine.host, name, _root(program), ('CMD ["python3"]', path))
    return name


def _root(program: Path) -> bytes:
    """The tar of busybox's root with Python and the libraries that it is linked to."""
    packed = io.BytesIO(base_image.root_tar(program))
    python = Path(sys.base_prefix)
    executable = Path(os.path.realpath(sys.executable))
    with tarfile.open(fileobj=packed, mode="a", format=tarfile.GNU_FORMAT) as tar:
        tar.add(executable, f"{_HOME}/bin/python3")
        libraries: set[Path] = _linked_to(executable)
        for file in _stdlib(python / _LIBRARY):
            tar.add(file, f"{_HOME}/{_LIBRARY}/{file.relative_to(python / _LIBRARY)}", recursive=False)
            if file.suffix == ".so":
                libraries |= _linked_to(file)
        for library in sorted(libraries):
            tar.add(os.path.realpath(library), str(library).lstrip("/"))
    return packed.getvalue()


def _stdlib(folder: Path) -> Iterator[Path]:
    for file in sorted(folder.iterdir()):
        if file.name in _LEFT_OUT or file.name.startswith("config-"):
            continue
        if file.is_dir():
            yield from _stdlib(file)
        elif file.suffix in (".py", ".so"):
            yield file


def _linked_to(file: Path) -> set[Path]:
    """The shared libraries that a program or module is linked to, where it finds them."""
    said = subprocess.run(["ldd", file], capture_output=True, text=True, check=False).stdout
    words = [word for line in said.splitlines() for word in line.split() if word.startswith("/")]
    return {Path(word) for word in words}
