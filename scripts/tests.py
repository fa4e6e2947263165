"""Runs all tests in three groups side by side, because each waits most of the time.

The output of the hub's integration tests is shown while they run, that of the others at the end.

    python -m scripts.tests [arguments for pytest]

With arguments everything is one run of pytest.
"""

from __future__ import annotations

import contextlib
import shutil
import signal
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import IO

ROOT = Path(__file__).resolve().parents[1]
INTEGRATION = "tests/integration"
SHOWN = (f"{INTEGRATION}/bench", f"{INTEGRATION}/server")
DURATIONS = ("--durations=15", "--durations-min=5")
_started: list[subprocess.Popen[bytes]] = []


def _inside(folder: str) -> list[str]:
    """Returns the folders and files of tests in a folder; a new one is included by itself."""
    found = [path for path in (ROOT / folder).iterdir() if path.is_dir() or path.name.startswith("test_")]
    return sorted(str(path.relative_to(ROOT)) for path in found if path.name != "__pycache__")


def groups() -> dict[str, list[str]]:
    """Returns the groups that run beside the shown one, by name."""
    return {
        "integration of workers, clients and commands": [each for each in _inside(INTEGRATION) if each not in SHOWN],
        "the page's in a browser, the simulation, units, chaos": [
            each for each in _inside("tests") if each != INTEGRATION
        ],
    }


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
    with contextlib.ExitStack() as stack:
        beside = {}
        for name, parts in groups().items():
            output = stack.enter_context(tempfile.TemporaryFile())
            beside[name] = start(*parts, *DURATIONS, "-p", "no:cacheprovider", output=output), output
        failed = ended(start(*SHOWN, *DURATIONS))
        for name, (process, output) in beside.items():
            failed = ended(process) or failed
            print(f"==> pytest: {name} (they ran beside)", flush=True)
            output.seek(0)
            shutil.copyfileobj(output, sys.stdout.buffer)
            sys.stdout.flush()
    return failed


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
