"""Many subscribers in one process, as cheap as Python can have them, so that it is the sender who is measured.

``python -m bench.crowd`` takes orders from its standard input, one JSON object a line, and answers each with one line:

- ``dial``: opens connections, says what is to be said first and waits for the first answer of each;
- ``expect``: counts from now on how often a token comes; a further line follows when everyone has had it so often;
- ``stop``: ends.

Each connection is a bare socket in one epoll set. What comes is not parsed but searched for the token, which must stand
in each message once. Times are those of the machine's monotonic clock, so that another process can compare them.
"""

from __future__ import annotations

import base64
import json
import os
import select
import socket
import subprocess
import sys
import time
from collections.abc import Sequence
from typing import Any
from urllib.parse import urlsplit

from bench.open_files import raise_open_files

DIALLING = 64
"""Handshakes that are under way at a time: fewer than asyncio's servers let wait, or some are dropped and come late."""
BUFFER = 256 * 1024
PATIENCE = 60.0
"""Seconds in which something must come when anything is awaited."""
_PING, _PONG = 0x89, 0x8A
_SHORT_PING = b"\x89\x04"
"""How uvicorn's pings begin."""
_MASKED = 0x80
_STDIN = 0


class _Dialled:
    """One connection, and how often the token has come on it."""

    __slots__ = ("count", "fd", "reading", "socket", "tail")

    def __init__(self, connection: socket.socket, *, reading: bool) -> None:
        self.socket = connection
        self.fd = connection.fileno()
        self.count = 0
        self.tail = b""
        self.reading = reading


class _Opening:
    """A connection until its handshake and its first message have been answered."""

    def __init__(self, dialled: _Dialled, first: bytes) -> None:
        self.dialled = dialled
        self._first = first
        self._said = False
        self._heard = b""

    def opened(self) -> bool:
        """Takes what has come; true when it is open."""
        heard = self.dialled.socket.recv(BUFFER)
        if not heard:
            raise RuntimeError("a connection was closed while it was opened")
        self._heard += heard
        if self._said:
            return True
        head, end, _ = self._heard.partition(b"\r\n\r\n")
        if not end:
            return False
        if b" 101 " not in head:
            raise RuntimeError(f"a handshake was answered {head!r}")
        if self._first:
            self.dialled.socket.sendall(_masked(0x82, self._first))
            self._said = True
        return not self._first


