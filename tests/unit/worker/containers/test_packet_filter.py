"""The rules of the packet filter: written as one script, whole, and never over what others put there."""

from __future__ import annotations

import asyncio
import stat
from collections.abc import Iterable
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path
from typing import Any

import pytest

from asman_worker.containers import packet_filter as module
from asman_worker.containers.packet_filter import CLOSED, PacketFilter, Refused, _own_script, _own_translation, _script
from devtools.patience import PATIENCE

BRIDGE = "asman-0a1b2c3d"
CHAIN = "ASMAN-0A1B2C3D"
READY = ["-P INPUT ACCEPT", "-N DOCKER-USER", "-A FORWARD -j DOCKER-USER"]


class Program:
    """A program in place of iptables, which says what a test wants and keeps what it is told."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.listed = folder / "listed"
        self.given = folder / "given"
        self.says(*READY)
        self._write("iptables", f'cat "{self.listed}"')
        self._write("iptables-restore", f'echo "$@" > "{folder}/words"; cat > "{self.given}"')

    def _write(self, name: str, script: str) -> None:
        path = self.folder / name
        path.write_text(f"#!/bin/sh\n{script}\n")
        path.chmod(path.stat().st_mode | stat.S_IXUSR)

    def says(self, *rules: str) -> None:
        self.listed.write_text("".join(f"{rule}\n" for rule in rules))

    def refuses(self, sentence: str) -> None:
        self._write("iptables-restore", f'cat > /dev/null; echo "first" >&2; echo "{sentence}" >&2; exit 2')

    def lines(self) -> list[str]:
        return self.given.read_text().splitlines()


@pytest.fixture
def program(tmp_path: Path) -> Program:
    return Program(tmp_path)


def packets(program: Program) -> PacketFilter:
    return PacketFilter(str(program.folder / "iptables"))


def verdict(lines: Iterable[str], chain: str, to: str, *, port: int = 443, protocol: str = "tcp") -> str:
    """What becomes of a new packet to an address, by a chain's rules in their order."""
    for line in lines:
        words = line.split()
        if words[:2] != ["-A", chain] or "--ctstate" in words:
            continue
        if "-d" in words and IPv4Address(to) not in IPv4Network(words[words.index("-d") + 1]):
            continue
        if "-p" in words and words[words.index("-p") + 1] != protocol:
            continue
        if "--dport" in words and int(words[words.index("--dport") + 1]) != port:
            continue
        return words[words.index("-j") + 1]
    return "none"


@pytest.mark.parametrize(
    "closed",
    ["10.1.2.3", "172.16.0.1", "172.31.255.255", "192.168.1.1", "169.254.169.254", "127.0.0.1", "100.64.0.1",
     "168.63.129.16", "0.0.0.1", "224.0.0.1", "255.255.255.255", "198.18.0.1"],
)  # fmt: skip
def test_what_is_not_of_the_internet_is_out_of_reach(closed: str) -> None:
    assert verdict(_script(BRIDGE, [], READY), CHAIN, closed) == "REJECT"


@pytest.mark.parametrize("public", ["1.1.1.1", "172.15.255.255", "172.32.0.0", "100.128.0.0", "168.63.129.17"])
def test_the_internet_is_in_reach_and_this_host_under_none_of_its_addresses(public: str) -> None:
    script = list(_script(BRIDGE, [], READY))
    assert verdict(script, CHAIN, public) == "RETURN"
    assert verdict(script, f"{CHAIN}-IN", public) == "REJECT"


def test_name_servers_of_the_host_are_asked_at_their_port_alone() -> None:
    script = list(_script(BRIDGE, [IPv4Address("10.0.0.53")], READY))
    for chain in (CHAIN, f"{CHAIN}-IN"):
        for protocol in ("udp", "tcp"):
            assert verdict(script, chain, "10.0.0.53", port=53, protocol=protocol) == "RETURN"
        assert verdict(script, chain, "10.0.0.53", port=80) == "REJECT"


def test_rules_that_are_there_are_not_added_again() -> None:
    first = list(_script(BRIDGE, [], []))
    jumps = [line for line in first if line.startswith("-I")]
    assert len(jumps) == 3
    assert ":DOCKER-USER - [0:0]" in first
    there = [*READY, *(jump.replace("-I", "-A", 1) for jump in jumps)]
    again = list(_script(BRIDGE, [], there))
    assert not [line for line in again if line.startswith("-I")]
    assert ":DOCKER-USER - [0:0]" not in again, "the rules of others in it would be gone"
    assert again[0] == "*filter"
    assert again[-1] == "COMMIT"


def test_a_bridge_of_no_engine_has_the_same_walls_and_nobody_begins_a_connection_to_it() -> None:
    resolver = IPv4Address("10.0.0.53")
    script = list(_own_script(BRIDGE, [resolver], []))
    for closed in ("10.1.2.3", "169.254.169.254", "127.0.0.1", "168.63.129.16", "255.255.255.255"):
        assert verdict(script, CHAIN, closed) == "REJECT"
    assert verdict(script, CHAIN, "1.1.1.1") == "ACCEPT"
    assert verdict(script, f"{CHAIN}-IN", "1.1.1.1") == "REJECT"
    assert verdict(script, f"{CHAIN}-TO", "1.1.1.1") == "DROP"
    for chain in (CHAIN, f"{CHAIN}-IN"):
        assert verdict(script, chain, "10.0.0.53", port=53, protocol="udp") == "ACCEPT"
        assert verdict(script, chain, "10.0.0.53", port=80) == "REJECT"
    jumps = {line for line in script if line.startswith("-I")}
    assert jumps == {
        f"-I FORWARD -i {BRIDGE} -j {CHAIN}",
        f"-I FORWARD -o {BRIDGE} -j {CHAIN}-TO",
        f"-I INPUT -i {BRIDGE} -j {CHAIN}-IN",
    }
    assert not any("DOCKER" in line for line in script)
    again = list(_own_script(BRIDGE, [resolver], {jump.replace("-I", "-A", 1) for jump in jumps}))
    assert not [line for line in again if line.startswith("-I")]


