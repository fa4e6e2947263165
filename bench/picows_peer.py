"""picows in an environment of its own, so that nothing that it brings touches ours."""

from __future__ import annotations

import subprocess
import venv
from pathlib import Path
from typing import Final

FOLDER: Final = Path(__file__).parent / ".peers" / "picows"
WANTED: Final = Path(__file__).parent / "peers" / "requirements" / "picows.txt"


def picows_python() -> str:
    """The interpreter of an environment that has picows, made at first use.

    Raises:
        RuntimeError: It can't be installed here.
    """
    python = FOLDER / "bin" / "python"
    stamp = FOLDER / "made-with"
    made_with = f"{FOLDER}\n{WANTED.read_text()}"
    if not stamp.exists() or stamp.read_text() != made_with:
        venv.create(FOLDER, clear=True, with_pip=True)
        done = subprocess.run(
            [str(python), "-m", "pip", "install", "-q", "--no-deps", "--only-binary=:all:", "-r", str(WANTED)],
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            raise RuntimeError(f"picows can't be installed: {(done.stderr.strip().splitlines() or ['?'])[-1]}")
        stamp.write_text(made_with)
    return str(python)
