"""Sets the host's packet filter: rules that let a bridge of containers reach only the internet.

Each bridge has two chains, one for forwarded packets and one for packets to this host itself. Both are set in one step,
so that there is never only a part of the rules. A bridge that belongs to no engine has a third, for packets to its
containers, and its addresses are translated, which an engine does itself.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import shutil
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address
from typing import Final

CLOSED: Final = (
    "0.0.0.0/8",
    "10.0.0.0/8",
    "100.64.0.0/10",
    "127.0.0.0/8",
    "168.63.129.16/32",
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
"""Addresses outside the public internet (RFC 1918, 6598, 3927, 6890 and others), with cloud metadata."""
_PATH: Final = "/usr/sbin:/sbin"
_SECONDS: Final = 10.0
_WAIT: Final = ("-w", "5")
_BRIDGE: Final = "asman-"
_OWN: Final = re.compile(r"-N ASMAN-([0-9A-F]{8})")
_FORWARDED: Final = "-A FORWARD -j DOCKER-USER"
"""The engine's rule that lets other programs filter forwarded packets."""


class Refused(Exception):
    """The packet filter refused a request; the message is its own."""


@dataclass(frozen=True, slots=True)
class PacketFilter:
    """iptables, with the rights of this process.

    Attributes:
        program: Path of the program.
    """

    program: str

    @classmethod
    def find(cls) -> PacketFilter:
        """Finds iptables.

        Raises:
            Refused: It is not installed, or this process may not use it.
        """
        path = f"{os.environ.get('PATH', '')}:{_PATH}"
        program = shutil.which("iptables", path=path)
        if program is None or shutil.which(f"{program}-restore", path=path) is None:
            raise Refused("iptables is not installed")
        if os.geteuid() != 0:
            raise Refused("only root can set rules of the packet filter")
        return cls(program)

    async def put_up(self, bridge: str, resolvers: Sequence[IPv4Address], *, subnet: str = "") -> None:
        """Sets the rules of a bridge, and replaces existing ones.

        Args:
            bridge: The bridge.
            resolvers: Name servers on private networks that containers may ask.
            subnet: The addresses of the containers, on a bridge that belongs to no engine.

        Raises:
            Refused: The rules can't be changed.
        """
        there = await self._listed()
        if subnet:
            translated = await self._translated(bridge)
            script = [*_own_script(bridge, resolvers, there), *_own_translation(bridge, subnet, translated)]
            await self._run("-restore", *_WAIT, "--noflush", given="\n".join(script) + "\n")
            return
        if not any(rule in there for rule in ("-N DOCKER-USER", _FORWARDED)):
            raise Refused("the engine has no chain for rules (are its own rules turned off?)")
        await self._run("-restore", *_WAIT, "--noflush", given="\n".join(_script(bridge, resolvers, there)) + "\n")

    async def standing(self, bridge: str, *, own: bool = False) -> list[str]:
        """Returns the present rules of a bridge, in order.

        Args:
            bridge: The bridge.
            own: Whether it belongs to no engine.
        """
        names = (*_chains(bridge), bridge)
        listed = await self._listed()
        if own:
            return [rule for rule in listed if any(name in rule for name in names)] + await self._translated(bridge)
        return [rule for rule in listed if rule == _FORWARDED or any(name in rule for name in names)]

    async def take_down(self, bridge: str) -> None:
        """Removes the rules of a bridge.

        Raises:
            Refused: The rules can't be changed.
        """
        there = await self._listed()
        chains = [chain for chain in (*_chains(bridge), _back(bridge)) if f"-N {chain}" in there]
        script = ["*filter", *(f":{chain} - [0:0]" for chain in chains)]
        script += [rule.replace("-A", "-D", 1) for rule in {*_jumps(bridge), *_own_jumps(bridge)} if rule in there]
        script += [f"-X {chain}" for chain in chains]
        script.append("COMMIT")
        if translated := await self._translated(bridge):
            script += ["*nat", *(rule.replace("-A", "-D", 1) for rule in translated), "COMMIT"]
        if chains or translated:
            await self._run("-restore", *_WAIT, "--noflush", given="\n".join(script) + "\n")

    async def bridges(self) -> list[str]:
        """Returns the bridges that have rules of this module."""
        return [f"{_BRIDGE}{found[1].lower()}" for rule in await self._listed() if (found := _OWN.fullmatch(rule))]

    async def _translated(self, bridge: str) -> list[str]:
        """Returns the rules by which the addresses of a bridge that belongs to no engine are translated."""
        rules = (await self._run("", *_WAIT, "-t", "nat", "-S", "POSTROUTING")).splitlines()
        return [rule for rule in rules if f"! -o {bridge} " in rule and bridge.startswith(_BRIDGE)]

    async def _listed(self) -> list[str]:
        return (await self._run("", *_WAIT, "-S")).splitlines()

    async def _run(self, suffix: str, *words: str, given: str | None = None) -> str:
        """Runs the program; returns its output.

        Raises:
            Refused: It fails, or does not answer in time.
        """
        process = await asyncio.create_subprocess_exec(
            f"{self.program}{suffix}", *words,
            stdin=asyncio.subprocess.DEVNULL if given is None else asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
        )  # fmt: skip
        try:
            async with asyncio.timeout(_SECONDS):
                said, complained = await process.communicate(given.encode() if given is not None else None)
        except BaseException as error:
            with contextlib.suppress(ProcessLookupError):  # it may end at the same moment
                process.kill()
            await process.wait()
            if isinstance(error, TimeoutError):
                raise Refused("iptables did not answer") from error
            raise
        if process.returncode:
            last = complained.decode("utf-8", "replace").strip().splitlines()[-1:] or ["it refused"]
            raise Refused(f"iptables refused a rule ({last[0][:200]})")
        return said.decode("utf-8", "replace")


