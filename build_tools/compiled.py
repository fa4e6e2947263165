"""Compiles the modules that every job passes through, with mypyc; the same sources work uncompiled.

    python -m build_tools.compiled build      compiles if the result is missing or out of date
    python -m build_tools.compiled check      prints the state: none, stale or fresh
    python -m build_tools.compiled compiler   reports whether this machine can compile
    python -m build_tools.compiled remove     removes the compiled modules

The compiled modules lie beside the sources, and Python prefers them, even to a source that was changed since. So
pytest stops if they are out of date, and ``make`` rebuilds them.

Three constructs change their meaning when compiled, and `refused` finds them: a ``msgspec.Struct`` loses its
options, a generator expression becomes a list, and a coroutine that waits inside ``try`` or ``with`` may raise again
what it has caught (seen with mypyc 2.4: a handler ran to its end, and the ``finally`` below it raised the exception).
"""

from __future__ import annotations

import ast
import hashlib
import importlib
import importlib.machinery
import importlib.util
import shutil
import sys
import sysconfig
from collections.abc import Iterator, Sequence
from importlib.abc import MetaPathFinder
from pathlib import Path
from types import ModuleType
from typing import Final

ROOT: Final = Path(__file__).resolve().parents[1]
GROUP: Final = "asman_compiled"
"""Name of the library that holds all of the code; the modules themselves only point into it."""
STAMP: Final = ROOT / "server" / f"{GROUP}.stamp"
SUFFIX: Final = sysconfig.get_config_var("EXT_SUFFIX")

_ROOMS: Final = {
    "asman_shared": "definition_check encoded identity states",
    "asman_server.core": (
        "able assignments effects endings events fleet id_filter job job_state queue ready sharing state"
        " submissions verdicts waits webhooks worker"
    ),
    "asman_server": "meters",
    "asman_server.delivery": "broadcast fanout send_buffer",
    "asman_server.queues": "definition_cache dispatch shell submission",
    "asman_server.storage": "batch group_commit",
}
MODULES: Final = tuple(f"{room}.{name}" for room, names in _ROOMS.items() for name in names.split())


PACKAGES: Final = (ROOT / "shared" / "asman_shared", ROOT / "server" / "asman_server")


def room_of(module: str) -> Path:
    """Returns the folder in which a module's package lies."""
    return ROOT / ("shared" if module.startswith("asman_shared") else "server")


def source_of(module: str) -> Path:
    """Returns the source file of a module."""
    return room_of(module).joinpath(*module.split(".")).with_suffix(".py")


def made_of(module: str) -> Path:
    """Returns the compiled file of a module."""
    return source_of(module).with_suffix(SUFFIX)


def made() -> list[Path]:
    """Returns all compiled files beside the sources, of this Python and of others."""
    beside = [path for package in PACKAGES for path in package.rglob("*.so")]
    return sorted([*(ROOT / "server").glob(f"{GROUP}__mypyc.*.so"), *beside])


def digest() -> str:
    """Hashes all inputs of the compilation: compiled code also depends on the types of all other sources."""
    whole = hashlib.sha256(f"{sys.version} {SUFFIX}\n".encode())
    sources = [path for package in PACKAGES for path in package.rglob("*.py")]
    for path in (*sorted(sources), Path(__file__)):
        whole.update(path.read_bytes())
    return whole.hexdigest()


def state() -> str:
    """Returns ``none``, ``stale`` or ``fresh``."""
    if not made():
        return "none"
    fresh = STAMP.is_file() and STAMP.read_text() == digest() and all(made_of(module).is_file() for module in MODULES)
    return "fresh" if fresh else "stale"


