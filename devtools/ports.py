"""Ports on loopback that nobody listens on."""

from __future__ import annotations

import atexit
import contextlib
import socket
import time
from collections import deque
from random import Random

from devtools.patience import PATIENCE

_RANGE = range(10_100, 32_000)
"""Ports below those that Linux uses for outgoing connections, so that none of these is taken meanwhile."""
_random = Random()  # noqa: S311
CLAIMS = 200
"""The newest ports that were handed out; older ones are in use, or free again."""
_claims: deque[socket.socket] = deque()


def free_port() -> int:
    """Returns a TCP port that is free now, and that no other run of these tests on this machine hands out."""
    while True:
        port = _random.choice(_RANGE)
        claim = socket.socket(socket.AF_UNIX)
        with contextlib.suppress(OSError), socket.socket() as probe:
            # A name in the kernel that ends with this process, however it ends.
            claim.bind(f"\0asman-test-port-{port}")
            probe.bind(("127.0.0.1", port))
            _claims.append(claim)
            if len(_claims) > CLAIMS:
                _claims.popleft().close()
            return port
        claim.close()


@atexit.register
def _release_claims() -> None:
    """Close what holds the names, so that Python tells of no open sockets at its end."""
    while _claims:
        _claims.popleft().close()


def wait_for_port(port: int, seconds: float = PATIENCE) -> None:
    """Wait until something listens on a port.

    Raises:
        AssertionError: Nothing listens in time.
    """
    deadline = time.monotonic() + seconds
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
        except OSError:
            assert time.monotonic() < deadline, f"nothing listens on port {port}"
            time.sleep(0.02)
        else:
            return
