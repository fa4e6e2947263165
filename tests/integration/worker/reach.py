"""What a container can reach, tried from inside of it."""

from __future__ import annotations

import contextlib
import fcntl
import json
import socket
import struct
import subprocess
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

from asman_shared.messages import Finished, Outcome
from devtools.fake_hub import FakeHub, Line, job

from .conftest import config_for, first_line, worker

METADATA = "169.254.169.254"


async def outcome_of(line: Line, name: str, image: str, command: str | list[str], **fields: Any) -> Outcome:
    """Runs a job to its end."""
    await line.assign(name, image=image, command=command, **fields)
    return (await line.expect(Finished, lambda message: message.job == job(name))).outcome


@contextmanager
def listening(address: str) -> Iterator[int]:
    """Something of this host's that greets whoever connects; yields its port."""
    with socket.create_server((address, 0)) as server:

        def greet() -> None:
            with contextlib.suppress(OSError):
                while True:
                    with server.accept()[0] as connection:
                        connection.sendall(b"hello")

        greeting = threading.Thread(target=greet, daemon=True)
        greeting.start()
        yield server.getsockname()[1]
        server.shutdown(socket.SHUT_RDWR)
        greeting.join()


@contextmanager
def aliased(address: str) -> Iterator[None]:
    """Gives this host's loopback another address, as a cloud's metadata service is at."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as control:

        def set_to(text: str) -> None:
            packed = struct.pack("16sHH4s8x", b"lo:asman", socket.AF_INET, 0, socket.inet_aton(text))
            fcntl.ioctl(control, 0x8916, packed)

        set_to(address)
        try:
            yield
        finally:
            fcntl.ioctl(control, 0x8914, struct.pack("16sh14x", b"lo:asman", 0))


@asynccontextmanager
async def on_the_internet(hub: FakeHub, tmp_path: Path, **more: Any) -> AsyncIterator[Line]:
    """A worker with a network of its own."""
    async with worker(config_for(hub, tmp_path, **{"network": "internet", **more})) as task:
        line = await first_line(hub, task)
        await line.answer()
        yield line


def networks(incarnation: str) -> list[dict[str, Any]]:
    listed = subprocess.check_output(
        ["docker", "network", "ls", "-q", "--filter", f"label=asman.network={incarnation}"], text=True
    ).split()
    return [json.loads(subprocess.check_output(["docker", "network", "inspect", each]))[0] for each in listed]


def tries(*targets: tuple[str, int]) -> str:
    """A script that says for each address whether it can be connected to."""
    return "; ".join(
        f"timeout 3 nc {address} {port} </dev/null 2>&1 | grep -q hello && echo open {address} || echo closed {address}"
        for address, port in targets
    )


def rules_there() -> list[str]:
    """The packet filter's rules."""
    return subprocess.check_output(["iptables", "-S"], text=True).splitlines()
