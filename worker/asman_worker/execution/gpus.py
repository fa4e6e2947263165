"""The gpus of this machine, as its driver shows them, and which of them are for jobs."""

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
    """The gpus that are here: their number and, where the driver tells it, their unchanging id (else the number).

    Args:
        proc: Where the driver describes them.
        devices: Where their devices are.
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
    """The ids of the gpus that are for jobs.

    Args:
        wanted: ``0``, ``all``, a count, or numbers and ids (``#0,#2``, ``GPU-…``).
        here: What `discover` found.

    Raises:
        BadRequest: It can't be read, or names what is not here.
    """
    text = wanted.strip()
    if text in ("", "0"):
        return ()
    ids = list(here.values())
    if text == "all":
        return tuple(ids)
    if text.isdigit():
        if int(text) > len(ids):
            raise BadRequest(f"--gpus {text}, and this machine shows {len(ids)}: is the driver loaded?", field="gpus")
        return tuple(ids[: int(text)])
    chosen: list[str] = []
    for word in text.replace(",", " ").split():
        gpu = here.get(word[1:]) if word.startswith("#") else word if word in ids else None
        if gpu is None:
            have = ", ".join(f"#{number} {each}" for number, each in here.items()) or "none"
            raise BadRequest(
                f"there is no gpu '{word[:80]}' here; there is: {have}. Give a count, 'all', numbers (#0,#1) or ids",
                field="gpus",
            )
        if gpu not in chosen:
            chosen.append(gpu)
    return tuple(chosen)
