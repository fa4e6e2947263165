"""The end of a synchronous program: it comes, whatever the program leaves open."""

from __future__ import annotations

import subprocess
import sys

import pytest

from devtools.asman_processes import clean_environment
from devtools.patience import PATIENCE

_BEGIN = """
import asman, asman.sync, enum, itertools, threading, time
queue = asman.sync.connect()
items = [{"command": ["sh", "-c", f"exit {n}"]} for n in range(5)]
job = queue.submit(command="echo one; sleep 0.2; echo two")
"""


def ended(program: str, up: str) -> subprocess.CompletedProcess[str]:
    """Runs a program to its end, which must come."""
    words = [sys.executable, "-c", _BEGIN + program]
    environment = clean_environment({"ASMAN_QUEUE": up})
    return subprocess.run(words, env=environment, capture_output=True, text=True, timeout=PATIENCE, check=False)


@pytest.mark.parametrize(
    "program",
    [
        "left = queue.run_many(items, ordered=True); next(left)",
        "left = enumerate(queue.run_many(items)); next(left)",
        "left = queue.submit_many(iter(items)); next(left)",
        "left = itertools.islice(queue.submit_many(items), 3); next(left)",
        "left = job.logs(); next(left)",
        "left = job.steps(); next(left)",
        "job.wait(); left = queue.jobs(); next(left)",
        "threading.Timer(0.5, lambda: queue.submit(command='true', env={'T': str(time.time())})).start()\n"
        "left = queue.changes(); next(left)",
        "def reading():\n    with asman.sync.connect() as own:\n        yield from own.run_many(items)\n"
        "left = reading(); next(left)",
        "left = queue.run_many({'command': ['echo', str(n)]} for n, _ in enumerate(iter(lambda: time.sleep(0.1), 1)))\n"
        "next(left)",
        "left = queue.submit_many(items[:1] if n == 0 else threading.Event().wait() for n in range(2))\n"
        "threading.Thread(target=lambda: next(left, None), daemon=True).start(); time.sleep(1)",
        "left = asman.Executor(cpus=0.5, window=2).map(abs, itertools.count(), chunksize=2); next(left)",
        "left = asman.Executor(cpus=0.5).submit(time.sleep, 3)",
        "threading.Thread(target=job.result, daemon=True).start(); left = job.logs(); next(left)",
    ],
)
def test_a_program_ends_that_leaves_an_iterator_open(up: str, program: str) -> None:
    done = ended(program, up)
    assert (done.returncode, done.stderr) == (0, "")


def test_a_program_ends_with_its_error_when_that_leaves_an_iterator_open(up: str) -> None:
    done = ended("jobs = queue.run_many(items, ordered=True)\nfor job in jobs: print(job.result())", up)
    assert done.returncode == 1
    assert done.stderr.count("Traceback") == 1
    assert done.stderr.splitlines()[-1].startswith("asman_shared.errors.JobFailed") or "JobFailed" in done.stderr


@pytest.mark.parametrize("wait", [True, False])
def test_a_program_ends_that_shuts_an_executor_down_while_a_call_runs(up: str, wait: bool) -> None:
    done = ended(
        "begun = threading.Event()\n"
        "def slow():\n    import time\n    print('begun', flush=True)\n    time.sleep(3600)\n"
        "executor = asman.Executor(cpus=0.5, on_line=lambda line: begun.set())\n"
        f"future = executor.submit(slow); begun.wait(); executor.shutdown({wait}, cancel_futures=True)\n",
        up,
    )
    assert (done.returncode, done.stderr) == (0, "")


def test_what_a_program_registers_for_its_end_may_use_the_queue(up: str) -> None:
    done = ended("import atexit; atexit.register(lambda: print(job.wait().exit_code, queue.close()))", up)
    assert (done.stdout, done.stderr) == ("0 None\n", "")
