"""Images with a workflow engine, made of this machine's Python and the engine's environment."""

from __future__ import annotations

import io
import tarfile
from pathlib import Path
from typing import Final

from devtools.engine import Engine
from tests.support.python_base import ensure_python

_WHEELS: Final = "wheels"
_SETTINGS: Final = f"[global]\nno-index = true\nfind-links = /{_WHEELS}\nroot-user-action = ignore\n"
"""Settings of pip by which the wheels take the place of a package index, which containers may not reach."""


def ensure_image(engine: Engine, name: str, environment: Path, wheels: Path | None = None) -> str:
    """Makes the image unless the engine has it.

    Args:
        engine: The container engine.
        name: ``repository:tag``.
        environment: The virtual environment with the workflow engine.
        wheels: A folder with all that pip finds in the container; None for no such place.
    """

    def put_in(tar: tarfile.TarFile) -> None:
        (library,) = environment.glob("lib/python3.*")
        tar.add(library / "site-packages", f"usr/local/lib/{library.name}/site-packages")
        for program in sorted((environment / "bin").iterdir()):
            _add_program(tar, program)
        link = tarfile.TarInfo("bin/bash")
        link.type, link.linkname = tarfile.SYMTYPE, "/usr/bin/bash"
        tar.addfile(link)
        if wheels is not None:
            tar.add(wheels, _WHEELS)
            _add(tar, "etc/pip.conf", _SETTINGS.encode(), 0o644)

    return ensure_python(engine, name, ("bash",), more=put_in)


def _add_program(tar: tarfile.TarFile, program: Path) -> None:
    """Adds a script of Python's, which then runs with the image's own."""
    if program.is_symlink() or program.is_dir():
        return
    text = program.read_bytes()
    first, _, rest = text.partition(b"\n")
    if first.startswith(b"#!") and b"python" in first:
        _add(tar, f"usr/local/bin/{program.name}", b"#!/usr/local/bin/python3\n" + rest, 0o755)


def _add(tar: tarfile.TarFile, name: str, content: bytes, mode: int) -> None:
    info = tarfile.TarInfo(name)
    info.size, info.mode = len(content), mode
    tar.addfile(info, io.BytesIO(content))
