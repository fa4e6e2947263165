"""The program that measures, removes and hands over files of users that an ordinary worker's containers have.

It is the root of a user namespace with the ids of containers, whose files its worker can't all read or remove. The
first line of its standard input has the ids; each further line is a request, which is answered with a line. It ends
with its input.
"""

from __future__ import annotations

import json
import os
import stat
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, Final

from ...files.set_bits import strip_set_bits
from ...files.tree import remove_tree, walking
from ...files.trim import trim_folder
from .namespaces import Failed, own_users

_OWNERS_FOLDER: Final = 0o700
_OWNERS_FILE: Final = 0o600


def use(path: str) -> dict[str, Any]:
    """Measures a folder, as `execution.disk_use.folder_use` does."""
    began = time.thread_time()
    size = files = 0
    with walking(Path(path)) as entries:
        for entry in entries:
            if not entry.left:
                files += 1
                size += entry.stat.st_blocks * 512
    return {"bytes": size, "files": files, "cost": time.thread_time() - began}


def remove(path: str) -> dict[str, Any]:
    """Removes a folder with all that is in it."""
    remove_tree(Path(path))
    return {}


def give(path: str) -> dict[str, Any]:
    """Makes all that is in a folder the worker's own, which it can then read and remove."""
    with walking(Path(path), forcing=True) as entries:
        for entry in entries:
            if entry.left:
                continue
            if entry.stat.st_uid or entry.stat.st_gid:
                os.chown(entry.name, 0, 0, dir_fd=entry.at, follow_symlinks=False)
            mode = stat.S_IMODE(entry.stat.st_mode)
            needed = _OWNERS_FOLDER if stat.S_ISDIR(entry.stat.st_mode) else _OWNERS_FILE
            regular = stat.S_ISREG(entry.stat.st_mode) or stat.S_ISDIR(entry.stat.st_mode)
            if regular and mode & needed != needed:
                # All processes of the container are dead, so nothing swaps a link in.
                os.chmod(entry.name, mode | needed, dir_fd=entry.at)
    return {}


def copy(source: str, target: str) -> dict[str, Any]:
    """Copies an image's root; returns the size of the copy."""
    words = ["cp", "-a", "--reflink=auto", "--", f"{source}/.", target]
    done = subprocess.run(words, check=False, capture_output=True, env={"PATH": "/usr/bin:/bin"})  # noqa: S603
    if done.returncode != 0:
        raise OSError(done.stderr.decode("utf-8", "replace").strip()[-300:] or "cp failed")
    return use(target)


def trim(path: str, most: int, age: float) -> dict[str, Any]:
    """Removes old files of a folder that jobs share."""
    return {"left": trim_folder(Path(path), most, age)}


def strip(path: str) -> dict[str, Any]:
    """Takes the set-id bits of the files in a folder away."""
    return {"changed": strip_set_bits(Path(path))}


_WORK: Final = {each.__name__: each for each in (use, remove, give, copy, trim, strip)}


def program(words: list[str]) -> None:
    """Runs this module as a program."""
    del words
    os.umask(0o022)
    try:
        own_users(json.loads(sys.stdin.readline()))
    except Failed as error:
        _say({"failed": str(error)})
        return
    _say({})
    for line in sys.stdin:
        request = json.loads(line)
        try:
            _say(_WORK[request["do"]](*request["with"]))
        except OSError as error:
            _say({"errno": error.errno or 0, "error": error.strerror or str(error)})


def _say(what: dict[str, Any]) -> None:
    sys.stdout.write(json.dumps(what) + "\n")
    sys.stdout.flush()
