"""Compiles the inner modules of the simulation with mypyc; they are the same source, and work without it.

    python -m build_tools.fast_simulation build    makes what is not there
    python -m build_tools.fast_simulation check    tells whether it is there: none or fresh

What is made lies in a folder of ``.run`` that is named by the hash of its sources, so it is never out of date.
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
"""Names the one library that holds all of the code; the modules themselves only point into it."""
LIBRARY: Final = f"{GROUP}__mypyc"
MODULES: Final = (
    "tests.simulation.loop",
    "tests.simulation.network",
    "tests.support.invariants",
)
FOLDER: Final = compiled.ROOT / ".run" / "simulation"


def source_of(module: str) -> Path:
    """The file that is compiled."""
    return compiled.ROOT.joinpath(*module.split(".")).with_suffix(".py")


def digest() -> str:
    """Hashes what the compiled code depends on: its sources, and the Python and compiler that made it."""
    whole = hashlib.sha256(f"{sys.version} {compiled.SUFFIX}\n".encode())
    for path in (*map(source_of, MODULES), Path(__file__)):
        whole.update(path.read_bytes())
    return whole.hexdigest()[:16]


def made() -> Path | None:
    """The folder of what was compiled of the sources as they are; None when it was not."""
    folder = FOLDER / digest()
    return folder if (folder / "complete").is_file() else None


def build() -> None:
    """Compiles the modules, and removes what was compiled of older sources.

    Raises:
        SystemExit: The compiler refused, or a source means something else when it is compiled.
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
        # What is imported is taken for Any, which saves most of the time: nothing of it is compiled here.
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
    """Finds what was compiled before the sources."""

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
    """From now on this process imports what was compiled, if it is there; returns whether it is."""
    folder = made()
    if folder is not None and not any(isinstance(finder, _Compiled) for finder in sys.meta_path):
        sys.meta_path.insert(0, _Compiled(folder))
    return folder is not None


def main(words: list[str]) -> Iterator[str]:
    """Does what is asked for and says what was done."""
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
