"""Writes the site; see `build_tools.site`."""

from __future__ import annotations

import sys
from pathlib import Path

from .sources import ROOT
from .write import build


def main() -> int:
    """Writes the site into the folder of the command line, or into the hub's; returns the exit code."""
    arguments = sys.argv[1:]
    if len(arguments) > 1 or any(each.startswith("-") for each in arguments):
        sys.stderr.write("usage: python -m build_tools.site [FOLDER]\n")
        return 2
    folder = Path(arguments[0]) if arguments else ROOT / "server/asman_server/site"
    names = build(folder)
    sys.stdout.write(f"wrote {len(names)} files into {folder}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
