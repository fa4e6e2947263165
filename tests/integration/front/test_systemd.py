"""The units of systemd are right, confine what they can, and start commands that exist."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from asman_worker.config import WorkerConfig
from devtools.asman_processes import asman
from devtools.patience import PATIENCE

ROOT = Path(__file__).resolve().parents[3]
UNITS = sorted((ROOT / "deploy" / "systemd").iterdir())
INSTALLED = "/opt/asman/bin/asman"
MOST_EXPOSED = {"asman-hub.service": 15, "asman-worker.service": 65, "asman-worker-oci.service": 100}
"""Greatest exposure that ``systemd-analyze security`` may find, in tenths: 100 is a service without any bounds."""


def here(unit: Path, folder: Path, text: str | None = None) -> Path:
    """A copy of a unit that starts the command of this environment."""
    made = folder / unit.name
    command = str(Path(sys.executable).with_name("asman"))
    made.write_text((text or unit.read_text()).replace(INSTALLED, command))
    return made


def analyze(*words: str) -> subprocess.CompletedProcess[str]:
    program = shutil.which("systemd-analyze")
    assert program, "systemd-analyze is not installed; make setup installs it"
    return subprocess.run([program, *words], capture_output=True, text=True, timeout=PATIENCE, check=False)


def verify(unit: Path) -> str:
    """What systemd finds wrong with a unit."""
    done = analyze("verify", "--man=no", str(unit))
    said = [line for line in done.stderr.splitlines() if unit.stem in line]
    assert said or done.returncode == 0, done.stderr
    return "\n".join(said)


def test_there_are_units_for_a_hub_and_for_workers_with_and_without_an_engine() -> None:
    assert [unit.name for unit in UNITS] == sorted(MOST_EXPOSED)


@pytest.mark.parametrize("unit", UNITS, ids=lambda unit: unit.name)
def test_systemd_finds_nothing_wrong(unit: Path, tmp_path: Path) -> None:
    assert verify(here(unit, tmp_path)) == ""


@pytest.mark.parametrize(
    ("right", "wrong"),
    [("Restart=", "Rstart="), ("LimitNOFILE=1048576", "LimitNOFILE=many"), (INSTALLED, "/nowhere/asman")],
)
def test_what_is_wrong_would_be_found(right: str, wrong: str, tmp_path: Path) -> None:
    unit = ROOT / "deploy/systemd/asman-hub.service"
    assert right in unit.read_text()
    assert verify(here(unit, tmp_path, unit.read_text().replace(right, wrong, 1).replace(f"{right} ", f"{wrong} ")))


@pytest.mark.parametrize("unit", UNITS, ids=lambda unit: unit.name)
def test_a_unit_is_no_more_exposed_than_it_was(unit: Path, tmp_path: Path) -> None:
    most = MOST_EXPOSED[unit.name]
    done = analyze("security", "--offline=yes", "--no-pager", f"--threshold={most}", str(here(unit, tmp_path)))
    assert done.returncode == 0, done.stdout[-300:]


@pytest.mark.parametrize("unit", UNITS, ids=lambda unit: unit.name)
def test_each_command_and_option_in_it_exists(unit: Path) -> None:
    text = unit.read_text().replace("\\\n", " ")
    (command,) = re.findall(rf"^ExecStart={INSTALLED} (\w+) ", text, re.MULTILINE)
    assert command == ("hub" if unit.name == "asman-hub.service" else "worker")
    told = asman(command, "--help", seconds=PATIENCE)
    options = set(re.findall(r"(?<!\S)\(?(--[a-z][a-z-]+)", re.sub(r"systemctl .*", "", text)))
    assert len(options) >= 3
    for option in options:
        assert re.search(rf"(?<![\w-]){option}(?![\w-])", told.stdout), f"asman {command} has no {option}"


@pytest.mark.parametrize("unit", UNITS, ids=lambda unit: unit.name)
def test_a_drain_ends_before_systemd_ends_its_patience(unit: Path) -> None:
    text = unit.read_text()
    if "worker" in unit.name:
        minutes = re.search(r"--drain-timeout (\d+)m ", text)
        patience = re.search(r"^TimeoutStopSec=(\d+)min$", text, re.MULTILINE)
        assert minutes, text
        assert patience, text
        grace = WorkerConfig.model_fields["stop_grace"].default / 60_000
        assert int(minutes[1]) + grace < int(patience[1])
    assert "KillSignal=SIGTERM" in text


def test_the_folders_of_the_units_are_those_of_their_commands() -> None:
    for unit in UNITS:
        text = unit.read_text().replace("\\\n", " ")
        folder = re.search(r"^StateDirectory=(\S+)$", text, re.MULTILINE)
        assert folder, unit
        assert f"--data-dir /var/lib/{folder[1]} " in text.replace("\n", " "), unit
