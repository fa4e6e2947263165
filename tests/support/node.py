"""The Node.js that the page is built with: on the PATH, or in the virtual environment."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

PATH = f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}"


def run_node(script: Path, *arguments: str, stdin: str = "", seconds: float = 60) -> subprocess.CompletedProcess[str]:
    """Runs a script to its end."""
    command: Sequence[str] = ["node", str(script), *arguments]
    environment = {**os.environ, "PATH": PATH}
    return subprocess.run(
        command, input=stdin, capture_output=True, text=True, timeout=seconds, env=environment, check=False
    )
