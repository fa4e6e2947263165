"""Programs of their own, which run with the standard library alone: for containers, images and files.

Each is started by `command`, with modules of this package that import nothing else: loading the whole worker would take
longer than a container. Way in: `monitor` (one container), `unpacker` (one image), `keeper` (files of many users).
May import: `namespaces`, `files.tree`, `files.set_bits`, `files.trim`, each other.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Final

_WORKER: Final = Path(__file__).parents[2]
_BARE: Final = (
    "import importlib, sys, types; bare = types.ModuleType('asman_worker'); bare.__path__ = [sys.argv.pop(1)]; "
    "sys.modules['asman_worker'] = bare; importlib.import_module(sys.argv.pop(1)).program(sys.argv[1:])"
)
"""Gives the program the worker's package without what its ``__init__`` imports."""


def command(name: str, *words: str) -> list[str]:
    """Returns the command that runs a module of this package as a program.

    Args:
        name: The module's name.
        words: Its arguments.
    """
    return [sys.executable, "-I", "-S", "-c", _BARE, str(_WORKER), f"{__name__}.{name}", *words]
