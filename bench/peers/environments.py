"""Where each peer's own virtual environment is, and which versions are in it; ``scripts/peers.sh`` makes them."""

from __future__ import annotations

import json
import subprocess
import sys
from functools import cache
from pathlib import Path

FOLDER = Path(__file__).parents[1] / ".peers"
OURS = ""
"""The name of the environment that Asman itself runs in."""


def python_of(name: str) -> Path:
    """The interpreter of a peer's environment, or where it would be."""
    return FOLDER / name / "bin" / "python" if name else Path(sys.executable)


@cache
def version_of(environment: str, package: str) -> str:
    """The version of a package in an environment that exists."""
    ask = f"import importlib.metadata, json; print(json.dumps(importlib.metadata.version({package!r})))"
    said = subprocess.run([str(python_of(environment)), "-c", ask], capture_output=True, text=True, check=True).stdout
    return str(json.loads(said))
