"""Ports on loopback that nobody listens on."""

from __future__ import annotations

import socket
import time

_given: set[int] = set()


def free_port() -> int:
    """A TCP port that is free now and was not handed out before in this run."""
    while True:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = int(probe.getsockname()[1])
        if port not in _given:
            _given.add(port)
            return port


def wait_for_port(port: int, seconds: float = 30) -> None:
    """Wait until something listens on a port.

    Raises:
        AssertionError: Nothing does in time.
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
