"""Commands that prepare a side; what they print goes to a file, and the last line of it into the error."""

from __future__ import annotations

import subprocess
from collections.abc import Sequence
from pathlib import Path

from bench.commits.scenarios import Unusable

LENGTH = 200
"""Characters of a last line that an error repeats."""


def carried_out(command: Sequence[str], folder: Path, log: Path, failure: str) -> str:
    """Runs a command in a folder and returns what it printed.

    Raises:
        Unusable: It failed; begins with ``failure``.
    """
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("wb") as said:
        done = subprocess.run(
            command, cwd=folder, stdin=subprocess.DEVNULL, stdout=said, stderr=subprocess.STDOUT, check=False
        )
    if done.returncode:
        raise Unusable(f"{failure}: {last_line(log)} ({shown(log)} has all that was said)")
    return log.read_text(errors="replace").strip()


def shown(path: Path) -> str:
    """Returns a path as a sentence names it: from the folder of this process, where it is below that."""
    return str(path.relative_to(Path.cwd())) if path.is_relative_to(Path.cwd()) else str(path)


def last_line(log: Path) -> str:
    """Returns the last line of a file that says something."""
    lines = [line.strip() for line in log.read_text(errors="replace").splitlines() if line.strip()]
    return lines[-1][:LENGTH] if lines else "it said nothing"
