"""Gives containers without an engine a network that leads to the internet alone: a bridge of the worker's own.

Each container gets a pair of interfaces, one of them on the bridge, where no two ports reach each other. The packet
filter has the same rules as for an engine's containers (`containers.packet_filter`), and also lets nobody begin a
connection to a container. IPv6 is off on the bridge. Where any part of this can't be set up, containers get no network
at all.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import json
import logging
import os
import shutil
from dataclasses import dataclass
from ipaddress import IPv4Interface, IPv4Network, ip_address
from pathlib import Path
from typing import Any, Final

from asman_shared.errors import ExecutionError

from ..containers.bridge_claim import BridgeClaim
from ..containers.network import bridge_of, resolvers
from ..containers.network_look import NetworkLook
from ..containers.packet_filter import PacketFilter, Refused

log = logging.getLogger("asman.worker.oci")

_ALIAS: Final = "asman-oci"
"""Marks a bridge of this module, which no engine knows."""
_PATH: Final = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_SECONDS: Final = 10.0
_PREFIX: Final = 22
_RANGE: Final = IPv4Network("10.192.0.0/11")
"""The addresses that networks of bridges are taken from, of those that this machine has no route to."""
_TRIES: Final = 64
_CLAIM_TRIES: Final = 20
_CLAIM_PAUSE: Final = 0.1
_FORWARD: Final = Path("/proc/sys/net/ipv4/ip_forward")
_IPV6: Final = Path("/proc/sys/net/ipv6/conf")
_INTERFACES: Final = Path("/sys/class/net")
_RESOLVERS: Final = (Path("/etc/resolv.conf"), Path("/run/systemd/resolve/resolv.conf"))
_NAME_SERVERS: Final = 3


@dataclass(frozen=True, slots=True)
class Lease:
    """The place of one container in the network.

    Attributes:
        address: Its address with the length of the network's prefix.
        port: The name of its interface on the bridge.
        outside: Commands of ``ip`` on the machine; ``{pid}`` stands for the container's process.
        inside: Commands of ``ip`` in the container's network.
        name_servers: The addresses that names are asked from.
    """

    address: str
    port: str
    outside: tuple[str, ...]
    inside: tuple[str, ...]
    name_servers: tuple[str, ...]


class OwnBridge:
    """A worker's bridge and its rules.

    Args:
        owner: Names the worker among all of this machine.
    """

    def __init__(self, owner: str) -> None:
        self.bridge = bridge_of(owner)
        self.why = "it was not set up"
        self._network: IPv4Interface | None = None
        self._filter: PacketFilter | None = None
        self._standing: list[str] = []
        self._claim: BridgeClaim | None = None
        self._leases: dict[str, str] = {}
        self._looks = NetworkLook(self._look, (Refused, OSError))

    @property
    def usable(self) -> bool:
        """Whether containers can have a network."""
        return not self.why

    async def open(self, taken: dict[str, str]) -> None:
        """Makes the bridge, or finds the one of an earlier process, and sets its rules; `why` says what is in the way.

        Args:
            taken: The addresses of containers that are there already, by name.
        """
        self._leases = dict(taken)
        try:
            if os.geteuid() != 0:
                raise Refused("this worker is not root")
            for _ in range(_CLAIM_TRIES):
                if (claim := BridgeClaim.take(self.bridge)) is not None:
                    self._claim = claim
                    break
                await asyncio.sleep(_CLAIM_PAUSE)
            if self._claim is None:
                raise Refused(f"another process has claimed the bridge {self.bridge}")
            if _FORWARD.read_text().strip() != "1":
                raise Refused("this machine does not forward packets: set net.ipv4.ip_forward to 1 (sysctl)")
            for program in ("ip", "nsenter"):
                if _found(program) is None:
                    raise Refused(f"`{program}` is not installed")
            self._filter = PacketFilter.find()
            await self._put_up()
            self.why = ""
        except (Refused, OSError) as error:
            self.why = str(error)
            await self._take_down()

    async def hold(self) -> None:
        """Checks the bridge and its rules, and sets them up again if they changed; see `NetworkLook.hold`.

        Raises:
            ExecutionError: They can't be set up again, so no container may start.
        """
        if not self.why:
            await self._looks.hold()

    async def _look(self) -> None:
        if self._filter is None:
            return
        if not self._there() or await self._filter.standing(self.bridge, own=True) != self._standing:
            log.warning("the bridge %s or its rules were changed; setting them up again", self.bridge)
            await self._put_up()

    async def close(self) -> None:
        """Removes the bridge and its rules, unless containers are still on it."""
        if not self._ports():
            await self._take_down()
        if self._claim is not None:
            self._claim.close()
            self._claim = None

    def lease(self, name: str) -> Lease:
        """Gives a container its place, which it keeps until `release`.

        Raises:
            ExecutionError: There are more containers than addresses.
        """
        if self._network is None:
            raise ExecutionError("the containers' network is not set up", fault="worker")
        used = set(self._leases.values())
        free = (str(host) for host in self._network.network.hosts() if host != self._network.ip)
        address = next((each for each in free if each not in used), None)
        if address is None:
            raise ExecutionError("the containers' network has no free address", fault="worker")
        self._leases[name] = address
        port = f"av{hashlib.sha256(name.encode()).hexdigest()[:12]}"
        return Lease(
            address,
            port,
            (
                f"link add {port} type veth peer name eth0 netns {{pid}}",
                f"link set {port} master {self.bridge}",
                f"link set {port} type bridge_slave isolated on",
                f"link set {port} up",
            ),
            (
                f"addr add {address}/{_PREFIX} dev eth0",
                "link set eth0 up",
                f"route add default via {self._network.ip}",
            ),
            name_servers(),
        )

    def plan(self, lease: Lease) -> dict[str, Any]:
        """Returns what a monitor needs in order to connect a container."""
        ip, nsenter = _found("ip") or "ip", _found("nsenter") or "nsenter"
        return {"ip": ip, "nsenter": nsenter, "outside": list(lease.outside), "inside": list(lease.inside)}

    def release(self, name: str) -> None:
        """Takes a container's place back."""
        self._leases.pop(name, None)

    # ------------------------------------------------------------------------------------------------- the parts

    async def _put_up(self) -> None:
        if self._filter is None:
            raise Refused("the packet filter is not known")
        network = await _address_of(self.bridge) if self._there() else None
        if network is None:
            network = await self._make()
        self._network = network
        await self._filter.put_up(self.bridge, resolvers(_RESOLVERS[0]), subnet=str(network.network))
        self._standing = await self._filter.standing(self.bridge, own=True)
        await _ip([f"link set {self.bridge} up"])

    async def _make(self) -> IPv4Interface:
        """Makes the bridge, which is down until its rules are set."""
        with contextlib.suppress(Refused):
            if self._there():
                await _ip([f"link delete {self.bridge}"])
        taken = await _routes()
        first = int(hashlib.sha256(self.bridge.encode()).hexdigest(), 16)
        networks = list(_RANGE.subnets(new_prefix=_PREFIX))
        for number in range(_TRIES):
            network = networks[(first + number) % len(networks)]
            if not any(network.overlaps(each) for each in taken):
                break
        else:
            raise Refused(f"this machine has routes to all of {_RANGE}")
        gateway = IPv4Interface(f"{network[1]}/{_PREFIX}")
        await _ip([f"link add name {self.bridge} type bridge", f"link set {self.bridge} alias {_ALIAS}"])
        if _IPV6.exists():
            (_IPV6 / self.bridge / "disable_ipv6").write_text("1")
        await _ip([f"addr add {gateway} dev {self.bridge}"])
        return gateway

    async def _take_down(self) -> None:
        with contextlib.suppress(Refused):
            if self._there() and _alias(self.bridge) == _ALIAS:
                await _ip([f"link delete {self.bridge}"])
            if self._filter is not None:
                await self._filter.take_down(self.bridge)
        self._network = None

    def _there(self) -> bool:
        return (_INTERFACES / self.bridge).exists()

    def _ports(self) -> bool:
        ports = _INTERFACES / self.bridge / "brif"
        return ports.is_dir() and any(ports.iterdir())


