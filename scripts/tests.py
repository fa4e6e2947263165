"""Runs all tests in four groups side by side, because each waits most of the time.

The output of the hub's integration tests but its doors is shown while they run, that of the others at the end. A few
tests that failed run once more when all groups have ended, with the machine to themselves: one that passes then had too
little of it. Its name is printed, and it no longer counts as failed.

    python -m scripts.tests [arguments for pytest]

With arguments everything is one run of pytest.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import IO, Final

from scripts import failed_tests

ROOT = Path(__file__).resolve().parents[1]
INTEGRATION = "tests/integration"
HUB = f"{INTEGRATION}/server"
DOORS = tuple(f"{HUB}/{door}" for door in ("dialect", "keys", "mcp", "rest", "tes"))
DURATIONS = ("--durations=15", "--durations-min=5")
MOST_AGAIN: Final = 12
"""Most failed tests that run a second time; more of them are no accident."""
TESTS_FAILED: Final = 1
"""The exit status of pytest that says that it ran to its end and some tests failed."""
_started: list[subprocess.Popen[bytes]] = []


def _inside(folder: str) -> list[str]:
    """Returns the folders and files of tests in a folder; a new one is included by itself."""
    found = [path for path in (ROOT / folder).iterdir() if path.is_dir() or path.name.startswith("test_")]
    return sorted(str(path.relative_to(ROOT)) for path in found if path.name != "__pycache__")


def groups() -> dict[str, list[str]]:
    """Returns the groups that run beside the shown one, by name."""
    apart = (f"{INTEGRATION}/bench", HUB)
    return {
        "the hub's doors for other programs": list(DOORS),
        "integration of workers, clients and commands": [each for each in _inside(INTEGRATION) if each not in apart],
        "the page's in a browser, the simulation, units, chaos": [
            each for each in _inside("tests") if each != INTEGRATION
        ],
    }


def shown() -> list[str]:
    """Returns the group whose output is shown while it runs."""
    return [f"{INTEGRATION}/bench", *(each for each in _inside(HUB) if each not in DOORS)]


def start(*words: str, output: IO[bytes] | None = None, failures: Path | None = None) -> subprocess.Popen[bytes]:
    """Starts pytest, which writes the names of failed tests to ``failures``."""
    if failures:
        words = (*words, "-p", failed_tests.__name__)
    _started.append(
        subprocess.Popen(  # noqa: S603 - runs our own tests
            [sys.executable, "-m", "pytest", "-c", "pyproject.toml", *words],
            cwd=ROOT,
            env={**os.environ, failed_tests.VARIABLE: str(failures)} if failures else None,
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


def again(results: Sequence[tuple[int, Path]]) -> int:
    """Runs failed tests alone, if they are few and every run came to its end.

    Args:
        results: Each run's exit status, and the file with the names of its failed tests.

    Returns:
        0 if all tests have passed, with or without a second time.
    """
    status = max((status for status, _ in results), key=abs)
    if {status for status, _ in results} - {0, TESTS_FAILED} or not status:
        return status
    wrote = [failures for each, failures in results if each == TESTS_FAILED]
    names = [name for failures in wrote for name in failures.read_text(encoding="utf-8").splitlines()]
    if not 0 < len(names) <= MOST_AGAIN:
        return status
    print(f"==> pytest: what failed beside other tests, now alone: {len(names)}", flush=True)
    status = ended(start(*names, "-p", "no:cacheprovider"))
    verdict = "passed alone, so the machine was too busy for them" if status == 0 else "not all of them passed alone"
    print(f"==> {verdict}:", *names, sep="\n      ", flush=True)
    return status


def main(words: list[str]) -> int:
    """Runs the tests; returns 0 if all passed."""
    signal.signal(
        signal.SIGINT, signal.default_int_handler
    )  # a shell starts background processes with SIGINT ignored, and their children inherit that
    signal.signal(signal.SIGTERM, interrupt)
    if words:
        return ended(start(*words))
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        beside: dict[str, tuple[subprocess.Popen[bytes], IO[bytes], Path]] = {}
        for name, parts in groups().items():
            output: IO[bytes] = stack.enter_context(tempfile.TemporaryFile())
            failures = folder / str(len(beside))
            runner = start(*parts, *DURATIONS, "-p", "no:cacheprovider", output=output, failures=failures)
            beside[name] = runner, output, failures
        first = folder / "shown"
        results = [(ended(start(*shown(), *DURATIONS, failures=first)), first)]
        for name, (process, output, failures) in beside.items():
            results.append((ended(process), failures))
            print(f"==> pytest: {name} (they ran beside)", flush=True)
            output.seek(0)
            shutil.copyfileobj(output, sys.stdout.buffer)
            sys.stdout.flush()
        return again(results)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
