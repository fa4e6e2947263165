"""The two sides of a comparison, ready to be measured: checked out, with an environment, compiled alike."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from bench.commits import environments
from bench.commits.checkout import check_out, commit_of, description_of, short_of
from bench.commits.commands import carried_out, shown
from bench.commits.scenarios import Unusable

ITSELF: Final = "self"
"""Named instead of a commit, the working tree is both sides, which shows how much the machine itself differs."""
COMPILERS: Final = ("build_tools.compiled", "scripts.compiled")
"""Modules that compile a checkout, for ``python -m``: today's, then that of older commits."""
FRESH, STALE, NONE = "fresh", "stale", "none"


@dataclass(frozen=True)
class Side:
    """One build.

    Attributes:
        name: In tables and sentences.
        about: What it is, in words.
        commit: The full hash; empty for the working tree.
        root: The folder with its sources.
        python: The interpreter that finds them and the packages they need.
        compiled: Whether its inner modules are compiled.
    """

    name: str
    about: str
    commit: str
    root: Path
    python: Path
    compiled: bool


def prepared(root: Path, word: str, folder: Path, say: Callable[[str], None]) -> tuple[Side, Side]:
    """Makes both sides ready; returns the commit first and the working tree second.

    Args:
        root: The working tree.
        word: Names the commit, or is ``self``.
        folder: Keeps checkouts and environments for the next time.
        say: Takes a sentence about each longer step.

    Raises:
        Unusable: There is no such commit, or it can't be made ready.
    """
    commit = "" if word == ITSELF else commit_of(root, word)
    current = _working_tree(root, folder)
    if not commit:
        return Side("the same again", current.about, "", root, current.python, current.compiled), current
    name = short_of(root, commit)
    checkout = folder / commit
    say(f"{name} is checked out in {shown(checkout)}; it stays there until 'make clean'.")
    check_out(root, commit, checkout)
    try:
        if current.compiled and _compiler_of(checkout) is None:
            raise Unusable("it has nothing that compiles it, but the working tree is compiled; see 'make pure'")
        shares = environments.same_packages(checkout, root)
        say(f"Its packages are {'those of this environment' if shares else 'installed, as it pins other versions'}.")
        python = environments.ready(checkout, checkout / ".venv", root, folder / "logs" / f"{name}-install.log")
        _compile_alike(checkout, python, folder / "logs" / f"{name}-compile.log", say, wanted=current.compiled)
        _warm(checkout, python, folder / "logs" / f"{name}-bytecode.log")
    except Unusable as error:
        raise Unusable(f"{name} can't be made ready: {error}") from None
    return Side(name, f"commit {commit}", commit, checkout, python, current.compiled), current


def _working_tree(root: Path, folder: Path) -> Side:
    """The working tree, in an environment that is made in the same way as that of the other side."""
    own = folder / "working-tree"
    python = environments.ready(root, own / ".venv", root, folder / "logs" / "working-tree-install.log")
    state = compiled_state(root, python, folder / "logs" / "working-tree-check.log")
    if state == STALE:
        raise Unusable("what is compiled in the working tree is older than its sources; run 'make compile' first")
    _warm(root, python, folder / "logs" / "working-tree-bytecode.log")
    return Side("working tree", description_of(root), "", root, python, state == FRESH)


def compiled_state(root: Path, python: Path, log: Path) -> str:
    """Returns ``none``, ``stale`` or ``fresh``; ``none`` for a commit that can't be compiled at all."""
    compiler = _compiler_of(root)
    if compiler is None:
        return NONE
    command = [str(python), "-m", compiler, "check"]
    return carried_out(command, root, log, "it does not say whether it is compiled")


def _compiler_of(root: Path) -> str | None:
    """The module of a checkout that compiles it; None for a commit that can't be compiled."""
    there = (name for name in COMPILERS if root.joinpath(*name.split(".")).with_suffix(".py").is_file())
    return next(there, None)


def _compile_alike(root: Path, python: Path, log: Path, say: Callable[[str], None], *, wanted: bool) -> None:
    """Compiles the inner modules of the commit, by its own list of them, exactly when the working tree's are."""
    state = compiled_state(root, python, log)
    compiler = _compiler_of(root)
    if compiler is None or state == (FRESH if wanted else NONE):
        return
    if wanted:
        say("Its inner modules are compiled, as the working tree's are; this takes a minute or two.")
        carried_out([str(python), "-m", compiler, "build"], root, log, "its inner modules could not be compiled")
    else:
        carried_out([str(python), "-m", compiler, "remove"], root, log, "what is compiled could not be removed")


def _warm(root: Path, python: Path, log: Path) -> None:
    """Writes the byte code of all sources, or the first round of a new checkout would do that."""
    folders = [name for name in environments.SOURCES if (root / name).is_dir()]
    carried_out([str(python), "-m", "compileall", "-q", *folders], root, log, "its sources can't be read by Python")
