"""The worker's own network over time: firewalls that are reloaded, networks that are pruned, workers that die."""

from __future__ import annotations

import asyncio
import json
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiodocker import Docker

from asman_shared.definition import Build
from asman_shared.messages import STDOUT, SYSTEM, Abort, Finished, Kept, PhaseReport, Released
from asman_shared.states import Phase
from asman_worker import janitor
from asman_worker.containers.bridge_claim import BridgeClaim
from asman_worker.containers.network import OwnNetwork, bridge_of, network_name, remove_leftovers
from asman_worker.containers.packet_filter import PacketFilter
from asman_worker.images.engine import close_engine, open_engine
from devtools.asman_processes import AsmanProcesses, asman
from devtools.fake_hub import FakeHub, Line, job
from devtools.ports import free_port
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


WITHOUT_RIGHTS = ("setpriv", "--bounding-set=-net_admin", "--inh-caps=-net_admin")


async def test_where_the_rules_can_not_be_set_jobs_have_no_network_and_everybody_is_told(
    hub: FakeHub, tmp_path: Path, processes: AsmanProcesses, busybox_image: str
) -> None:
    port = free_port()
    options = ["--data-dir", str(tmp_path / "data"), "--status", str(port), "--local-images", "asman-test/*"]
    worker = processes.worker(hub.url, *options, before=WITHOUT_RIGHTS)
    line = await hub.line()
    assert line.register.executor == "docker, no network"
    await line.answer()
    with listening("0.0.0.0") as open_port:
        script = f"ls /sys/class/net; {tries(('172.17.0.1', open_port))}"
        await outcome_of(line, "a", busybox_image, script)
        assert line.texts("a", STDOUT) == ["lo", "closed 172.17.0.1"]
        assert any("have no network" in text for text in line.texts("a", SYSTEM))
        text = f"FROM {busybox_image}\nRUN ls /sys/class/net # {open_port}\n"
        await line.assign("b", build=Build(dockerfile=text), command="true")
        assert (await line.expect(Finished, lambda m: m.job == job("b"))).outcome.exit_code == 0
        assert "lo" in line.texts("b")
        assert not any(text.startswith("eth") for text in line.texts("b"))
    assert "jobs get no network" in worker.output()
    async with aiohttp.ClientSession() as http, http.get(f"http://127.0.0.1:{port}/healthz") as answer:
        told = await answer.json()
    assert "--network open" in told["notes"][0]
    assert await asyncio.to_thread(networks, line.register.incarnation) == []


def test_the_doctor_tells_that_jobs_would_have_no_network(tmp_path: Path, engine: object) -> None:
    done = asman("doctor", "--data-dir", str(tmp_path), "--json", before=WITHOUT_RIGHTS)
    found = {each["what"]: each for each in json.loads(done.stdout)["findings"]}["network"]
    assert (found["mark"], "no network" in found["says"]) == ("warning", True)
    assert "--cap-add=NET_ADMIN" in found["remedy"]


async def test_a_network_without_rules_is_there_only_if_the_operator_says_open(
    hub: FakeHub, tmp_path: Path, busybox_image: str
) -> None:
    with listening("0.0.0.0") as port:
        async with on_the_internet(hub, tmp_path, network="open") as line:
            assert line.register.executor == "docker, open network"
            gateway = await asyncio.to_thread(gateway_of, line)
            await outcome_of(line, "a", busybox_image, tries((gateway, port)))
            assert line.texts("a") == [f"open {gateway}"]
        async with on_the_internet(hub, tmp_path) as line:
            assert line.register.executor == "docker"
            gateway = await asyncio.to_thread(gateway_of, line)
            await outcome_of(line, "b", busybox_image, tries((gateway, port)))
            assert line.texts("b") == [f"closed {gateway}"]


async def test_a_container_whose_network_has_lost_its_rules_is_given_back(
    hub: FakeHub, tmp_path: Path, processes: AsmanProcesses, busybox_image: str
) -> None:
    data = ["--data-dir", str(tmp_path / "data"), "--local-images", "asman-test/*"]
    first = processes.worker(hub.url, *data)
    line = await hub.line()
    await line.answer()
    await line.assign("a", image=busybox_image, command="sleep 600")
    await line.expect(PhaseReport, lambda m: m.phase is Phase.RUNNING)
    first.kill()
    processes.worker(hub.url, *data, before=WITHOUT_RIGHTS)
    again = await hub.line()
    assert [held.job for held in again.register.holding] == [job("a")]
    await again.answer(keep=[Kept(job("a"), 1)])
    await again.expect(Released, lambda m: m.job == job("a"))


def test_a_claim_is_one_processs_until_it_lets_go() -> None:
    first = BridgeClaim.take("asman-00000001")
    assert first is not None
    assert BridgeClaim.take("asman-00000001") is None
    first.close()
    second = BridgeClaim.take("asman-00000001")
    assert second is not None
    second.close()
