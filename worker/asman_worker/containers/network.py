"""Sets up the network of a worker's containers: a bridge that reaches only the internet.

The engine keeps containers on it from reaching each other. Rules of the packet filter keep them from this
host's own services, from private networks and from the cloud's metadata address. Setting these rules needs the right
to do so in the engine's own network. Without it, containers get no network at all, unless the operator chooses a
network without rules (``--network open``). If the packet filter is emptied, for example by a firewall that is reloaded,
the worker notices before the next container starts and in regular checks.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import logging
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from ipaddress import IPv4Address, ip_address, ip_network
from pathlib import Path
from typing import Any, Final

from aiodocker import Docker
from aiodocker.exceptions import DockerError

from asman_shared.errors import Unavailable

from ..images.engine import LOST
from .bridge_claim import BridgeClaim, here
from .config import NO_NETWORK
from .network_look import NetworkLook
from .packet_filter import CLOSED, PacketFilter, Refused

log = logging.getLogger("asman.worker.network")

LABEL_NETWORK: Final = "asman.network"
LABEL_PLACE: Final = "asman.place"
"""Label that names the network namespace of a network's owner."""
REMEDY: Final = (
    "run the worker as root in the engine's own network (in a container: with --network=host and --cap-add=NET_ADMIN), "
    "with iptables; or choose --network none, or --network open for jobs that may reach this host and its networks"
)
"""The ways out, where the rules can't be set."""
_CLAIM_TRIES: Final = 20
_CLAIM_PAUSE: Final = 0.1


@dataclass(frozen=True, slots=True)
class NetworkRules:
    """The state of the rules that isolate containers.

    Attributes:
        network: Name of the engine's network.
        bridge: The host's interface.
        closed: True if the rules are set: host, private networks and metadata are out of reach.
        why: The reason in one sentence, if they could not be set.
        chosen_open: True if the operator chose a network without rules.
    """

    network: str
    bridge: str
    closed: bool
    why: str = ""
    chosen_open: bool = False

    @property
    def usable(self) -> str:
        """The network that containers get: this one, or none if it lacks the rules that it should have."""
        return self.network if self.closed or self.chosen_open else NO_NETWORK


class OwnNetwork:
    """A worker's own network, and its network rules.

    Args:
        docker: The engine.
        owner: Names the worker among all of this engine.
        chosen_open: Whether the operator chose a network without rules.
    """

    def __init__(self, docker: Docker, owner: str, *, chosen_open: bool = False) -> None:
        self._docker = docker
        self._owner = owner
        self._bridge = bridge_of(owner)
        self.network_rules = NetworkRules(network_name(owner), self._bridge, False, chosen_open=chosen_open)
        self._filter: PacketFilter | None = None
        self._standing: list[str] = []
        self._looks = NetworkLook(self._look, (DockerError, Refused))
        self._claim: BridgeClaim | None = None

    async def open(self) -> NetworkRules:
        """Makes the network, or finds the existing one, and sets its rules.

        Where they can't be set, the network is removed again, and `NetworkRules.usable` is none.

        Raises:
            Unavailable: The engine can't make the network.
        """
        for _ in range(_CLAIM_TRIES):
            if (claim := BridgeClaim.take(self._bridge)) is not None:
                self._claim = claim
                break
            # Another worker is just checking whether this one is dead.
            await asyncio.sleep(_CLAIM_PAUSE)
        try:
            await self._ensure()
        except DockerError as error:
            raise Unavailable(
                f"the containers' network could not be made ({error.message}): choose --network none, or one of the "
                "engine's own by name"
            ) from error
        if self.network_rules.chosen_open:
            # Rules that a worker with another --network left would go on holding.
            with contextlib.suppress(Refused):
                await PacketFilter.find().take_down(self._bridge)
            log.warning("jobs can reach this host's services and its private networks, as --network open says")
            return self.network_rules
        why = ""
        try:
            await self._put_up()
        except Refused as error:
            why = str(error)
            log.warning(
                "jobs get no network, because the rules that keep them from this host and its private networks can't "
                "be set: %s. To change that, %s",
                why,
                REMEDY,
            )
            with contextlib.suppress(DockerError):
                await _remove(self._docker, self.network_rules.network)
        self.network_rules = replace(self.network_rules, closed=not why, why=why)
        return self.network_rules

    async def hold(self) -> None:
        """Checks the network and its rules, and sets them up again if they changed; see `NetworkLook.hold`.

        Raises:
            ExecutionError: The rules can't be set up again, so no container may start.
        """
        await self._looks.hold()

    async def _look(self) -> None:
        if self.network_rules.chosen_open:
            # The bridge may be one that can't be seen from here, so the engine is asked.
            return await self._ensure()
        if self._filter is None or not self.network_rules.closed:
            # Without its rules, no container uses the network.
            return None
        if not _exists(self._bridge):
            log.warning("the network %s was removed; making it again", self.network_rules.network)
            await self._ensure()
        if await self._filter.standing(self._bridge) != self._standing:
            log.warning("the packet filter was changed; setting the rules for containers again")
            await self._put_up()
        return None

    async def _put_up(self) -> None:
        if not _exists(self._bridge):
            raise Refused(
                "the engine has another network than this process, which is in a container or on another machine"
            )
        self._filter = PacketFilter.find()
        await self._filter.put_up(self._bridge, resolvers(Path("/etc/resolv.conf")))
        self._standing = await self._filter.standing(self._bridge)

    async def close(self) -> None:
        """Removes the network and its rules, unless containers are still on it."""
        try:
            await _remove(self._docker, self.network_rules.network)
            if self._filter is not None:
                await self._filter.take_down(self._bridge)
        except (DockerError, Refused) as error:
            log.debug("can't remove the network %s: %s", self.network_rules.network, error)
        finally:
            if self._claim is not None:
                self._claim.close()

    async def _ensure(self) -> None:
        name = self.network_rules.network
        found = await self._docker.networks.list(filters={"name": [name]})
        if any(network["Name"] == name for network in found):
            return
        config: dict[str, Any] = {
            "Name": name,
            "Driver": "bridge",
            "CheckDuplicate": True,
            "EnableIPv6": False,
            "Labels": {LABEL_NETWORK: self._owner, LABEL_PLACE: here() if self._claim is not None else ""},
            "Options": {
                "com.docker.network.bridge.name": self._bridge,
                "com.docker.network.bridge.enable_icc": "false",
            },
        }
        await self._docker.networks.create(config)


