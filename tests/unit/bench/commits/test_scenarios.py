"""The list of scenarios by which commits are compared fits the scenarios as they are."""

from __future__ import annotations

import argparse
import ast
import importlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from bench.commits.scenarios import SCENARIOS, USUAL, Scenario, Unusable, chosen

ROOT = Path(__file__).parents[4]
INSIDE = ("asman_server.", "asman_worker.", "asman_shared.", "asman.")
"""Where modules may move."""
STAYS = "asman_shared.units"
"""Names of units, which every commit has."""
PROGRAMS = ("bench.peers.asman_frames", "bench.peers.asman_library", "bench.blobs_client", "bench.crowd")
"""Modules that scenarios start as processes of their own."""


def test_scenarios_are_chosen_in_order_and_once() -> None:
    assert [scenario.name for scenario in chosen(["depth", "throughput", "depth"])] == ["depth", "throughput"]
    assert [scenario.name for scenario in chosen([])] == list(USUAL)


def test_an_unknown_scenario_is_told_with_those_that_there_are() -> None:
    with pytest.raises(Unusable, match=r"can't be compared by 'page'; they can by throughput, depth, .*blobs$"):
        chosen(["throughput", "page"])


@pytest.mark.parametrize("scenario", SCENARIOS.values(), ids=SCENARIOS)
def test_every_scenario_takes_its_arguments_and_has_its_constants(scenario: Scenario) -> None:
    module: Any = importlib.import_module(scenario.module)
    parser = argparse.ArgumentParser(exit_on_error=False)
    module.arguments(parser)
    parser.parse_args(list(scenario.arguments))
    parser.parse_args(list(scenario.quick))
    assert callable(module.run)
    for name in scenario.constants:
        where, _, constant = name.rpartition(".")
        assert isinstance(getattr(importlib.import_module(where), constant), int), name


def _imports(file: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def _file(module: str) -> Path | None:
    path = ROOT.joinpath(*module.split("."))
    return next((file for file in (path.with_suffix(".py"), path / "__init__.py") if file.is_file()), None)


def _reached(*start: str) -> dict[str, set[str]]:
    """What modules of this repository import, and those that they import, in turn."""
    found: dict[str, set[str]] = {}
    waiting = list(start)
    while waiting:
        module = waiting.pop()
        file = _file(module)
        if file is not None and module not in found:
            found[module] = set(_imports(file))
            waiting += found[module]
    return found


@pytest.mark.parametrize("name", [each.name for each in SCENARIOS.values() if not each.own_code])
def test_what_measures_another_commit_imports_no_module_that_may_have_moved(name: str) -> None:
    reached = _reached(SCENARIOS[name].module, *PROGRAMS)
    assert "bench.measure" in reached
    inside = {
        f"{module} imports {each}"
        for module, imported in reached.items()
        for each in imported
        if each.startswith(INSIDE) and not each.startswith(STAYS)
    }
    assert inside == set()


def test_a_scenario_that_each_side_measures_by_its_own_code_needs_that() -> None:
    for scenario in SCENARIOS.values():
        if scenario.own_code:
            imported = {each for found in _reached(scenario.module).values() for each in found}
            assert any(each.startswith(("asman_server.", "asman_shared.messages")) for each in imported), scenario
