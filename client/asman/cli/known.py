"""The queues that this user has used, in a file that only this user can read, because a queue's name is a secret."""

from __future__ import annotations

import json
import os
import re
import time
from pathlib import Path
from typing import Any, Final

MOST: Final = 200
"""Maximum number of queues in the file; the least recently used one is dropped first."""
FRESH_MS: Final = 60_000
"""Time after a use during which another use is not written to the file, in milliseconds."""
FILE_BYTES: Final = 1024 * 1024
"""Maximum number of bytes read from the file."""
_NAME: Final = re.compile(r"[A-Za-z0-9._-]{1,40}")
"""Pattern of a user's names for queues."""
CONFIG_VARIABLE: Final = "ASMAN_CONFIG_HOME"
"""Environment variable with the folder of the file."""


def config_folder() -> Path:
    """Returns the folder of this user's settings for the command line."""
    named = os.environ.get(CONFIG_VARIABLE)
    if named:
        return Path(named)
    home = os.environ.get("XDG_CONFIG_HOME")
    return (Path(home) if home else Path.home() / ".config") / "asman"


def known_queues() -> list[dict[str, Any]]:
    """Reads the queues, latest first: ``url``, ``name`` (may be empty) and ``used`` (in epoch milliseconds).

    Raises:
        OSError: The file exists but can't be read.
    """
    try:
        with (config_folder() / "queues.json").open("rb") as file:
            value = json.loads(file.read(FILE_BYTES))
    except (FileNotFoundError, NotADirectoryError, ValueError):
        return []
    found = [each for each in value if isinstance(each, dict)] if isinstance(value, list) else []
    sound = [each for each in found if isinstance(each.get("url"), str) and isinstance(each.get("used"), int)]
    return sorted(({"name": "", **each} for each in sound), key=lambda each: -each["used"])


def remember(url: str, name: str = "") -> None:
    """Records that a queue was used; failing to write the file is an error only if the queue gets a name.

    Args:
        url: The queue's URL.
        name: This user's name for the queue; another queue with the same name loses it.

    Raises:
        OSError: The name can't be written.
    """
    try:
        _remember(url, name)
    except OSError:
        if name:
            raise


def _remember(url: str, name: str) -> None:
    known = known_queues()
    before = next((each for each in known if each["url"] == url), None)
    called = name or (str(before["name"]) if before else "")
    others = [each for each in known if each["url"] != url]
    for each in others:
        if called and each["name"] == called:
            each["name"] = ""
    now = time.time_ns() // 1_000_000
    if before is not None and called == before["name"] and now - before["used"] < FRESH_MS and known[0] is before:
        return
    _write([{"url": url, "name": called, "used": now}, *others][:MOST])


def forget(url: str) -> bool:
    """Removes a queue from the file; returns whether it was there.

    Raises:
        OSError: The file can't be read or written.
    """
    known = known_queues()
    left = [each for each in known if each["url"] != url]
    if len(left) < len(known):
        _write(left)
    return len(left) < len(known)


def _write(queues: list[dict[str, Any]]) -> None:
    import secrets  # slow to import

    folder = config_folder()
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    part = folder / f".queues.{secrets.token_hex(6)}"
    try:
        with os.fdopen(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            json.dump(queues, file, indent=1)
        part.replace(folder / "queues.json")
    finally:
        part.unlink(missing_ok=True)


def check_name(name: str) -> str:
    """Checks a user's name for a queue.

    Raises:
        BadRequest: The name is not allowed.
    """
    from asman_shared.errors import BadRequest

    if _NAME.fullmatch(name) is None:
        raise BadRequest(f"'{name[:60]}' is not a valid name: use 1 to 40 letters, digits, '.', '_' or '-'")
    return name


def named(name: str) -> str:
    """Returns the URL of the queue with this user's name ``name``.

    Raises:
        NotFound: There is no such queue.
        OSError: The file can't be read.
    """
    from asman_shared.errors import NotFound

    for each in known_queues():
        if each["name"] == name:
            return str(each["url"])
    raise NotFound(
        f"you have no queue named '{name}': 'asman queue list' lists them, and 'asman queue add URL --as {name}' "
        "adds one"
    )