def _chains(bridge: str) -> tuple[str, str]:
    name = f"ASMAN-{bridge.removeprefix(_BRIDGE).upper()}"
    return name, f"{name}-IN"


def _jumps(bridge: str) -> tuple[str, str]:
    """Returns the rules for forwarded packets and for packets to this host itself under any of its addresses."""
    forwarded, own = _chains(bridge)
    return f"-A DOCKER-USER -i {bridge} -j {forwarded}", f"-A INPUT -i {bridge} -j {own}"


def _back(bridge: str) -> str:
    """Returns the name of the chain for packets to the containers of a bridge that belongs to no engine."""
    return f"{_chains(bridge)[0]}-TO"


def _own_jumps(bridge: str) -> tuple[str, str, str]:
    """Returns the rules for packets from a bridge that belongs to no engine, to this host itself, and to the bridge."""
    forwarded, own = _chains(bridge)
    return (
        f"-A FORWARD -i {bridge} -j {forwarded}",
        f"-A INPUT -i {bridge} -j {own}",
        f"-A FORWARD -o {bridge} -j {_back(bridge)}",
    )


def _own_script(bridge: str, resolvers: Sequence[IPv4Address], there: Iterable[str]) -> Iterator[str]:
    """Yields the rules of a bridge that belongs to no engine. No engine lets its packets pass, so these rules do."""
    forwarded, own = _chains(bridge)
    back = _back(bridge)
    yield "*filter"
    for chain in (forwarded, own, back):
        yield f":{chain} - [0:0]"
    yield f"-A {forwarded} -m conntrack --ctstate ESTABLISHED,RELATED -j ACCEPT"
    yield f"-A {own} -m conntrack --ctstate ESTABLISHED,RELATED -j ACCEPT"
    for resolver in resolvers:
        for protocol in ("udp", "tcp"):
            for chain in (forwarded, own):
                yield f"-A {chain} -d {resolver}/32 -p {protocol} --dport 53 -j ACCEPT"
    for closed in CLOSED:
        yield f"-A {forwarded} -d {closed} -j REJECT"
    yield f"-A {forwarded} -j ACCEPT"
    yield f"-A {own} -j REJECT"
    # Answers alone: nobody begins a connection to a container.
    yield f"-A {back} -m conntrack --ctstate ESTABLISHED,RELATED -j ACCEPT"
    yield f"-A {back} -j DROP"
    for jump in _own_jumps(bridge):
        if jump not in there:
            yield jump.replace("-A", "-I", 1)
    yield "COMMIT"


def _own_translation(bridge: str, subnet: str, there: Sequence[str]) -> Iterator[str]:
    wanted = f"-A POSTROUTING -s {subnet} ! -o {bridge} -j MASQUERADE"
    if list(there) != [wanted]:
        yield "*nat"
        yield from (rule.replace("-A", "-D", 1) for rule in there)
        yield wanted
        yield "COMMIT"


def _script(bridge: str, resolvers: Sequence[IPv4Address], there: Iterable[str]) -> Iterator[str]:
    """Yields the lines of the input for iptables-restore: naming a chain empties it."""
    forwarded, own = _chains(bridge)
    yield "*filter"
    if "-N DOCKER-USER" not in there:
        yield ":DOCKER-USER - [0:0]"
    for chain in (forwarded, own):
        yield f":{chain} - [0:0]"
        # Answers to connections that others began, and this host's own name servers.
        yield f"-A {chain} -m conntrack --ctstate ESTABLISHED,RELATED -j RETURN"
        for resolver in resolvers:
            for protocol in ("udp", "tcp"):
                yield f"-A {chain} -d {resolver}/32 -p {protocol} --dport 53 -j RETURN"
    for closed in CLOSED:
        yield f"-A {forwarded} -d {closed} -j REJECT"
    yield f"-A {forwarded} -j RETURN"
    yield f"-A {own} -j REJECT"
    for jump in _jumps(bridge):
        if jump not in there:
            yield jump.replace("-A", "-I", 1)
    if _FORWARDED not in there:
        yield _FORWARDED.replace("-A", "-I", 1)
    yield "COMMIT"
