"""Finds the gpus of this machine through its driver, and selects those that jobs may use."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

from asman_shared.errors import BadRequest

_PROC: Final = Path("/proc/driver/nvidia/gpus")
_DEVICES: Final = Path("/dev")
_MOST: Final = 1024
_MINOR: Final = re.compile(r"^Device Minor:\s*(\d+)", re.MULTILINE)
_UUID: Final = re.compile(r"^GPU UUID:\s*(GPU-[0-9a-f-]+)", re.MULTILINE)
_DEVICE: Final = re.compile(r"nvidia(\d+)")


def discover(proc: Path = _PROC, devices: Path = _DEVICES) -> dict[str, str]:
    """Returns the gpus of this machine: number to permanent id, or number to number where the driver gives no id.

    Args:
        proc: The folder in which the driver describes the gpus.
        devices: The folder of their device files.
    """
    found: dict[int, str] = {}
    for about in sorted(proc.glob("*/information")):
        try:
            text = about.read_text()
        except OSError:
            continue
        if minor := _MINOR.search(text):
            uuid = _UUID.search(text)
            found[int(minor[1])] = uuid[1] if uuid else minor[1]
    if not found and devices.is_dir():
        for device in devices.iterdir():
            if number := _DEVICE.fullmatch(device.name):
                found[int(number[1])] = number[1]
    return {str(number): found[number] for number in sorted(found)[:_MOST]}


def choose(wanted: str, here: dict[str, str]) -> tuple[str, ...]:
    """Returns the ids of the gpus that jobs may use.

    Args:
        wanted: ``0``, ``all``, a count, or numbers and ids (``#0,#2``, ``GPU-…``).
        here: The machine's gpus, from `discover`.

    Raises:
        BadRequest: ``wanted`` can't be parsed, or names a gpu that this machine does not have.
    """
    text = wanted.strip()
    if text in ("", "0"):
        return ()
    ids = list(here.values())
    if text == "all":
        return tuple(ids)
    if text.isdigit():
        if int(text) > len(ids):
            raise BadRequest(f"--gpus {text}, but this machine has {len(ids)}: is the driver loaded?", field="gpus")
        return tuple(ids[: int(text)])
    chosen: list[str] = []
    for word in text.replace(",", " ").split():
        gpu = here.get(word[1:]) if word.startswith("#") else word if word in ids else None
        if gpu is None:
            have = ", ".join(f"#{number} {each}" for number, each in here.items()) or "none"
            raise BadRequest(
                f"there is no gpu '{word[:80]}' here, only {have}. Give a count, 'all', numbers (#0,#1) or ids",
                field="gpus",
            )
        if gpu not in chosen:
            chosen.append(gpu)
    return tuple(chosen)
