"""Connections: memory of an idle one, connections accepted a second, and 10,000 held at once."""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import NamedTuple

import msgpack

from asman_shared.units import KIB
from bench.crowd import CrowdProcess
from bench.fanout import PROTOCOL, HubSystem, PeerSystem, deliver
from bench.measure import Report, rss
from devtools.asman_processes import HubProcess

WARM = 200
"""Connections that are made and held before anything is measured, so that what is made once is made."""


def arguments(parser: argparse.ArgumentParser) -> None:
    """How many."""
    parser.add_argument("--connections", type=int, default=10_000, help="held at once [10000]")
    parser.add_argument("--kinds", nargs="+", choices=KINDS, default=list(KINDS), help="what is filled [all]")
    parser.add_argument("--rounds", type=int, default=3, help="times that each is started and filled [3]")


class _Listener(NamedTuple):
    """Where connections go.

    Attributes:
        pid: Of the process that holds them.
        address: Where they dial.
        protocol: The subprotocol that they ask for.
        first: What the n-th one says first; nothing to say nothing.
    """

    pid: int
    address: str
    protocol: str = ""
    first: Callable[[int], bytes] = lambda _: b""


def _hello(_number: int) -> bytes:
    return bytes(msgpack.packb([{"type": "hello"}]))


def _watch(_number: int) -> bytes:
    return bytes(msgpack.packb([{"type": "hello", "follow": "queue"}]))


def _register(number: int) -> bytes:
    about = {"type": "register", "incarnation": f"bench-worker-{number:08}", "name": f"w{number}", "cpus": 4}
    return bytes(msgpack.packb([about]))


@contextmanager
def _hub(who: str, first: Callable[[int], bytes]) -> Iterator[_Listener]:
    with tempfile.TemporaryDirectory() as folder:
        hub = HubProcess(Path(folder))
        hub.start()
        try:
            yield _Listener(hub.pid, f"{hub.queue('idle')}/{who}".replace("http", "ws", 1), PROTOCOL, first)
        finally:
            hub.kill()


@contextmanager
def _peer(kind: str) -> Iterator[_Listener]:
    peer = PeerSystem(kind, sys.executable, 0)
    try:
        yield _Listener(peer.pid, peer.address)
    finally:
        peer.close()


WATCHING = "asman, client that watches its queue"
KINDS: dict[str, Callable[[], AbstractContextManager[_Listener]]] = {
    "asman, client": lambda: _hub("client", _hello),
    WATCHING: lambda: _hub("client", _watch),
    "asman, worker": lambda: _hub("worker", _register),
    "starlette on uvicorn": lambda: _peer("starlette"),
    "websockets": lambda: _peer("websockets"),
}


def run(wanted: argparse.Namespace) -> Report:
    """Fills each system in turns."""
    report = Report("connections")
    heard: list[float] = []
    memory: dict[str, list[float]] = {name: [] for name in wanted.kinds}
    accepts: dict[str, list[float]] = {name: [] for name in wanted.kinds}
    for _ in range(wanted.rounds):
        for name in wanted.kinds:
            with KINDS[name]() as listener, CrowdProcess() as crowd:
                _dial(crowd, listener, 0, WARM)
                before = rss(listener.pid)
                took = _dial(crowd, listener, WARM, wanted.connections)
                memory[name].append((rss(listener.pid) - before) / wanted.connections / KIB)
                accepts[name].append(wanted.connections / took)
                if name == WATCHING:
                    heard.append(_heard_by_all(crowd, listener))
    for name, values in memory.items():
        report.add(f"{name}: memory of one", "KiB", values, "20" if name.startswith("asman") else "")
    for name, values in accepts.items():
        report.add(f"{name}: accepted", "connections/s", values)
    if heard:
        report.add(f"{wanted.connections + WARM:,} that watch one queue: the last hears of a change after", "ms", heard)
    report.notes += [
        f"{wanted.connections:,} connections to one process, held at once: what its resident memory grew by, for each. "
        "Compression is off everywhere.",
        "Accepted: from the first dial to the answer to the last hello; by one process of bare sockets beside it.",
        f"websockets {version('websockets')}, starlette {version('starlette')}, uvicorn {version('uvicorn')}, "
        f"uvloop {version('uvloop')}.",
    ]
    return report


def _heard_by_all(crowd: CrowdProcess, listener: _Listener) -> float:
    """Milliseconds until everyone who is connected has heard of a change: all of them are really there."""
    system = HubSystem(listener.pid, listener.address)
    try:
        return 1000 * deliver(system, crowd, 1, system.change)[0]
    finally:
        system.close()


def _dial(crowd: CrowdProcess, listener: _Listener, start: int, count: int) -> float:
    said = [listener.first(number) for number in range(start, start + count)]
    return crowd.dial(listener.address, listener.protocol, said)
