"""The Python environment of one side: its own sources of Asman before the packages that it needs.

Where a commit pins the same versions as the working tree, its environment has no packages of its own: it refers to
those of the environment that this runs in. Otherwise they are installed, as ``make setup`` does.
"""

from __future__ import annotations

import re
import sys
import sysconfig
import tomllib
import venv
from hashlib import sha256
from pathlib import Path
from typing import Any, Final

from bench.commits.commands import carried_out
from bench.commits.scenarios import Unusable

EXTRAS: Final = ("hub", "worker", "dev")
SOURCES: Final = ("client", "server", "shared", "worker")
"""Folders of a checkout that hold its packages."""
STAMP: Final = "made-for-comparison"
_NAME: Final = re.compile(r"[\w.-]+")
_PROGRAM: Final = """\
#!{python}
import sys
from {module} import {function}
sys.exit({function}())
"""


def ready(root: Path, folder: Path, beside: Path, log: Path) -> Path:
    """Makes the environment of one side, unless it is there from an earlier call; returns its interpreter.

    Args:
        root: The checkout.
        folder: Where the environment is made.
        beside: The working tree, whose packages the environment that this runs in has.
        log: Takes what the installation says.

    Raises:
        Unusable: Its packages could not be installed.
    """
    shares = same_packages(root, beside)
    python = folder / "bin" / "python"
    wanted = _digest(root, folder, shares=shares)
    stamp = folder / STAMP
    if stamp.is_file() and stamp.read_text() == wanted:
        return python
    venv.EnvBuilder(clear=True, symlinks=True, with_pip=False).create(folder)
    if shares:
        _refer(root, folder, python)
    else:
        pip = [sys.executable, "-m", "pip", "--python", str(python)]
        install = [*pip, "install", "-q", "-c", "constraints.txt", "-e", f".[{','.join(EXTRAS)}]"]
        carried_out(install, root, log, "its packages could not be installed")
    stamp.write_text(wanted)
    return python


def same_packages(root: Path, beside: Path) -> bool:
    """Whether a checkout needs no package that the working tree does not have in the same version."""
    return pins(root) == pins(beside) and dependencies(root) <= dependencies(beside)


def pins(root: Path) -> frozenset[str]:
    """Returns the pinned versions of a checkout, as ``name==version``.

    Raises:
        Unusable: It pins none, as it is older than ``constraints.txt``.
    """
    file = root / "constraints.txt"
    if not file.is_file():
        raise Unusable("it has no constraints.txt, so its packages are not known")
    lines = (line.partition("#")[0].strip().lower() for line in file.read_text().splitlines())
    return frozenset(line for line in lines if line)


def dependencies(root: Path) -> frozenset[str]:
    """Returns the names of what a checkout depends on directly, its extras included."""
    project = _project(root)
    optional = project.get("optional-dependencies", {})
    wanted = [*project.get("dependencies", []), *(each for extra in EXTRAS for each in optional.get(extra, []))]
    return frozenset(found[0].lower() for each in wanted if (found := _NAME.match(each)))


def _project(root: Path) -> dict[str, Any]:
    project: dict[str, Any] = tomllib.loads((root / "pyproject.toml").read_text())["project"]
    return project


def _digest(root: Path, folder: Path, *, shares: bool) -> str:
    """Of all that the environment is made from."""
    parts = [str(root), str(folder), str(shares), sys.prefix, sys.version, *sorted(pins(root)), repr(_project(root))]
    return sha256("\n".join(parts).encode()).hexdigest()


def _refer(root: Path, folder: Path, python: Path) -> None:
    """Names the sources of this side, then the packages that are shared, and makes its programs."""
    own = sysconfig.get_path("purelib", "venv", {"base": str(folder)})
    # A file of paths is not followed into those files of the shared folder that name the working tree's sources.
    lines = [*(str(root / name) for name in SOURCES), sysconfig.get_path("purelib")]
    Path(own, "comparison.pth").write_text("\n".join(lines) + "\n")
    for name, target in _project(root).get("scripts", {}).items():
        module, _, function = target.partition(":")
        program = folder / "bin" / name
        program.write_text(_PROGRAM.format(python=python, module=module, function=function))
        program.chmod(0o755)
