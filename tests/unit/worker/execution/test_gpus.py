"""The gpus of this machine: found by their driver or devices, and chosen by their owner."""

from __future__ import annotations

from pathlib import Path

import pytest

from asman_shared.errors import BadRequest
from asman_worker.execution.gpus import choose, discover


def machine(root: Path) -> dict[str, str]:
    """A machine with two gpus, as its driver shows it."""
    for number, name in enumerate(("0000:01:00.0", "0000:02:00.0")):
        folder = root / "proc" / name
        folder.mkdir(parents=True)
        (folder / "information").write_text(
            f"Model: \t\t Some\nGPU UUID: \t GPU-{number}{number}-ab\nDevice Minor: \t {number}\n"
        )
    return discover(root / "proc", root / "dev")


def test_gpus_are_discovered_from_the_driver(tmp_path: Path) -> None:
    assert machine(tmp_path) == {"0": "GPU-00-ab", "1": "GPU-11-ab"}


def test_gpus_are_discovered_from_their_devices_too(tmp_path: Path) -> None:
    for name in ("nvidia0", "nvidia3", "nvidiactl", "nvidia-uvm", "null"):
        (tmp_path / name).touch()
    assert discover(tmp_path / "none", tmp_path) == {"0": "0", "3": "3"}


@pytest.mark.parametrize(
    ("wanted", "ids"),
    [
        ("0", ()),
        ("", ()),
        ("1", ("GPU-00-ab",)),
        ("all", ("GPU-00-ab", "GPU-11-ab")),
        ("#1", ("GPU-11-ab",)),
        ("#1,GPU-00-ab", ("GPU-11-ab", "GPU-00-ab")),
    ],
)
def test_gpus_are_chosen_by_count_number_or_id(tmp_path: Path, wanted: str, ids: tuple[str, ...]) -> None:
    assert choose(wanted, machine(tmp_path)) == ids


@pytest.mark.parametrize("wanted", ["3", "#7", "GPU-x", "-1", "some"])
def test_a_gpu_that_is_not_here_is_not_promised(tmp_path: Path, wanted: str) -> None:
    with pytest.raises(BadRequest):
        choose(wanted, machine(tmp_path))
