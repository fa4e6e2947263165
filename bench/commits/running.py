"""One scenario on one side: a process of the side's interpreter that measures, and its figures."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from bench.commits import program
from bench.commits.commands import last_line, shown
from bench.commits.figures import Figure, figures_of
from bench.commits.processes import PATIENCE, below, end_others
from bench.commits.scenarios import Scenario, Unusable
from bench.commits.sides import Side

LONGEST: Final = 300.0
"""Time that one run may take, in seconds; each takes about ten on a machine that does nothing else."""
PACKAGES: Final = ("asman", "asman_server", "asman_shared", "asman_worker")
"""What a side must have from its own sources."""
PROGRAM: Final = Path(program.__file__)


@dataclass(frozen=True)
class Run:
    """What one run gave.

    Attributes:
        figures: By name.
        absent: Constants that could not be set, because the side's bench does not have them.
    """

    figures: dict[str, Figure]
    absent: Sequence[str] = field(default=())


def run(scenario: Scenario, side: Side, folder: Path, *, driver: Path, quick: bool = False) -> Run:
    """Measures a side once. When this returns or raises, nothing that it started still runs.

    Args:
        scenario: What is measured.
        side: The build.
        folder: Takes the log and the result.
        driver: The checkout whose bench measures, unless the scenario belongs to the side's own.
        quick: Whether the sizes are those that only try it.

    Raises:
        Unusable: The side does not start, does not end, or something of it could not be measured.
    """
    code = side.root if scenario.own_code else driver
    stem = f"{scenario.name}-{side.commit[:12] or 'working-tree'}"
    log, into = folder / f"{stem}.log", folder / f"{stem}.json"
    folder.mkdir(parents=True, exist_ok=True)
    into.unlink(missing_ok=True)
    order = {
        "name": scenario.name,
        "module": scenario.module,
        "arguments": list(scenario.quick if quick else scenario.arguments),
        "constants": dict(scenario.constants),
        "packages": list(PACKAGES),
        "into": str(into),
    }
    already = below()
    try:
        with log.open("wb") as said:
            process = subprocess.Popen(
                [str(side.python), "-P", str(PROGRAM), json.dumps(order)],
                cwd=code,
                env=_environment(),
                stdin=subprocess.DEVNULL,
                stdout=said,
                stderr=said,
                start_new_session=True,
            )
        try:
            status = process.wait(LONGEST)
        except subprocess.TimeoutExpired:
            raise Unusable(f"{side.name} did not end {scenario.name} within {LONGEST:g} s; see {shown(log)}") from None
        finally:
            _end(process)
    finally:
        end_others(already)
    if status or not into.is_file():
        raise Unusable(
            f"{side.name} could not run {scenario.name}: {last_line(log)} ({shown(log)} has all that it said)"
        )
    result = json.loads(into.read_text())
    into.unlink()
    for name, source in result["sources"].items():
        if not Path(source).is_relative_to(side.root):
            raise Unusable(f"{side.name} was not measured: its {name} came from {source or 'nowhere'}")
    try:
        figures = figures_of(result["report"])
    except Unusable as error:
        raise Unusable(f"{side.name} could not run {scenario.name}: {error}") from None
    return Run(figures, result["absent"])


def _environment() -> dict[str, str]:
    """This process's environment without what would lead a side to other sources or settings."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("ASMAN_", "PYTHON"))}
    return {**kept, "COLUMNS": "200", "NO_COLOR": "1"}


def _end(process: subprocess.Popen[bytes]) -> None:
    """Asks a process that still runs to end, so that it can end what it has started; kills it when it does not."""
    if process.poll() is not None:
        return
    process.send_signal(signal.SIGINT)
    try:
        process.wait(PATIENCE)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
