"""The network of a worker's containers: their own bridge, from which the internet is all that can be reached.

Containers on it can't talk to each other (the engine sees to that). Rules of the packet filter keep them from this
host's own services, from private networks and from the cloud's metadata address. Setting these takes the right to do so
in the engine's own network; where the worker has not got it, it says so, and what then still holds.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
import os
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from ipaddress import IPv4Address, ip_address, ip_network
from pathlib import Path
from typing import Any, Final

from aiodocker import Docker
from aiodocker.exceptions import DockerError

from asman_shared.errors import Unavailable

log = logging.getLogger("asman.worker.network")

LABEL_NETWORK: Final = "asman.network"
#: Not the internet (RFC 1918, 6598, 3927, 6890 and others), the metadata address 169.254.169.254 among them.
CLOSED: Final = (
    "0.0.0.0/8",
    "10.0.0.0/8",
    "100.64.0.0/10",
    "127.0.0.0/8",
    "169.254.0.0/16",
    "172.16.0.0/12",
    "192.0.0.0/24",
    "192.0.2.0/24",
    "192.168.0.0/16",
    "198.18.0.0/15",
    "198.51.100.0/24",
    "203.0.113.0/24",
    "224.0.0.0/3",
)
_SECONDS: Final = 10.0


@dataclass(frozen=True, slots=True)
class Walls:
    """What keeps containers in.

    Attributes:
        network: The engine's network by name.
        bridge: The host's interface.
        closed: Whether host, private networks and metadata are out of reach.
        why: When they are not: a sentence.
    """

    network: str
    bridge: str
    closed: bool
    why: str = ""


@dataclass(frozen=True, slots=True)
class _Filter:
    """A packet filter's program and the chains that rules go into."""

    program: str
    bridge: str
    chain: str = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "chain", f"ASMAN-{self.bridge.removeprefix('asman-').upper()}")

    async def run(self, *words: str) -> str:
        """Runs it; returns what it said when it refused, else nothing."""
        process = await asyncio.create_subprocess_exec(
            self.program, "-w", "5", *words,
            stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.PIPE,
        )  # fmt: skip
        try:
            async with asyncio.timeout(_SECONDS):
                _, said = await process.communicate()
        except TimeoutError:
            process.kill()
            await process.wait()
            return f"{self.program} did not answer"
        return "" if process.returncode == 0 else said.decode("utf-8", "replace").strip() or "it refused"


async def open_network(docker: Docker, owner: str) -> Walls:
    """Makes a worker's own network, or finds it from before, and closes it as far as the worker may.

    Args:
        docker: The engine.
        owner: Names the worker among all of this engine.

    Raises:
        Unavailable: The engine can't make it.
    """
    name = network_name(owner)
    bridge = f"asman-{hashlib.sha256(owner.encode()).hexdigest()[:8]}"
    try:
        await _ensure(docker, name, bridge, owner)
    except DockerError as error:
        raise Unavailable(
            f"the containers' network could not be made ({error.message}): choose --network none, or one of the "
            "engine's own by name"
        ) from error
    why = await _close(bridge)
    if why:
        log.warning(
            "containers can reach this host's services and its private networks: %s. They still can't reach each "
            "other; --network none closes everything",
            why,
        )
    return Walls(name, bridge, not why, why)


def network_name(owner: str) -> str:
    """The name of a worker's network."""
    return f"asman-{owner[:12]}"


async def close_network(docker: Docker, walls: Walls) -> None:
    """Removes the network and its rules, unless containers are still on it."""
    try:
        network = await docker.networks.get(walls.network)
        await network.delete()
    except DockerError as error:
        if error.status != 404:
            log.debug("the network %s stays: %s", walls.network, error.message)
            return
    await _open_again(walls.bridge)


async def _ensure(docker: Docker, name: str, bridge: str, owner: str) -> None:
    found = await docker.networks.list(filters={"name": [name]})
    if any(network["Name"] == name for network in found):
        return
    config: dict[str, Any] = {
        "Name": name,
        "Driver": "bridge",
        "CheckDuplicate": True,
        "EnableIPv6": False,
        "Labels": {LABEL_NETWORK: owner},
        "Options": {
            "com.docker.network.bridge.name": bridge,
            "com.docker.network.bridge.enable_icc": "false",
        },
    }
    await docker.networks.create(config)


