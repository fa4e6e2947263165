"""The files of another commit, written into a folder of this clone; git's own list of worktrees is not touched."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

from bench.commits.scenarios import Unusable


def commit_of(root: Path, word: str) -> str:
    """Returns the full hash of the commit that a word names: a hash or its beginning, a branch, a tag, ``HEAD~3``.

    Raises:
        Unusable: There is no such commit.
    """
    # A word that begins with a dash would be an option of git.
    found = "" if word.startswith("-") else _git(root, "rev-parse", "--verify", "--quiet", f"{word}^{{commit}}")
    if not found:
        raise Unusable(f"there is no commit '{word}' in this clone")
    return found


def description_of(root: Path) -> str:
    """Returns what the working tree is, as in ``0b75906 with changes``."""
    head = _git(root, "rev-parse", "--short", "HEAD")
    changed = _git(root, "status", "--porcelain")
    return f"{head}{' with changes' if changed else ''}"


def short_of(root: Path, commit: str) -> str:
    """Returns the beginning of a hash that is enough to name it."""
    return _git(root, "rev-parse", "--short", commit)


def check_out(root: Path, commit: str, folder: Path) -> None:
    """Writes the files of a commit into a folder, unless they are there from an earlier call.

    They are written beside it first, so that a call that is cut off leaves no half of a checkout.
    """
    if folder.is_dir():
        return
    partial = folder.with_name(f"{folder.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    # An index of its own: that of the clone belongs to the person who works in it.
    index = {"GIT_INDEX_FILE": str(partial.with_name(f"{folder.name}.index"))}
    try:
        for command in (["read-tree", commit], ["checkout-index", "--all", f"--prefix={partial}/"]):
            done = _call(root, command, index)
            if done.returncode:
                raise Unusable(f"git {command[0]} failed: {done.stderr.strip()}")
    finally:
        Path(index["GIT_INDEX_FILE"]).unlink(missing_ok=True)
    partial.rename(folder)


def _git(root: Path, *words: str) -> str:
    done = _call(root, list(words), {})
    return done.stdout.strip() if done.returncode == 0 else ""


def _call(root: Path, words: list[str], environment: dict[str, str]) -> subprocess.CompletedProcess[str]:
    try:
        return subprocess.run(
            ["git", *words],
            cwd=root,
            env={**os.environ, **environment},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )
    except FileNotFoundError:
        raise Unusable("git is not installed here; it has the other commit") from None