async def remove_dead() -> None:
    """Removes bridges and rules of workers that are certainly dead and whose containers have ended."""
    with contextlib.suppress(Refused, OSError):
        filter_ = PacketFilter.find()
        for bridge in await filter_.bridges():
            place = _INTERFACES / bridge
            ours = not place.exists() or _alias(bridge) == _ALIAS
            if not ours or (place.exists() and any((place / "brif").iterdir())):
                continue
            if (claim := BridgeClaim.take(bridge)) is not None:
                try:
                    log.info("removing the bridge %s of a dead worker", bridge)
                    if place.exists():
                        await _ip([f"link delete {bridge}"])
                    await filter_.take_down(bridge)
                finally:
                    claim.close()


def name_servers() -> tuple[str, ...]:
    """Returns this machine's name servers that a container can reach: none on its loopback."""
    for path in _RESOLVERS:
        found: list[str] = []
        with contextlib.suppress(OSError):
            for line in path.read_text().splitlines():
                words = line.split()
                with contextlib.suppress(ValueError):
                    if len(words) >= 2 and words[0] == "nameserver":
                        address = ip_address(words[1])
                        if address.version == 4 and not address.is_loopback:
                            found.append(str(address))
        if found:
            return tuple(found[:_NAME_SERVERS])
    return ()