def network_name(owner: str) -> str:
    """Returns the name of a worker's network."""
    return f"asman-{owner[:12]}"


def bridge_of(owner: str) -> str:
    """Returns the host's interface of a worker's network; such names have at most 15 letters."""
    return f"asman-{hashlib.sha256(owner.encode()).hexdigest()[:8]}"


async def leftovers(docker: Docker) -> AsyncIterator[tuple[str, str]]:
    """Yields name and bridge of networks that no container uses: their workers may be gone.

    Raises:
        DockerError: The engine does not answer.
    """
    for network in await docker.networks.list(filters={"label": [LABEL_NETWORK]}):
        name = str(network["Name"])
        if not await docker.containers.list(all=True, filters=f'{{"network": ["{name}"]}}'):
            yield name, bridge_of(str(network["Labels"][LABEL_NETWORK]))


async def remove_leftovers(docker: Docker) -> None:
    """Removes networks and rules of workers that are certainly dead, such as one that was killed and not restarted.

    It considers only networks that were set up in this network namespace and that no container uses.
    """
    with contextlib.suppress(*LOST):
        mine = {
            str(network["Name"])
            for network in await docker.networks.list(filters={"label": [f"{LABEL_PLACE}={here()}"]})
        }
        async for name, bridge in leftovers(docker):
            if name in mine and (claim := BridgeClaim.take(bridge)) is not None:
                try:
                    log.info("removing the network %s of a dead worker", name)
                    await _remove(docker, name)
                finally:
                    claim.close()
    with contextlib.suppress(Refused):
        filter_ = PacketFilter.find()
        for bridge in await filter_.bridges():
            if not _exists(bridge) and (claim := BridgeClaim.take(bridge)) is not None:
                try:
                    log.info("removing the rules of the bridge %s of a dead worker", bridge)
                    await filter_.take_down(bridge)
                finally:
                    claim.close()


async def _remove(docker: Docker, name: str) -> None:
    """Removes a network if it exists.

    Raises:
        DockerError: Containers use the network.
    """
    try:
        network = await docker.networks.get(name)
        await network.delete()
    except DockerError as error:
        if error.status != 404:
            raise


def _exists(bridge: str) -> bool:
    return Path("/sys/class/net", bridge).exists()


def resolvers(path: Path) -> list[IPv4Address]:
    """Returns this host's name servers on private networks, which containers ask through the engine."""
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