async def _close(bridge: str) -> str:
    """Sets the rules; returns why that can't be done, or nothing."""
    if not Path("/sys/class/net", bridge).exists():  # noqa: ASYNC240 - no disk is behind it
        return "the engine's network is not this process's (a container's, or another machine's)"
    program = shutil.which("iptables", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin")
    if program is None:
        return "iptables is not installed"
    if os.geteuid() != 0:
        return "only root can set rules of the packet filter"
    filter_ = _Filter(program, bridge)
    for words in _rules(filter_, _resolvers(Path("/etc/resolv.conf"))):
        if (said := await filter_.run(*words)) and not words[0].startswith(("-N", "-D")):
            return f"iptables refused a rule ({said.splitlines()[-1][:200]})"
    return ""


def _rules(filter_: _Filter, resolvers: Sequence[IPv4Address]) -> Iterator[tuple[str, ...]]:
    """Commands that put up the walls, again and again with the same end; failing ``-N`` and ``-D`` are well."""
    chain, bridge = filter_.chain, filter_.bridge
    yield ("-N", chain)
    yield ("-F", chain)
    # Answers to what was begun elsewhere, and the name servers that this host uses itself.
    yield ("-A", chain, "-m", "conntrack", "--ctstate", "ESTABLISHED,RELATED", "-j", "RETURN")
    for resolver in resolvers:
        for protocol in ("udp", "tcp"):
            yield ("-A", chain, "-d", str(resolver), "-p", protocol, "--dport", "53", "-j", "RETURN")
    for closed in CLOSED:
        yield ("-A", chain, "-d", closed, "-j", "REJECT")
    yield ("-A", chain, "-j", "RETURN")
    # What is forwarded, and what is for this host itself under any of its addresses.
    for place in ("DOCKER-USER", "INPUT"):
        yield ("-D", place, "-i", bridge, "-j", chain if place == "DOCKER-USER" else f"{chain}-IN")
    yield ("-N", f"{chain}-IN")
    yield ("-F", f"{chain}-IN")
    yield ("-A", f"{chain}-IN", "-m", "conntrack", "--ctstate", "ESTABLISHED,RELATED", "-j", "RETURN")
    for resolver in resolvers:
        for protocol in ("udp", "tcp"):
            yield ("-A", f"{chain}-IN", "-d", str(resolver), "-p", protocol, "--dport", "53", "-j", "RETURN")
    yield ("-A", f"{chain}-IN", "-j", "REJECT")
    yield ("-I", "DOCKER-USER", "-i", bridge, "-j", chain)
    yield ("-I", "INPUT", "-i", bridge, "-j", f"{chain}-IN")


async def _open_again(bridge: str) -> None:
    """Removes the rules of a bridge that is gone."""
    program = shutil.which("iptables", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin")
    if program is None or os.geteuid() != 0:
        return
    filter_ = _Filter(program, bridge)
    await filter_.run("-D", "DOCKER-USER", "-i", bridge, "-j", filter_.chain)
    await filter_.run("-D", "INPUT", "-i", bridge, "-j", f"{filter_.chain}-IN")
    for chain in (filter_.chain, f"{filter_.chain}-IN"):
        await filter_.run("-F", chain)
        await filter_.run("-X", chain)


def _resolvers(path: Path) -> list[IPv4Address]:
    """The name servers of this host that are on private networks: containers ask them through the engine."""
    found: list[IPv4Address] = []
    try:
        lines = path.read_text().splitlines()
    except OSError:
        return []
    for line in lines:
        words = line.split()
        if len(words) >= 2 and words[0] == "nameserver":
            try:
                address = ip_address(words[1])
            except ValueError:
                continue
            if isinstance(address, IPv4Address) and any(address in ip_network(closed) for closed in CLOSED):
                found.append(address)
    return found[:3]
