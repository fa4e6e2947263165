"""The command line of a script that writes one page of the documentation, or checks that the page is current."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from pathlib import Path


def write_or_check(file: Path, document: Callable[[], str], about: str | None) -> int:
    """Writes the page, or with ``--check`` only reports by exit code whether it is current.

    Args:
        file: The page.
        document: Makes the whole page.
        about: Description of the script, for its help.

    Returns:
        The exit code.
    """
    parser = argparse.ArgumentParser(description=about)
    parser.add_argument("--check", action="store_true", help="only report, by exit code, whether the page is current")
    if parser.parse_args().check:
        return 0 if file.read_text() == document() else 1
    file.write_text(document())
    sys.stdout.write(f"wrote {file.name}\n")
    return 0