def test_addresses_of_such_a_bridge_are_translated_once() -> None:
    wanted = f"-A POSTROUTING -s 10.192.0.0/22 ! -o {BRIDGE} -j MASQUERADE"
    assert list(_own_translation(BRIDGE, "10.192.0.0/22", [])) == ["*nat", wanted, "COMMIT"]
    assert list(_own_translation(BRIDGE, "10.192.0.0/22", [wanted])) == []
    other = wanted.replace("10.192.0.0", "10.192.4.0")
    replaced = ["*nat", other.replace("-A", "-D", 1), wanted, "COMMIT"]
    assert list(_own_translation(BRIDGE, "10.192.0.0/22", [other])) == replaced


async def test_rules_are_put_up_in_one_step_that_leaves_others_alone(program: Program) -> None:
    await packets(program).put_up(BRIDGE, [])
    assert program.lines() == list(_script(BRIDGE, [], READY))
    assert "--noflush" in (program.folder / "words").read_text()


async def test_an_engine_without_a_place_for_rules_is_said(program: Program) -> None:
    program.says("-P INPUT ACCEPT")
    with pytest.raises(Refused, match="no chain for rules"):
        await packets(program).put_up(BRIDGE, [])
    assert not program.given.exists()


async def test_the_rules_of_one_bridge_are_taken_down_and_no_others(program: Program) -> None:
    own = [f"-N {CHAIN}", f"-N {CHAIN}-IN", f"-A DOCKER-USER -i {BRIDGE} -j {CHAIN}"]
    program.says(*READY, *own, "-N ASMAN-FFFFFFFF", "-A DOCKER-USER -i asman-ffffffff -j ASMAN-FFFFFFFF")
    await packets(program).take_down(BRIDGE)
    assert program.lines() == [
        "*filter",
        f":{CHAIN} - [0:0]",
        f":{CHAIN}-IN - [0:0]",
        f"-D DOCKER-USER -i {BRIDGE} -j {CHAIN}",
        f"-X {CHAIN}",
        f"-X {CHAIN}-IN",
        "COMMIT",
    ]


async def test_where_nothing_stands_nothing_is_taken_down(program: Program) -> None:
    await packets(program).take_down(BRIDGE)
    assert not program.given.exists()


async def test_bridges_are_known_by_their_chains(program: Program) -> None:
    program.says(
        *READY, f"-N {CHAIN}", f"-N {CHAIN}-IN", "-N ASMAN-SOMETHING", "-N OTHER", "-A ASMAN-0A1B2C3D -j RETURN"
    )
    assert await packets(program).bridges() == [BRIDGE]


async def test_what_stands_of_a_bridge_is_listed_in_its_order(program: Program) -> None:
    own = [f"-N {CHAIN}", f"-A {CHAIN} -j RETURN", f"-A INPUT -i {BRIDGE} -j {CHAIN}-IN"]
    program.says(*READY, *own, "-A ASMAN-FFFFFFFF -j RETURN")
    assert await packets(program).standing(BRIDGE) == ["-A FORWARD -j DOCKER-USER", *own]


async def test_a_refusal_is_told_in_the_programs_last_words(program: Program) -> None:
    program.refuses("line 3 failed")
    with pytest.raises(Refused, match=r"refused a rule \(line 3 failed\)"):
        await packets(program).put_up(BRIDGE, [])


async def test_a_program_that_does_not_answer_is_not_waited_for(
    program: Program, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_SECONDS", 0.05)
    program._write("iptables", "exec sleep 60")
    with pytest.raises(Refused, match="did not answer"):
        await packets(program).bridges()


def test_a_machine_without_the_program_is_said(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(module, "_PATH", str(tmp_path))
    with pytest.raises(Refused, match="not installed"):
        PacketFilter.find()


def test_every_closed_network_is_one() -> None:
    assert all(IPv4Network(closed) for closed in CLOSED)


@pytest.mark.parametrize("turns", range(6))
async def test_a_look_that_is_cancelled_as_the_program_ends_is_over(
    program: Program, monkeypatch: pytest.MonkeyPatch, turns: int
) -> None:
    started: list[asyncio.subprocess.Process] = []
    start = asyncio.create_subprocess_exec

    async def noted(*words: str, **options: Any) -> asyncio.subprocess.Process:
        started.append(await start(*words, **options))
        return started[-1]

    monkeypatch.setattr(asyncio, "create_subprocess_exec", noted)
    look = asyncio.create_task(packets(program).standing(BRIDGE))
    async with asyncio.timeout(PATIENCE):
        while not started or started[0].returncode is None:
            await asyncio.sleep(0)
    for _ in range(turns):
        await asyncio.sleep(0)
    look.cancel()
    await asyncio.wait([look])
    assert look.cancelled() or look.exception() is None