def _alias(bridge: str) -> str:
    try:
        return (_INTERFACES / bridge / "ifalias").read_text().strip()
    except OSError:
        return ""


def _found(program: str) -> str | None:
    return shutil.which(program, path=f"{os.environ.get('PATH', '')}:{_PATH}")


async def _address_of(bridge: str) -> IPv4Interface | None:
    """Returns the address of a bridge of this module; None if it has none."""
    if _alias(bridge) != _ALIAS:
        raise Refused(f"there is an interface {bridge} of something else")
    for link in json.loads(await _asked("addr", "show", "dev", bridge) or "[]"):
        for each in link.get("addr_info", ()):
            if each.get("family") == "inet":
                return IPv4Interface(f"{each['local']}/{each['prefixlen']}")
    return None


async def _routes() -> list[IPv4Network]:
    """Returns the networks that this machine has routes to, but for the default."""
    found: list[IPv4Network] = []
    routes: list[dict[str, Any]] = json.loads(await _asked("-4", "route", "show", "table", "all") or "[]")
    for each in routes:
        with contextlib.suppress(ValueError, KeyError):
            network = IPv4Network(str(each["dst"]), strict=False)
            if network.prefixlen:
                found.append(network)
    return found


async def _ip(commands: list[str]) -> None:
    """Runs commands of ``ip``.

    Raises:
        Refused: One of them fails.
    """
    await _run(["-batch", "-"], "\n".join(commands) + "\n")


async def _asked(*words: str) -> str:
    return await _run(["-json", *words], "")


async def _run(words: list[str], given: str) -> str:
    program = _found("ip")
    if program is None:
        raise Refused("`ip` is not installed")
    process = await asyncio.create_subprocess_exec(
        program, *words,
        stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    try:
        async with asyncio.timeout(_SECONDS):
            said, complained = await process.communicate(given.encode())
    except BaseException as error:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.wait()
        if isinstance(error, TimeoutError):
            raise Refused("`ip` did not answer") from error
        raise
    if process.returncode:
        last = complained.decode("utf-8", "replace").strip().splitlines()[:1] or ["it refused"]
        raise Refused(f"`ip` refused a command ({last[0][:200]})")
    return said.decode("utf-8", "replace")
