"""Runs one scenario on one side; started as a file, by the side's interpreter, in the folder whose bench is to be used.

``python -P PATH/program.py ORDER``, where ORDER is JSON: ``name``, ``module``, ``arguments``, ``constants``,
``packages`` and ``into``, the file for the result. It imports nothing but the standard library and the scenario, so
that it works with the bench of any commit whose scenarios have ``arguments`` and ``run``.
"""

from __future__ import annotations

import argparse
import dataclasses
import importlib.util
import json
import signal
import sys
from pathlib import Path
from typing import Any


def main(order: dict[str, Any]) -> None:
    """Runs the scenario and writes what it found, with the constants that this bench does not have."""
    sys.path.insert(0, str(Path.cwd()))
    # The comparison ends a side by SIGINT, also where it was started by a shell that ignores that.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    scenario: Any = importlib.import_module(order["module"])
    absent = [name for name, value in order["constants"].items() if not _set(name, value)]
    parser = argparse.ArgumentParser(prog=order["name"])
    scenario.arguments(parser)
    report = scenario.run(parser.parse_args(order["arguments"]))
    found = {"report": dataclasses.asdict(report), "absent": absent, "sources": _sources(order["packages"])}
    Path(order["into"]).write_text(json.dumps(found))


def _sources(packages: list[str]) -> dict[str, str]:
    """Where this process finds packages, as every process that it starts does."""
    specs = ((name, importlib.util.find_spec(name)) for name in packages)
    return {name: spec.origin or "" if spec else "" for name, spec in specs}


def _set(name: str, value: int) -> bool:
    module_name, _, constant = name.rpartition(".")
    try:
        module = importlib.import_module(module_name)
    except ModuleNotFoundError:
        return False
    if not hasattr(module, constant):
        return False
    setattr(module, constant, value)
    return True


if __name__ == "__main__":
    main(json.loads(sys.argv[1]))
