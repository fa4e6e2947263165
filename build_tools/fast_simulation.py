"""Compiles the inner modules of the simulation with mypyc; the same sources work uncompiled.

    python -m build_tools.fast_simulation build    compiles if the result is missing
    python -m build_tools.fast_simulation check    prints the state: none or fresh

The compiled modules lie in a folder of ``.run`` named by the hash of their sources, so they are never out of date.
"""

from __future__ import annotations

import hashlib
import importlib.machinery
import importlib.util
import shutil
import sys
from collections.abc import Iterator, Sequence
from importlib.abc import MetaPathFinder
from pathlib import Path
from types import ModuleType
from typing import Final

from . import compiled

GROUP: Final = "asman_simulation"
"""Name of the library that holds all of the code; the modules themselves only point into it."""
LIBRARY: Final = f"{GROUP}__mypyc"
MODULES: Final = (
    "tests.simulation.loop",
    "tests.simulation.network",
    "tests.support.invariants",
)
FOLDER: Final = compiled.ROOT / ".run" / "simulation"


def source_of(module: str) -> Path:
    """Returns the source file of a module."""
    return compiled.ROOT.joinpath(*module.split(".")).with_suffix(".py")


def digest() -> str:
    """Hashes the inputs of the compilation: the sources, the Python and the compiler."""
    whole = hashlib.sha256(f"{sys.version} {compiled.SUFFIX}\n".encode())
    for path in (*map(source_of, MODULES), Path(__file__)):
        whole.update(path.read_bytes())
    return whole.hexdigest()[:16]


def made() -> Path | None:
    """Returns the folder of the modules compiled from the present sources; None if there is none."""
    folder = FOLDER / digest()
    return folder if (folder / "complete").is_file() else None


def build() -> None:
    """Compiles the modules, and removes those compiled from older sources.

    Raises:
        SystemExit: The compiler refused, or a source changes its meaning when compiled.
    """
    from mypyc.build import mypycify
    from setuptools import Distribution

    for module in MODULES:
        for complaint in compiled.refused(source_of(module).read_text()):
            raise SystemExit(f"error: {source_of(module).relative_to(compiled.ROOT)}, {complaint}")
    shutil.rmtree(FOLDER, ignore_errors=True)
    folder = FOLDER / digest()
    folder.mkdir(parents=True)
    extensions = mypycify(
        # Imported modules count as Any, which saves most of the time: none of them is compiled here.
        [
            "--follow-imports=skip",
            *(str(source_of(module).relative_to(compiled.ROOT)) for module in MODULES),
        ],
        opt_level="2",
        debug_level="0",
        group_name=GROUP,
        target_dir=str(folder / "c"),
    )
    command = Distribution({"name": GROUP, "ext_modules": extensions}).get_command_obj("build_ext")
    command.parallel = 2
    command.build_temp = str(folder / "objects")
    command.build_lib = str(folder / "made")
    command.ensure_finalized()
    command.run()
    (folder / "complete").touch()


class _Compiled(MetaPathFinder):
    """Finds the compiled modules before the sources."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder / "made"

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        """Finds a compiled module; leaves all others to the next finder."""
        del path, target
        if fullname != LIBRARY and fullname not in MODULES:
            return None
        return importlib.util.spec_from_file_location(
            fullname, self._folder.joinpath(*fullname.split(".")).with_suffix(compiled.SUFFIX)
        )


def prefer() -> bool:
    """Makes this process import the compiled modules from now on, if there are any; returns whether there are."""
    folder = made()
    if folder is not None and not any(isinstance(finder, _Compiled) for finder in sys.meta_path):
        sys.meta_path.insert(0, _Compiled(folder))
    return folder is not None


def main(words: list[str]) -> Iterator[str]:
    """Runs a command and reports the result."""
    match words:
        case ["build"]:
            if made() is None:
                build()
            yield f"{len(MODULES)} modules of the simulation are compiled."
        case ["check"]:
            yield "none" if made() is None else "fresh"
        case _:
            raise SystemExit("usage: python -m build_tools.fast_simulation build|check")


if __name__ == "__main__":
    for sentence in main(sys.argv[1:]):
        print(sentence)
