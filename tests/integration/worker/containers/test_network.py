"""The worker's own network over time: firewalls that are reloaded, networks that are pruned, workers that die."""

from __future__ import annotations

import asyncio
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from aiodocker import Docker

from asman_shared.messages import Abort, PhaseReport, Released
from asman_shared.states import Phase
from asman_worker import janitor
from asman_worker.containers.bridge_claim import BridgeClaim
from asman_worker.containers.network import OwnNetwork, bridge_of, network_name, remove_leftovers
from asman_worker.containers.packet_filter import PacketFilter
from asman_worker.images.engine import close_engine, open_engine
from devtools.asman_processes import AsmanProcesses
from devtools.fake_hub import FakeHub, Line, job
from tests.integration.worker.reach import listening, networks, on_the_internet, outcome_of, rules_there, tries


def chains(bridge: str) -> list[str]:
    return [rule for rule in rules_there() if f"ASMAN-{bridge[6:].upper()}" in rule]


def lose_rules(bridge: str) -> None:
    """The effect of a reloaded firewall on the rules of one bridge."""
    chain = f"ASMAN-{bridge[6:].upper()}"
    for words in (
        ("-D", "DOCKER-USER", "-i", bridge, "-j", chain), ("-D", "INPUT", "-i", bridge, "-j", f"{chain}-IN"),
        ("-F", chain), ("-F", f"{chain}-IN"), ("-X", chain), ("-X", f"{chain}-IN"),
    ):  # fmt: skip
        subprocess.run(["iptables", "-w", "5", *words], check=True)
    assert chains(bridge) == []


def gateway_of(line: Line) -> str:
    (network,) = networks(line.register.incarnation)
    return str(network["IPAM"]["Config"][0]["Gateway"])


@asynccontextmanager
async def an_engine() -> AsyncIterator[Docker]:
    docker, _ = await open_engine()
    try:
        yield docker
    finally:
        await close_engine(docker)


async def names_of(docker: Docker) -> set[str]:
    return {str(network["Name"]) for network in await docker.networks.list()}


async def test_rules_that_a_firewall_threw_away_are_there_again_before_the_next_container_starts(
    hub: FakeHub, tmp_path: Path, busybox_image: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(janitor, "_LOOK_SECONDS", 3600.0)
    with listening("0.0.0.0") as port:
        async with on_the_internet(hub, tmp_path) as line:
            gateway = await asyncio.to_thread(gateway_of, line)
            bridge = bridge_of(line.register.incarnation)
            before = await asyncio.to_thread(chains, bridge)
            await asyncio.to_thread(lose_rules, bridge)
            await outcome_of(line, "a", busybox_image, tries((gateway, port)))
            assert line.texts("a") == [f"closed {gateway}"]
            assert await asyncio.to_thread(chains, bridge) == before


async def test_rules_around_a_running_container_are_looked_after(
    hub: FakeHub, tmp_path: Path, busybox_image: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    again = asyncio.Event()
    put_up = PacketFilter.put_up

    async def told(self: PacketFilter, *given: object) -> None:
        await put_up(self, *given)  # type: ignore[arg-type]
        again.set()

    monkeypatch.setattr(PacketFilter, "put_up", told)
    monkeypatch.setattr(janitor, "_LOOK_SECONDS", 0.01)
    async with on_the_internet(hub, tmp_path) as line:
        bridge = bridge_of(line.register.incarnation)
        before = await asyncio.to_thread(chains, bridge)
        await line.assign("a", image=busybox_image, command="sleep 600")
        await line.expect(PhaseReport, lambda m: m.phase is Phase.RUNNING)
        again.clear()
        chain = f"ASMAN-{bridge[6:].upper()}"
        await asyncio.to_thread(subprocess.run, ["iptables", "-w", "5", "-F", f"{chain}-IN"], check=True)
        await asyncio.wait_for(again.wait(), 60)
        assert await asyncio.to_thread(chains, bridge) == before
        await line.send(Abort(job("a"), 1))
        await line.expect(Released)


async def test_a_network_that_was_pruned_is_made_again(hub: FakeHub, tmp_path: Path, busybox_image: str) -> None:
    async with on_the_internet(hub, tmp_path) as line:
        name = network_name(line.register.incarnation)
        await asyncio.to_thread(subprocess.run, ["docker", "network", "rm", name], check=True, capture_output=True)
        outcome = await outcome_of(line, "a", busybox_image, "echo well")
        assert (outcome.exit_code, line.texts("a")) == (0, ["well"]), outcome.message
        assert len(await asyncio.to_thread(chains, bridge_of(line.register.incarnation))) > 10


async def test_what_a_killed_worker_left_is_removed_by_the_next_and_never_what_a_living_one_has(
    hub: FakeHub, tmp_path: Path, processes: AsmanProcesses, busybox_image: str
) -> None:
    processes.worker(hub.url, "--data-dir", str(tmp_path / "living"))
    living = (await hub.line()).register.incarnation
    dying = processes.worker(hub.url, "--data-dir", str(tmp_path / "dying"))
    dead = (await hub.line()).register.incarnation
    async with an_engine() as docker:
        await remove_leftovers(docker)
        assert {network_name(living), network_name(dead)} <= await names_of(docker)
        dying.kill()
        async with on_the_internet(hub, tmp_path / "next"):
            left = await names_of(docker)
            assert network_name(living) in left
            assert network_name(dead) not in left
        assert chains(bridge_of(dead)) == []
        assert len(chains(bridge_of(living))) > 10


async def test_the_network_of_a_dead_worker_stays_while_a_container_may_need_it(
    engine: object, busybox_image: str
) -> None:
    async with an_engine() as docker:
        own = OwnNetwork(docker, "0" * 31 + "7")
        await own.open()
        config: dict[str, Any] = {"Image": busybox_image, "HostConfig": {"NetworkMode": own.network_rules.network}}
        container = await docker.containers.create(config)
        assert own._claim is not None
        own._claim.close()
        try:
            await remove_leftovers(docker)
            assert own.network_rules.network in await names_of(docker)
        finally:
            await container.delete(force=True)
        await remove_leftovers(docker)
        assert own.network_rules.network not in await names_of(docker)
        assert chains(own.network_rules.bridge) == []


async def test_rules_without_a_bridge_are_removed_when_nobody_claims_them(engine: object) -> None:
    async with an_engine() as docker:
        own = OwnNetwork(docker, "0" * 31 + "8")
        await own.open()
        await (await docker.networks.get(own.network_rules.network)).delete()
        await remove_leftovers(docker)
        assert len(chains(own.network_rules.bridge)) > 10
        assert own._claim is not None
        own._claim.close()
        await remove_leftovers(docker)
        assert chains(own.network_rules.bridge) == []


def test_a_claim_is_one_processs_until_it_lets_go() -> None:
    first = BridgeClaim.take("asman-00000001")
    assert first is not None
    assert BridgeClaim.take("asman-00000001") is None
    first.close()
    second = BridgeClaim.take("asman-00000001")
    assert second is not None
    second.close()
