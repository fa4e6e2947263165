"""picows in an environment of its own, so that nothing that it brings touches ours."""

from __future__ import annotations

import subprocess
import sys
import venv
from pathlib import Path
from typing import Final

FOLDER: Final = Path(__file__).parent / ".peers-fanout"
WANTED: Final = ("picows==2.3.1", "aiofastnet==1.2.0", "uvloop==0.23.0")
"""aiofastnet is the transport that picows prefers."""


def picows_python() -> str:
    """The interpreter of an environment that has picows, made at first use.

    Raises:
        RuntimeError: It can't be installed here.
    """
    python = FOLDER / "bin" / "python"
    stamp = FOLDER / "made-with"
    made_with = f"{sys.version}\n{FOLDER}\n" + "\n".join(WANTED)
    if not stamp.exists() or stamp.read_text() != made_with:
        venv.create(FOLDER, clear=True, with_pip=True)
        done = subprocess.run(
            [str(python), "-m", "pip", "install", "-q", "--only-binary=:all:", *WANTED],
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            raise RuntimeError(f"picows can't be installed: {(done.stderr.strip().splitlines() or ['?'])[-1]}")
        stamp.write_text(made_with)
    return str(python)
