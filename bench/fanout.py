"""Fan-out: one change to 100, 1,000 and 5,000 subscribers, beside what else one would broadcast with."""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from importlib.metadata import version
from pathlib import Path
from statistics import median
from typing import Protocol

import msgpack
import psutil
from websockets.sync.client import connect
from websockets.typing import Subprotocol

from bench.crowd import CrowdProcess
from bench.fanout_peers import TOKEN
from bench.measure import Report
from bench.picows_peer import picows_python
from devtools.asman_processes import HubProcess

SUBSCRIBERS = (100, 1000, 5000)
TOGETHER = 8
"""Changes that happen in one turn of the loop, where that is measured."""
AHEAD = 8
"""Jobs of the client that are on their way, where changes are made in a row: some are written while others are told."""
ALONE = 8
"""Changes that are made alone in one turn."""
LEAST = 24
"""Changes of a row at least."""
PROTOCOL = "asman.v1.msgpack"
HELLO: bytes = msgpack.packb([{"type": "hello", "follow": "queue"}])
PEERS: dict[str, Callable[[], str]] = {
    "websockets": lambda: sys.executable,
    "starlette": lambda: sys.executable,
    "picows": picows_python,
}
"""Which interpreter each of them needs."""
CHANGED: bytes = msgpack.packb("type") + msgpack.packb("changed")
"""In each change once."""


def arguments(parser: argparse.ArgumentParser) -> None:
    """How many of what."""
    parser.add_argument("--subscribers", type=int, nargs="+", default=SUBSCRIBERS, help="sizes [100 1000 5000]")
    parser.add_argument("--rounds", type=int, default=3, help="turns that each system has [3]")
    parser.add_argument("--sends", type=int, default=100_000, help="changes times subscribers of one row [100000]")
    parser.add_argument("--peers", nargs="*", choices=PEERS, default=list(PEERS), help="measured beside it [all]")


def client_address(hub: HubProcess, queue: str) -> str:
    """Where clients of a queue dial."""
    return f"{hub.queue(queue)}/client".replace("http", "ws", 1)


class System(Protocol):
    """What is measured.

    Attributes:
        name: In the table.
        pid: Of the process that sends.
        address: Where subscribers dial.
        protocol: The subprotocol that they ask for.
        hello: What they say first.
        token: In each change once.
    """

    name: str
    pid: int
    address: str
    protocol: str
    hello: bytes
    token: bytes

    def change(self, count: int) -> None:
        """Makes so many changes at once."""

    def row(self, count: int) -> None:
        """Makes so many changes, one after the other."""

    def settled(self) -> None:
        """Called when all subscribers have had them."""


class HubSystem:
    """A queue of a hub. A change is a job that a client submits, and it is durable before it is told.

    Args:
        pid: The hub.
        address: Where clients of the queue dial.
        image: Of all its jobs.
    """

    name = "asman"
    protocol = PROTOCOL
    hello = HELLO
    token = CHANGED

    def __init__(self, pid: int, address: str, image: str = "a") -> None:
        self.pid = pid
        self.address = address
        self._image = image
        self._stack = ExitStack()
        dialled = connect(
            self.address, subprotocols=[Subprotocol(PROTOCOL)], compression=None, max_size=None, ping_interval=None
        )
        self._socket = self._stack.enter_context(dialled)
        self._socket.send(msgpack.packb([{"type": "hello"}]))
        self._jobs = 0
        self._unanswered = 0

    def change(self, count: int) -> None:
        """Submits so many jobs in one frame."""
        submits = []
        for _ in range(count):
            self._jobs += 1
            definition = {"image": self._image, "command": ["echo", str(self._jobs)]}
            submits.append({"type": "submit", "ref": self._jobs, "definition": definition, "follow": False})
        self._unanswered += count
        self._socket.send(msgpack.packb(submits))

    def row(self, count: int) -> None:
        """Submits so many jobs, each when one before has been accepted."""
        for _ in range(count):
            self.change(1)
            self._answered(AHEAD - 1)

    def settled(self) -> None:
        """Reads the answers."""
        self._answered(0)

    def _answered(self, left: int) -> None:
        while self._unanswered > left:
            frame = self._socket.recv()
            assert isinstance(frame, bytes)
            for message in msgpack.unpackb(frame):
                if message["type"] == "error":
                    raise RuntimeError(message["message"])
                self._unanswered -= message["type"] == "accepted"

    def close(self) -> None:
        """Ends the client."""
        self._stack.close()


