"""Connects to a host with several addresses, of which some may not answer (RFC 8305, "happy eyeballs")."""

from __future__ import annotations

import errno
import os
import selectors
import socket
import time
from collections import deque
from itertools import chain, zip_longest
from typing import Any, Final

EYEBALLS_SECONDS: Final = 0.25
"""Time after which the next address of a host is tried beside the one that has not answered, in seconds."""
_BEGUN: Final = (0, errno.EINPROGRESS, errno.EWOULDBLOCK)


def connect_first(address: tuple[str, int], timeout: float, _source: Any = None) -> socket.socket:
    """Returns a socket to the first address of a host that answers, as `socket.create_connection` does for one.

    Args:
        address: Host and port.
        timeout: Time limit for connecting, and then for each step of the socket, in seconds.

    Raises:
        TimeoutError: No address answered in time.
        OSError: The host is not known, or all of its addresses refuse.
    """
    waiting = deque(_interleaved(socket.getaddrinfo(*address, type=socket.SOCK_STREAM)))
    failed = OSError(errno.EHOSTUNREACH, os.strerror(errno.EHOSTUNREACH))
    end = time.monotonic() + timeout
    following = 0.0
    with selectors.DefaultSelector() as trying:
        try:
            while waiting or trying.get_map():
                now = time.monotonic()
                if now >= end:
                    raise TimeoutError("timed out")
                if waiting and (now >= following or not trying.get_map()):
                    following = now + EYEBALLS_SECONDS
                    try:
                        _begin(trying, waiting.popleft())
                    except OSError as error:
                        failed = error
                        following = now
                    continue
                for key, _ in trying.select(min(end, following if waiting else end) - now):
                    made: socket.socket = trying.unregister(key.fileobj).data
                    code = made.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
                    if code == 0:
                        made.settimeout(timeout)
                        return made
                    made.close()
                    failed = OSError(code, os.strerror(code))
                    following = now
        finally:
            for key in list(trying.get_map().values()):
                key.data.close()
    raise failed


def _begin(trying: selectors.BaseSelector, info: tuple[Any, ...]) -> None:
    family, kind, protocol, _, where = info
    made = socket.socket(family, kind, protocol)
    try:
        made.setblocking(False)
        if (code := made.connect_ex(where)) not in _BEGUN:
            raise OSError(code, os.strerror(code))
        trying.register(made, selectors.EVENT_WRITE, made)
    except BaseException:
        made.close()
        raise


def _interleaved(found: list[tuple[Any, ...]]) -> list[tuple[Any, ...]]:
    """Returns addresses so that those of IPv6 and IPv4 take turns, beginning with the family of the first."""
    families: dict[int, list[tuple[Any, ...]]] = {}
    for each in found:
        families.setdefault(each[0], []).append(each)
    return [each for each in chain.from_iterable(zip_longest(*families.values())) if each is not None]
