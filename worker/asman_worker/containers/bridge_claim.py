"""Claims a bridge of containers for one process, for exactly as long as that process lives.

A claim is an abstract socket with the bridge's name. Linux keeps abstract names per network namespace, so the claim is
in the namespace of the bridge and its rules. The kernel gives a name to one process at a time and releases it when that
process ends in any way. A process that gets a claim therefore knows that its former owner is dead.
"""

from __future__ import annotations

import os
import socket
from pathlib import Path


class BridgeClaim:
    """A claim that is held until it is closed."""

    def __init__(self, held: socket.socket) -> None:
        self._held = held

    @classmethod
    def take(cls, bridge: str) -> BridgeClaim | None:
        """Claims a bridge; returns None when another process has the claim, or this system has no abstract sockets."""
        try:
            held = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC)
        except (AttributeError, OSError):
            return None
        try:
            held.bind(f"\0{bridge}")
        except OSError:
            held.close()
            return None
        return cls(held)

    def close(self) -> None:
        """Releases the claim."""
        self._held.close()


def here() -> str:
    """Returns an id of this network namespace, valid until the machine restarts; empty when it is not known."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        return f"{boot}/{os.stat('/proc/self/ns/net').st_ino}"  # noqa: PTH116 - a path of the kernel's
    except OSError:
        return ""