class PeerSystem:
    """One of `bench.fanout_peers` in a process of its own."""

    protocol = ""
    hello = b""
    token = TOKEN

    def __init__(self, kind: str, python: str, size: int) -> None:
        self.name = kind
        self._size = size
        self._process = subprocess.Popen(
            [python, str(Path(__file__).with_name("fanout_peers.py")), kind],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        self.pid = self._process.pid
        assert self._process.stdout is not None
        port = self._process.stdout.readline()
        if not port:
            raise RuntimeError(f"{kind} did not start")
        self.address = f"ws://127.0.0.1:{int(port)}/"

    def change(self, count: int) -> None:
        """Has it broadcast so many messages in one turn of its loop."""
        self._order(count, 0)

    def row(self, count: int) -> None:
        """Has it broadcast so many messages in as many turns."""
        self._order(count, 1)

    def _order(self, count: int, turns: int) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(f"{count} {self._size} {turns}\n".encode())
        self._process.stdin.flush()

    def settled(self) -> None:
        """Nothing is left to read."""

    def close(self) -> None:
        """Ends it."""
        with self._process:
            self._process.kill()


class Turn:
    """What one system did in one turn.

    Attributes:
        row: Changes delivered a second when one is made after the other.
        cost: Seconds of processor time of the sender for each change delivered so.
        delay: Seconds until the last subscriber had a change that was made alone, in the middle.
        together: Changes delivered a second when `TOGETHER` are made at once.
    """

    def __init__(self, system: System, crowd: CrowdProcess, subscribers: int, sends: int) -> None:
        process = psutil.Process(system.pid)
        changes = max(LEAST, sends // subscribers)
        before = sum(process.cpu_times()[:2])
        took, _ = deliver(system, crowd, changes, system.row)
        self.cost = (sum(process.cpu_times()[:2]) - before) / (changes * subscribers)
        self.row = subscribers * changes / took
        self.delay = median(deliver(system, crowd, 1, system.change)[0] for _ in range(ALONE))
        took, _ = deliver(system, crowd, TOGETHER, system.change)
        self.together = subscribers * TOGETHER / took


def deliver(system: System, crowd: CrowdProcess, count: int, make: Callable[[int], None]) -> tuple[float, int]:
    """Makes changes and waits for the last subscriber; returns the seconds and all bytes that came."""
    crowd.expect(system.token, count)
    begun = time.monotonic_ns()
    make(count)
    arrived = crowd.arrived()
    system.settled()
    return (arrived["last"] - begun) / 1e9, arrived["bytes"]


@contextmanager
def systems(folder: Path, peers: Sequence[str], notes: list[str]) -> Iterator[list[tuple[System, CrowdProcess]]]:
    """Asman and the others, each with its own crowd."""
    with ExitStack() as stack:
        hub = HubProcess(folder)
        hub.start()
        stack.callback(hub.kill)
        own = HubSystem(hub.pid, client_address(hub, "fanout"))
        stack.callback(own.close)
        everyone: list[tuple[System, CrowdProcess]] = [(own, stack.enter_context(CrowdProcess()))]
        size = _size_of_a_change(own, everyone[0][1])
        notes.append(f"A change is {size} bytes for each subscriber; the others send as many.")
        for kind in peers:
            try:
                peer = PeerSystem(kind, PEERS[kind](), size)
            except (OSError, RuntimeError, subprocess.CalledProcessError) as error:
                notes.append(f"{kind} is not measured: {error}")
                continue
            stack.callback(peer.close)
            everyone.append((peer, stack.enter_context(CrowdProcess())))
        yield everyone


def _size_of_a_change(hub: HubSystem, crowd: CrowdProcess) -> int:
    """Bytes that a follower of the hub is sent for one change."""
    crowd.dial(hub.address, hub.protocol, [hub.hello])
    return deliver(hub, crowd, 1, hub.change)[1]


def run(wanted: argparse.Namespace) -> Report:
    """Measures all systems in turns, at each size."""
    report = Report("fanout")
    sizes: Sequence[int] = sorted(wanted.subscribers)
    with tempfile.TemporaryDirectory() as folder, systems(Path(folder), wanted.peers, report.notes) as all_:
        connected = {system.name: int(system.name == "asman") for system, _ in all_}
        for size in sizes:
            for system, crowd in all_:
                crowd.dial(system.address, system.protocol, [system.hello] * (size - connected[system.name]))
                connected[system.name] = size
                deliver(system, crowd, 1, system.change)
            turns: dict[str, list[Turn]] = {system.name: [] for system, _ in all_}
            for _ in range(wanted.rounds):
                for system, crowd in all_:
                    turns[system.name].append(Turn(system, crowd, size, wanted.sends))
            _add(report, size, turns)
    report.notes += [
        "In a row: changes as fast as they can be made; all of them to all subscribers, by the time that took. "
        f"Together: {TOGETHER} changes in one turn of the loop. Alone: the next is made when the last subscriber has "
        "had the one before; by the time from making it to that.",
        "Asman commits each change, synced, before it is told; the others write nothing. In a row its client has "
        f"{AHEAD} on their way, and what is committed together travels in one frame; alone, each has its own commit.",
        "The subscribers of each system are one process of bare sockets beside it on the two cores. No compression.",
        f"websockets {version('websockets')}, starlette {version('starlette')} on uvicorn {version('uvicorn')}, all on "
        f"uvloop {version('uvloop')}.",
    ]
    return report


def _add(report: Report, size: int, turns: dict[str, list[Turn]]) -> None:
    own = turns["asman"]
    for name, others in turns.items():
        if name == "asman":
            continue
        pairs = list(zip(own, others, strict=True))
        label = f"{size:,} subscribers: asman / {name}"
        target = "at least 1.5" if name == "websockets" and size >= 1000 else ""
        report.add(f"{label}, in a row", "x", [a.row / b.row for a, b in pairs], target)
        report.add(f"{label}, {TOGETHER} together", "x", [a.together / b.together for a, b in pairs])
        report.add(f"{label}, one alone", "x", [b.delay / a.delay for a, b in pairs])
        if all(b.cost for b in others):
            report.add(f"{label}, processor time", "x", [a.cost / b.cost for a, b in pairs])
    for name, each in turns.items():
        label = f"{size:,} subscribers: {name}"
        report.add(f"{label}, in a row", "changes/s", [t.row for t in each])
        report.add(f"{label}, processor time for each", "µs", [1e6 * t.cost for t in each])
        report.add(f"{label}, last subscriber has it after", "ms", [1e3 * t.delay for t in each])
        report.add(f"{label}, {TOGETHER} together", "changes/s", [t.together for t in each])
