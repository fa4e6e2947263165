"""The simulation in ``make test``: a few hundred seeds keep every promise, and every planted bug is found."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import types
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from itertools import count
from multiprocessing import get_context
from pathlib import Path

import pytest

from build_tools import compiled
from tests.simulation import shrink
from tests.simulation.__main__ import fingerprint, hunt, play
from tests.simulation.faults import FAULTS, Trouble, UnknownFaultError, weights_of
from tests.simulation.mutants import MUTANTS
from tests.simulation.plan import draw_plan, read_plan, write_plan
from tests.simulation.world import simulate
from tests.support.planting import planted

SEEDS = int(os.environ.get("SEEDS", "300"))
ALIKE = 40
"""Number of seeds that the compiled modules play, too."""
MOST = 400
"""Number of seeds after which a planted bug counts as not found."""


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


def test_a_compiled_run_has_played_the_same_sources() -> None:
    if compiled.lacking() and os.geteuid() != 0:
        pytest.skip(f"{compiled.lacking()} is missing here")
    told = []
    for form in ("--compiled", "--sources"):
        words = [sys.executable, "-m", "tests.simulation", form, "--seeds", "2"]
        ran = subprocess.run(words, capture_output=True, text=True, check=False)
        told += re.findall(r"(compiled|from source), sources ([0-9a-f]{12})\)", ran.stdout)
        assert ran.returncode == 0, ran.stderr[-2000:]
    assert [form for form, _ in told] == ["compiled", "from source"]
    assert len({digits for _, digits in told}) == 1


@pytest.mark.timeout(600)
@pytest.mark.parametrize("mutant", list(MUTANTS))
def test_a_planted_bug_is_found(pool: ProcessPoolExecutor, mutant: str) -> None:
    seeds, _how = pool.submit(hunt, mutant, MOST).result()
    assert seeds is not None, f"{MOST} seeds did not find it"


def test_a_broken_run_is_shrunk_to_a_small_plan_that_breaks_the_same_promise_again() -> None:
    with planted(*MUTANTS["log lines are taken twice"]):
        found = next(broken for broken in (shrink.play(draw_plan(seed)) for seed in range(MOST)) if broken is not None)
        tries = count()
        least = shrink.shrink(found, 25, clock=lambda: float(next(tries)))
        assert len(least.plan.items) <= len(found.plan.items) // 2
        again = shrink.play(read_plan(write_plan(least.plan)))
        assert again is not None
        assert (again.error, again.events) == (least.error, least.events)
    assert shrink.play(least.plan) is None


def test_each_fault_can_be_chosen_alone_and_weighed() -> None:
    for name in FAULTS:
        plans = [draw_plan(seed, weights_of(name, [])) for seed in range(20)]
        assert {item.fault for plan in plans for item in plan.items if isinstance(item, Trouble)} == {name}
    assert weights_of("cut", ["kill=2"])["kill"] == 2
    for wrong in ("cut=-1", "cut=nan", "cut=inf", "cut", "what=1"):
        with pytest.raises(UnknownFaultError):
            weights_of(None, [wrong])
    with pytest.raises(UnknownFaultError, match="there is no fault 'what'"):
        weights_of("what", [])
    assert not [item for item in draw_plan(1, weights_of("cut", ["cut=0"])).items if isinstance(item, Trouble)]


def test_a_run_does_not_depend_on_the_hashes_of_this_process() -> None:
    words = ["-m", "tests.simulation", "--sources", "--each", "--seeds", "12", "--first", "100"]
    ran = [
        subprocess.run(
            [sys.executable, *words],
            capture_output=True,
            text=True,
            check=False,
            env={**os.environ, "PYTHONHASHSEED": hashes},
        )
        for hashes in ("1", "2")
    ]
    assert ran[0].returncode == 0, ran[0].stderr[-2000:]
    assert ran[0].stdout == ran[1].stdout


def test_the_fingerprint_of_what_was_played_follows_the_sources(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = fingerprint()
    package, module = (types.ModuleType(f"asman_server.core.{name}") for name in ("more", "more.another"))
    package.__path__ = [str(tmp_path)]
    module.__file__ = "/somewhere/else.so"  # as compiled modules may have it
    (tmp_path / "__init__.py").touch()
    source = tmp_path / "another.py"
    source.write_text("VALUE = 1\n")
    for each in (package, module):
        monkeypatch.setitem(sys.modules, each.__name__, each)
    one = fingerprint()
    source.write_text("VALUE = 2\n")
    assert len({before, one, fingerprint()}) == 3
    for each in (package, module):
        monkeypatch.delitem(sys.modules, each.__name__)
    assert fingerprint() == before
