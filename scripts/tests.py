"""Runs all tests in two groups side by side, because both wait most of the time.

The output of the integration tests is shown while they run, that of the others at the end.

    python -m scripts.tests [arguments for pytest]

With arguments everything is one run of pytest.
"""

from __future__ import annotations

import signal
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import IO

ROOT = Path(__file__).resolve().parents[1]
SHOWN = "tests/integration"
_started: list[subprocess.Popen[bytes]] = []


def others() -> list[str]:
    """Returns all folders and files of tests except the shown ones; a new folder is included by itself."""
    found = [path for path in (ROOT / "tests").iterdir() if path.is_dir() or path.name.startswith("test_")]
    return sorted(str(each) for path in found if (each := path.relative_to(ROOT)) != Path(SHOWN))


def start(*words: str, output: IO[bytes] | None = None) -> subprocess.Popen[bytes]:
    """Starts pytest."""
    _started.append(
        subprocess.Popen(  # noqa: S603 - runs our own tests
            [sys.executable, "-m", "pytest", *words],
            cwd=ROOT,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT if output else None,
        )
    )
    return _started[-1]


def interrupt(*_: object) -> None:
    """Ends all runs as Ctrl-C does, so that they stop their own processes."""
    for process in _started:
        process.send_signal(signal.SIGINT)


def ended(process: subprocess.Popen[bytes]) -> int:
    """Waits for a run; Ctrl-C reaches it by the terminal too, and it must stop its own processes."""
    while True:
        try:
            return process.wait()
        except KeyboardInterrupt:
            continue


def main(words: list[str]) -> int:
    """Runs the tests; returns 0 if all passed."""
    signal.signal(
        signal.SIGINT, signal.default_int_handler
    )  # a shell starts background processes with SIGINT ignored, and their children inherit that
    signal.signal(signal.SIGTERM, interrupt)
    if words:
        return ended(start(*words))
    with tempfile.TemporaryFile() as output:
        beside = start(*others(), "-p", "no:cacheprovider", output=output)
        shown = ended(start(SHOWN))
        print("==> pytest: the page's in a browser, the simulation, units, chaos (they ran beside)", flush=True)
        hidden = ended(beside)
        output.seek(0)
        sys.stdout.buffer.write(output.read())
        sys.stdout.flush()
    return shown or hidden


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
