"""Ten thousand files in, ten thousand files out, through a real hub and a real worker."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from asman_shared import limits
from devtools.asman_processes import AsmanProcesses, HubProcess, asman

#: Each output is its input and a letter more; one file in a hundred has bytes of its own.
COMMAND = "sh -c 'cd $JOB_INPUTS/in && for f in *; do read x < $f; echo ${x}! > $JOB_OUTPUTS/$f; done'"


def test_ten_thousand_small_files_go_through_a_job(
    hub_process: Callable[..., HubProcess], processes: AsmanProcesses, tmp_path: Path
) -> None:
    hub = hub_process()
    processes.worker(hub.queue("many"), "--executor", "process", "--data-dir", str(tmp_path / "worker"))
    (tmp_path / "in").mkdir()
    for number in range(limits.INPUTS):
        (tmp_path / "in" / f"{number:04}").write_text(f"{number % 100}\n")
    ran = asman("job", "add", hub.queue("many"), "-f", "in", "-c", COMMAND, "-o", "out", folder=tmp_path, seconds=90)
    assert ran.returncode == 0, ran.stderr
    saved = sorted((tmp_path / "out").iterdir())
    assert [path.name for path in saved] == [f"{number:04}" for number in range(limits.INPUTS)]
    assert [path.read_text() for path in saved] == [f"{number % 100}!\n" for number in range(limits.INPUTS)]


def test_more_files_than_a_definition_can_name_are_refused_with_the_way_out(
    hub_process: Callable[..., HubProcess], tmp_path: Path
) -> None:
    hub = hub_process()
    (tmp_path / "in").mkdir()
    for number in range(limits.INPUTS):
        (tmp_path / "in" / f"{number:030}").write_text(f"{number:060}\n")
    ran = asman("job", "add", hub.queue("many"), "-f", "in", "-c", "true", folder=tmp_path)
    assert ran.returncode not in (0, 1)
    assert "its 10000 files alone take about 1" in ran.stderr
    assert "pack them into one archive, and unpack it in the command" in ran.stderr
    assert "Traceback" not in ran.stderr