def refused(source: str) -> list[str]:
    """Finds the places of a source that change their meaning when compiled."""
    found = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.ClassDef):
            bases = [ast.unparse(base) for base in node.bases]
            if any(base.rpartition(".")[2] == "Struct" for base in bases):
                found.append(f"line {node.lineno}: {node.name} is a Struct, and mypyc drops its options")
        elif isinstance(node, ast.AsyncFunctionDef):
            found += [
                f"line {block.lineno}: {node.name} waits inside a block that handles errors"
                for block in ast.walk(node)
                if isinstance(block, (ast.Try, ast.With, ast.AsyncWith))
                and any(isinstance(inner, (ast.Await, ast.AsyncWith, ast.AsyncFor)) for inner in ast.walk(block))
            ]
        elif isinstance(node, ast.Call):
            for argument in node.args:
                taker = ast.unparse(node.func)
                if isinstance(argument, ast.GeneratorExp) and taker.rpartition(".")[2] not in _TAKE_ALL:
                    found.append(f"line {node.lineno}: {taker} is given a list instead of a generator")
        elif isinstance(node, (ast.Assign, ast.Return, ast.IfExp)):
            values = [node.body, node.orelse] if isinstance(node, ast.IfExp) else [node.value]
            if any(isinstance(value, ast.GeneratorExp) for value in values):
                found.append(f"line {node.lineno}: a list instead of a generator")
    return found


_TAKE_ALL: Final = frozenset(
    [
        "Counter",
        "all",
        "any",
        "deque",
        "dict",
        "extend",
        "join",
        "list",
        "max",
        "min",
        "set",
        "sorted",
        "sum",
        "tuple",
        "update",
    ]
)
"""Functions that read a generator to its end anyway, or are compiled as a loop."""


def in_use() -> bool:
    """Whether this process runs the compiled modules."""
    return all(str(importlib.import_module(module).__file__).endswith(SUFFIX) for module in MODULES)


def lacking() -> str:
    """Returns the name of the part that is missing here to compile; empty if none is."""
    if shutil.which(sysconfig.get_config_var("CC").split()[0]) is None and shutil.which("gcc") is None:
        return "a C compiler"
    if not Path(sysconfig.get_paths()["include"], "Python.h").is_file():
        return "the headers of this Python"
    return ""


def build() -> None:
    """Compiles all modules.

    Raises:
        SystemExit: There is no compiler, or it refused.
    """
    from mypyc.build import mypycify
    from setuptools import Distribution

    for module in MODULES:
        for complaint in refused(source_of(module).read_text()):
            raise SystemExit(f"error: {source_of(module).relative_to(ROOT)}, {complaint}")
    remove()
    wanted = digest()
    work = ROOT / ".run" / "compiled"
    work.mkdir(parents=True, exist_ok=True)
    extensions = mypycify(
        [str(source_of(module).relative_to(ROOT)) for module in MODULES],
        opt_level="2",
        debug_level="0",
        group_name=GROUP,
        target_dir=str(work),
    )
    distribution = Distribution({"name": GROUP, "ext_modules": extensions})
    command = distribution.get_command_obj("build_ext")
    command.parallel = 2
    command.build_temp = str(work / "objects")
    command.build_lib = str(work / "made")
    distribution.run_command("build_ext")
    for module in MODULES:
        target = made_of(module)
        target.write_bytes((work / "made").joinpath(*module.split(".")).with_suffix(SUFFIX).read_bytes())
    library = f"{GROUP}__mypyc{SUFFIX}"
    (ROOT / "server" / library).write_bytes((work / "made" / library).read_bytes())
    STAMP.write_text(wanted)


def remove() -> None:
    """Removes the compiled modules; the sources stay."""
    STAMP.unlink(missing_ok=True)
    for path in made():
        path.unlink()


class _Sources(MetaPathFinder):
    """Finds the sources of these modules before their compiled files."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        """Finds the source of a module that may be compiled; leaves all others to the next finder."""
        del path, target
        return importlib.util.spec_from_file_location(fullname, source_of(fullname)) if fullname in MODULES else None


def prefer_sources() -> None:
    """Makes this process import the sources from now on, for tests that patch modules and for profilers."""
    if not any(isinstance(finder, _Sources) for finder in sys.meta_path):
        sys.meta_path.insert(0, _Sources())


def main(words: list[str]) -> Iterator[str]:
    """Runs a command and reports the result."""
    match words:
        case ["build"]:
            if state() != "fresh":
                build()
            yield f"{len(MODULES)} modules are compiled."
        case ["check"]:
            yield state()
        case ["compiler"]:
            if lack := lacking():
                raise SystemExit(f"The hub is not compiled: {lack} is missing. It runs from its sources instead.")
        case ["remove"]:
            remove()
            yield "The hub runs from its sources alone."
        case _:
            raise SystemExit("usage: python -m build_tools.compiled build|check|compiler|remove")


if __name__ == "__main__":
    for sentence in main(sys.argv[1:]):
        print(sentence)
