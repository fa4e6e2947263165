"""Claims a bridge of containers for one process, for exactly as long as that process lives.

A claim is a socket with the bridge's name in the namespace of names that Linux keeps for each network namespace: the
very one in which the bridge and its rules are. The kernel gives it to one process at a time and takes it back when that
process ends, however it ends. A process that can take a claim therefore knows that its former owner is dead.
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
        """Claims a bridge; None when another process has, or when this system has no such names."""
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
    """Names this network namespace, as long as the machine is up; empty when that can't be said."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        return f"{boot}/{os.stat('/proc/self/ns/net').st_ino}"  # noqa: PTH116 - a path of the kernel's
    except OSError:
        return ""
