"""Images with a workflow engine, made of this machine's Python and the engine's environment."""

from __future__ import annotations

import io
import tarfile
from pathlib import Path

from devtools.engine import Engine
from tests.support.python_base import ensure_python


def ensure_image(engine: Engine, name: str, environment: Path) -> str:
    """Makes the image unless the engine has it.

    Args:
        engine: The container engine.
        name: ``repository:tag``.
        environment: The virtual environment with the workflow engine.
    """

    def put_in(tar: tarfile.TarFile) -> None:
        (library,) = environment.glob("lib/python3.*")
        tar.add(library / "site-packages", f"usr/local/lib/{library.name}/site-packages")
        for program in sorted((environment / "bin").iterdir()):
            _add_program(tar, program)

    return ensure_python(engine, name, ("bash",), more=put_in)


def _add_program(tar: tarfile.TarFile, program: Path) -> None:
    """Adds a script of Python's, which then runs with the image's own."""
    if program.is_symlink() or program.is_dir():
        return
    text = program.read_bytes()
    first, _, rest = text.partition(b"\n")
    if first.startswith(b"#!") and b"python" in first:
        text = b"#!/usr/local/bin/python3\n" + rest
        info = tarfile.TarInfo(f"usr/local/bin/{program.name}")
        info.size, info.mode = len(text), 0o755
        tar.addfile(info, io.BytesIO(text))
