"""Makes a fork of the fork server a worker of another user, in a mount namespace of its own."""

from __future__ import annotations

import asyncio
import ctypes
import json
import os
import subprocess
import sys
from importlib import import_module
from typing import Final, NoReturn

WORD: Final = "as-user"
"""The first word of a request for such a worker; a script, the user's number, its home and the settings follow."""
_CLONE_NEWNS: Final = 0x00020000
_PR_SET_DUMPABLE: Final = 4


def serve_as_user(script: str, user: str, home: str, settings: str) -> NoReturn:
    """Runs a worker.

    Args:
        script: Commands of a shell that root runs first in the mount namespace.
        user: The number of the user, and of its group.
        home: Its home folder.
        settings: The worker's settings, as JSON.
    """
    # By name: measurements of other commits load this module, too.
    asman_worker = import_module("asman_worker")

    libc = ctypes.CDLL(None, use_errno=True)
    if libc.unshare(_CLONE_NEWNS) != 0:
        raise OSError(ctypes.get_errno(), "no mount namespace can be made")
    subprocess.run(["/bin/sh", "-ec", f"mount --make-rprivate /\n{script}"], check=True)  # noqa: S603
    os.setgroups([])
    number = int(user)
    os.setresgid(number, number, number)
    os.setresuid(number, number, number)
    libc.prctl(_PR_SET_DUMPABLE, 1, 0, 0, 0)  # as after a start of its own
    os.environ["HOME"] = home
    sys.exit(asyncio.run(asman_worker.run_worker(asman_worker.load_config(**json.loads(settings)))))
