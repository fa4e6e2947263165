"""The simulation in ``make test``: some hundred seeds keep every promise, and every planted bug is found."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context

import pytest

from build_tools import compiled
from tests.simulation.__main__ import hunt, play
from tests.simulation.mutants import MUTANTS
from tests.simulation.world import simulate

SEEDS = int(os.environ.get("SEEDS", "300"))
ALIKE = 40
"""Seeds that what is compiled plays, too."""
MOST = 400
"""Seeds after which a planted bug counts as not found."""


@pytest.fixture(scope="module")
def pool() -> Iterator[ProcessPoolExecutor]:
    with ProcessPoolExecutor(os.cpu_count(), mp_context=get_context("forkserver")) as made:
        yield made


@pytest.mark.timeout(600)
def test_every_promise_is_kept(pool: ProcessPoolExecutor) -> None:
    chunks = [range(at, min(at + 20, SEEDS)) for at in range(0, SEEDS, 20)]
    broken = [found for _, some in pool.map(play, chunks) for found in some]
    assert not broken, f"replay with: python -m tests.simulation --seed {broken[0][0]}\n{broken}"


def test_the_same_seed_is_the_same_run() -> None:
    assert [simulate(seed).handled for seed in (3, 7)] == [simulate(seed).handled for seed in (3, 7)]


def test_what_is_compiled_does_the_same_at_every_event() -> None:
    if compiled.lacking() and os.geteuid() != 0:  # for root, make test installs what is missing
        pytest.skip(f"{compiled.lacking()} is missing here")
    assert compiled.state() == "fresh", "make compile"
    words = ["-m", "tests.simulation", "--compiled", "--each", "--seeds", str(ALIKE)]
    ran = subprocess.run([sys.executable, *words], capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr[-2000:]
    assert [int(count) for count in ran.stdout.split()] == [simulate(seed).handled for seed in range(ALIKE)]


@pytest.mark.timeout(600)
@pytest.mark.parametrize("mutant", list(MUTANTS))
def test_a_planted_bug_is_found(pool: ProcessPoolExecutor, mutant: str) -> None:
    seeds, _how = pool.submit(hunt, mutant, MOST).result()
    assert seeds is not None, f"{MOST} seeds did not find it"