class Crowd:
    """Many subscribers in one process, as cheap as Python can have them, so that it is the sender who is measured.

    ``answer`` takes what is said back.
    """

    def __init__(self) -> None:
        self._poll = select.epoll()
        self._all: dict[int, _Dialled] = {}
        self._buffer = bytearray(BUFFER)
        self._view = memoryview(self._buffer)
        self._token = b""
        self._times = 0
        self._left = 0
        self._first = 0
        self._bytes = 0
        self._closed = 0

    # ----------------------------------------------------------------------------------------------- dialling

    def dial(self, address: str, protocol: str, first: Sequence[bytes], stalled: int = 0) -> float:
        """Opens a connection for each of ``first``, says it and waits for an answer; returns the seconds it took.

        Args:
            address: ``ws://host:port/path``.
            protocol: The subprotocol, or none.
            first: First message of each; if empty, nothing is sent or awaited after the handshake.
            stalled: So many of them read nothing after their first answer, and have small buffers.
        """
        begun = time.monotonic()
        parts = urlsplit(address)
        assert parts.hostname is not None
        assert parts.port is not None
        wanted = f"Sec-WebSocket-Protocol: {protocol}\r\n" if protocol else ""
        request = (
            f"GET {parts.path or '/'} HTTP/1.1\r\nHost: {parts.netloc}\r\nUpgrade: websocket\r\n"
            f"Connection: Upgrade\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nSec-WebSocket-Version: 13\r\n"
            f"{wanted}\r\n"
        ).encode()
        opening = select.epoll()
        half: dict[int, _Opening] = {}
        at = 0
        while at < len(first) or half:
            while at < len(first) and len(half) < DIALLING:
                made = socket.socket()
                if at < stalled:
                    made.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
                made.connect((parts.hostname, parts.port))
                made.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                made.sendall(request)
                dialled = _Dialled(made, reading=at >= stalled)
                half[dialled.fd] = _Opening(dialled, first[at])
                opening.register(dialled.fd, select.EPOLLIN)
                at += 1
            ready = opening.poll(PATIENCE)
            if not ready:
                raise RuntimeError(f"{address} did not answer {len(half)} handshakes within {PATIENCE:g} s")
            for fd, _ in ready:
                if half[fd].opened():
                    opening.unregister(fd)
                    self._take(half.pop(fd).dialled)
        opening.close()
        return time.monotonic() - begun

    def _take(self, dialled: _Dialled) -> None:
        dialled.socket.setblocking(False)
        self._all[dialled.fd] = dialled
        if dialled.reading:
            self._poll.register(dialled.fd, select.EPOLLIN)

    # ------------------------------------------------------------------------------------------------ counting

    def expect(self, token: bytes, times: int) -> None:
        """Resets the count."""
        self._token, self._times = token, times
        self._first = self._bytes = 0
        self._left = 0
        for dialled in self._all.values():
            if dialled.reading:
                self._left += 1
                dialled.count = 0
                dialled.tail = b""

    def _read(self, dialled: _Dialled) -> bool:
        """Takes what has come on one; true when everyone has had all that was expected."""
        try:
            size = dialled.socket.recv_into(self._buffer)
        except BlockingIOError:
            return False
        except ConnectionError:
            size = 0
        if not size:
            self._gone(dialled)
            return False
        self._bytes += size
        buffer = self._buffer
        if buffer[0] == _PING or buffer.find(_SHORT_PING, 0, size) >= 0:
            self._answer_pings(dialled, bytes(self._view[:size]))
        if not self._token:
            return False
        if dialled.tail or buffer[size - 1] in self._token:
            found = self._count_cut(dialled, bytes(self._view[:size]))
        else:
            found = buffer.count(self._token, 0, size)
        if not found:
            return False
        before = dialled.count
        dialled.count = before + found
        if not self._first:
            self._first = time.monotonic_ns()
        if before < self._times <= dialled.count:
            self._left -= 1
            return self._left == 0
        return False

    def _count_cut(self, dialled: _Dialled, chunk: bytes) -> int:
        """Counts where a token may be cut in two: its beginning is kept, and one that was found is not found again."""
        chunk = dialled.tail + chunk
        found = chunk.count(self._token)
        keep = len(self._token) - 1
        rest = chunk[max(len(chunk) - keep, chunk.rfind(self._token) + len(self._token) if found else 0) :]
        cut = [length for length in range(1, keep + 1) if rest.endswith(self._token[:length])]
        dialled.tail = rest[-cut[-1] :] if cut else b""
        return found

    def _gone(self, dialled: _Dialled) -> None:
        self._poll.unregister(dialled.fd)
        dialled.socket.close()
        del self._all[dialled.fd]
        self._closed += 1

    def _answer_pings(self, dialled: _Dialled, chunk: bytes) -> None:
        """Answers pings of a piece that begins with a frame, so that the connection is kept."""
        at = 0
        while at + 2 <= len(chunk):
            size, head = chunk[at + 1] & 0x7F, 2
            if size >= 126:
                width = 2 if size == 126 else 8
                size, head = int.from_bytes(chunk[at + 2 : at + 2 + width], "big"), 2 + width
            if chunk[at] == _PING:
                dialled.socket.send(_masked(_PONG, chunk[at + head : at + head + size]))
            at += head + size

    # ------------------------------------------------------------------------------------------------- serving

    def serve(self) -> None:
        """Takes orders until there are no more."""
        self._poll.register(_STDIN, select.EPOLLIN)
        while True:
            for fd, _ in self._poll.poll():
                if fd == _STDIN:
                    line = sys.stdin.buffer.readline()
                    if not line or not self._obey(json.loads(line)):
                        return
                elif self._read(self._all[fd]):
                    _say(
                        first=self._first,
                        last=time.monotonic_ns(),
                        bytes=self._bytes,
                        closed=self._closed,
                    )

    def _obey(self, order: dict[str, Any]) -> bool:
        match order.pop("do"):
            case "dial":
                order["first"] = [base64.b64decode(each) for each in order["first"]]
                _say(seconds=self.dial(**order))
            case "expect":
                self.expect(base64.b64decode(order["token"]), order["times"])
                _say(expecting=self._left)
            case _:
                return False
        return True


def _masked(first: int, payload: bytes) -> bytes:
    """A client's frame, masked with zeros."""
    size = len(payload)
    if size < 126:
        return bytes((first, _MASKED | size)) + b"\0\0\0\0" + payload
    return bytes((first, _MASKED | 126)) + size.to_bytes(2, "big") + b"\0\0\0\0" + payload


def _say(**what: Any) -> None:
    os.write(1, json.dumps(what).encode() + b"\n")


class CrowdProcess:
    """A crowd in a process of its own. Use as a context manager."""

    def __enter__(self) -> CrowdProcess:
        """Starts it."""
        self._process = subprocess.Popen(
            [sys.executable, "-m", "bench.crowd"], stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        return self

    def __exit__(self, *_: object) -> None:
        """Ends it."""
        with self._process:
            self._process.kill()

    def _order(self, **what: Any) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(what).encode() + b"\n")
        self._process.stdin.flush()

    def _heard(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        ready, _, _ = select.select([self._process.stdout], [], [], PATIENCE)
        line = self._process.stdout.readline() if ready else b""
        if not line:
            raise RuntimeError(f"the subscribers have not had what they expect within {PATIENCE:g} s")
        answer: dict[str, Any] = json.loads(line)
        return answer

    def dial(self, address: str, protocol: str, first: Sequence[bytes], stalled: int = 0) -> float:
        """As `Crowd.dial`."""
        said = [base64.b64encode(each).decode() for each in first]
        self._order(do="dial", address=address, protocol=protocol, first=said, stalled=stalled)
        return float(self._heard()["seconds"])

    def expect(self, token: bytes, times: int = 1) -> int:
        """Counts from now on; returns how many are counted. Then call `arrived`."""
        self._order(do="expect", token=base64.b64encode(token).decode(), times=times)
        return int(self._heard()["expecting"])

    def arrived(self) -> dict[str, Any]:
        """Waits until everyone has had all: when the ``first`` and the ``last`` had, in ns, and ``bytes`` of all."""
        return self._heard()


if __name__ == "__main__":
    raise_open_files()
    Crowd().serve()
