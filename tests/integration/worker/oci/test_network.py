"""The network of containers without an engine: it leads to the internet, and nowhere else."""

from __future__ import annotations

import asyncio
import json
import secrets
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import pytest

from asman_shared.messages import STDOUT, Abort, Finished, LogBatch, Released
from asman_shared.states import Fault
from asman_worker.containers.bridge_claim import BridgeClaim
from asman_worker.containers.network import bridge_of
from asman_worker.containers.packet_filter import CLOSED
from asman_worker.oci import network as network_module
from asman_worker.oci.network import OwnBridge, remove_dead
from devtools.fake_hub import FakeHub, Line, job
from devtools.patience import PATIENCE
from tests.integration.worker.conftest import config_for, first_line, worker
from tests.integration.worker.reach import METADATA, aliased, listening, outcome_of, rules_there, tries
from tests.support.images import BUSYBOX

_GREETS = """
import socket
with socket.create_server(("0.0.0.0", 4000)) as server:
    print("up", flush=True)
    while True:
        with server.accept()[0] as connection:
            connection.sendall(b"hello from " + connection.getpeername()[0].encode())
"""


@asynccontextmanager
async def on_the_internet(hub: FakeHub, data: Path, archive: Path, **more: Any) -> AsyncIterator[Line]:
    """A worker with a network of its own."""
    choices = {"executor": "oci", "oci_image": str(archive), "network": "internet", **more}
    async with worker(config_for(hub, data, **choices)) as task:
        line = await first_line(hub, task)
        await line.answer()
        yield line


def ip(*words: str) -> str:
    return subprocess.check_output(["ip", *words], text=True)


@contextmanager
def far_host() -> Iterator[str]:
    """A host with a public address, in a network that only this machine has a route to; yields the address."""
    name = f"far-{secrets.token_hex(3)}"
    # Of a network that is nobody's on the internet here, and not one of those that are closed.
    near, far = "11.77.0.1", "11.77.0.2"
    ip("netns", "add", name)
    try:
        ip("link", "add", name, "type", "veth", "peer", "name", "eth0", "netns", name)
        ip("addr", "add", f"{near}/30", "dev", name)
        ip("link", "set", name, "up")
        ip("-n", name, "addr", "add", f"{far}/30", "dev", "eth0")
        ip("-n", name, "link", "set", "eth0", "up")
        words = ["ip", "netns", "exec", name, sys.executable, "-c", _GREETS]
        with subprocess.Popen(words, stdout=subprocess.PIPE) as server:
            assert server.stdout is not None
            assert server.stdout.readline() == b"up\n"
            try:
                yield far
            finally:
                server.kill()
    finally:
        subprocess.run(["ip", "link", "delete", name], check=False, capture_output=True)
        ip("netns", "delete", name)


def bridges() -> set[str]:
    """The bridges of workers without an engine."""
    return {each["ifname"] for each in json.loads(ip("-json", "link", "show")) if each.get("ifalias") == "asman-oci"}


def rules_of(bridge: str) -> list[str]:
    chain = f"ASMAN-{bridge.removeprefix('asman-').upper()}"
    nat = subprocess.check_output(["iptables", "-t", "nat", "-S", "POSTROUTING"], text=True).splitlines()
    return [rule for rule in (*rules_there(), *nat) if bridge in rule or chain in rule]


async def test_the_internet_is_reached_under_the_address_of_this_machine(
    hub: FakeHub, tmp_path: Path, busybox_archive: Path
) -> None:
    with far_host() as far:
        async with on_the_internet(hub, tmp_path, busybox_archive) as line:
            assert line.register.executor == "oci"
            script = (
                f"timeout 20 nc {far} 4000 </dev/null; echo; hostname -i; cat /etc/resolv.conf; ip -6 addr show eth0"
            )
            await outcome_of(line, "a", BUSYBOX, script)
            texts = line.texts("a", STDOUT)
            assert texts[0] == "hello from 11.77.0.1"
            assert texts[1].startswith("10.")
            assert not any("inet6" in text for text in texts)
            assert not any("no network" in text for text in line.texts("a"))


async def test_the_hosts_services_private_networks_and_metadata_are_out_of_reach(
    hub: FakeHub, tmp_path: Path, busybox_archive: Path
) -> None:
    with aliased(METADATA), listening("0.0.0.0") as port, far_host() as far:
        async with on_the_internet(hub, tmp_path, busybox_archive) as line:
            (bridge,) = bridges()
            (about,) = json.loads(ip("-json", "addr", "show", "dev", bridge))
            gateway = next(each["local"] for each in about["addr_info"] if each["family"] == "inet")
            assert not any(each["family"] == "inet6" for each in about["addr_info"])
            own = [
                each["local"]
                for link in json.loads(ip("-json", "addr", "show"))
                for each in link.get("addr_info", ())
                if each["family"] == "inet" and link["ifname"] not in ("lo", bridge)
            ]
            targets = [gateway, METADATA, *own[:6]]
            assert len(targets) > 3
            await outcome_of(line, "a", BUSYBOX, f"{tries(*((each, port) for each in targets))}; {tries((far, 4000))}")
            # The last is open, so that the test can fail.
            assert line.texts("a") == [*(f"closed {each}" for each in targets), f"open {far}"]


async def test_containers_can_not_reach_each_other_and_nobody_begins_a_connection_to_one(
    hub: FakeHub, tmp_path: Path, busybox_archive: Path
) -> None:
    serve = "hostname -i; echo up; while :; do echo hello | nc -l -p 4000; done"
    with far_host() as far:
        async with on_the_internet(hub, tmp_path, busybox_archive, cpus=4) as line:
            await line.assign("server", image=BUSYBOX, command=["sh", "-c", serve])
            await line.expect(LogBatch, lambda m: any(each.text == "up" for each in m.lines))
            address = line.texts("server")[0]
            await outcome_of(line, "a", BUSYBOX, tries((address, 4000)))
            assert line.texts("a", STDOUT) == [f"closed {address}"]
            # From elsewhere, by a route over this machine.
            name = next(each["ifname"] for each in json.loads(ip("-json", "link")) if each["ifname"].startswith("far-"))
            ip("-n", name, "route", "add", f"{address}/32", "via", "11.77.0.1")
            knock = ["ip", "netns", "exec", name, "timeout", "3", "busybox", "nc", address, "4000"]
            done = await asyncio.to_thread(subprocess.run, knock, capture_output=True, stdin=subprocess.DEVNULL)
            assert b"hello" not in done.stdout
            assert far
            await line.send(Abort(job("server"), 1))
            await line.expect(Released)


async def test_the_network_and_its_rules_are_gone_with_the_worker_and_its_containers(
    hub: FakeHub, tmp_path: Path, busybox_archive: Path
) -> None:
    async with on_the_internet(hub, tmp_path, busybox_archive) as line:
        bridge = bridge_of(line.register.incarnation)
        assert bridge in bridges()
        chain = f"ASMAN-{bridge[6:].upper()}"
        assert sum(rule.startswith(f"-A {chain} -d") for rule in rules_of(bridge)) >= len(CLOSED)
        await outcome_of(line, "a", BUSYBOX, "true")
        ports = {each["ifname"] for each in json.loads(ip("-json", "link")) if each.get("master") == bridge}
        assert len(ports) <= 1
    assert bridge not in bridges()
    assert rules_of(bridge) == []


@pytest.mark.parametrize("lost", ["rules", "translation", "bridge"])
async def test_what_is_lost_is_set_up_again_before_the_next_container(
    hub: FakeHub, tmp_path: Path, busybox_archive: Path, lost: str
) -> None:
    with far_host() as far:
        async with on_the_internet(hub, tmp_path, busybox_archive) as line:
            bridge = bridge_of(line.register.incarnation)
            before = rules_of(bridge)
            if lost == "bridge":
                ip("link", "delete", bridge)
            else:
                table = ["-t", "nat"] if lost == "translation" else []
                start = "-A POSTROUTING" if table else "-A FORWARD"
                for rule in before:
                    if rule.startswith(start):
                        words = rule.replace("-A", "-D", 1).split()
                        subprocess.run(["iptables", "-w", *table, *words], check=True)
            await outcome_of(line, "a", BUSYBOX, tries((far, 4000)))
            assert line.texts("a") == [f"open {far}"]
            assert sorted(rules_of(bridge)) == sorted(before)


async def test_a_container_is_not_started_where_its_rules_can_not_be_set_again(
    hub: FakeHub, tmp_path: Path, busybox_archive: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with on_the_internet(hub, tmp_path, busybox_archive) as line:
        bridge = bridge_of(line.register.incarnation)
        ip("link", "delete", bridge)
        found = network_module._found
        monkeypatch.setattr(network_module, "_found", lambda program: None if program == "ip" else found(program))
        outcome = await outcome_of(line, "a", BUSYBOX, "echo ran")
        assert (outcome.kind, outcome.fault) == ("error", Fault.WORKER)
        assert "its rules were removed, and can't be set up again" in outcome.message
        assert "ran" not in line.texts("a")
        monkeypatch.undo()


async def test_where_it_can_not_be_set_up_jobs_have_no_network_and_everybody_is_told(
    hub: FakeHub, tmp_path: Path, busybox_archive: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    off = tmp_path / "ip_forward"
    off.write_text("0\n")
    monkeypatch.setattr(network_module, "_FORWARD", off)
    async with on_the_internet(hub, tmp_path / "data", busybox_archive) as line:
        assert line.register.executor == "oci, no network"
        await outcome_of(line, "a", BUSYBOX, "ls /sys/class/net")
        assert "eth0" not in line.texts("a", STDOUT)
        assert any("this worker's jobs have no network" in text for text in line.texts("a"))
        assert bridge_of(line.register.incarnation) not in bridges()
        assert rules_of(bridge_of(line.register.incarnation)) == []


async def test_a_worker_that_starts_again_keeps_the_network_of_its_running_containers(
    hub: FakeHub, tmp_path: Path, busybox_archive: Path
) -> None:
    serve = f"hostname -i; echo up; until [ -e /job-cache/go ]; do sleep 0.05; done; {tries(('11.77.0.2', 4000))}"
    with far_host() as far:
        assert far == "11.77.0.2"
        first = OwnBridge("a-worker")
        await first.open({"there": "10.192.0.9"})
        assert first.usable, first.why
        lease = first.lease("another")
        assert lease.address != "10.192.0.9"
        await first.close()
        assert first.bridge not in bridges()
        async with on_the_internet(hub, tmp_path, busybox_archive) as line:
            await outcome_of(line, "a", BUSYBOX, f"mkdir -p /job-cache; touch /job-cache/go; {serve}")
            assert line.texts("a")[-1] == f"open {far}"


async def test_what_a_dead_worker_left_is_removed_and_never_what_a_living_one_has() -> None:
    living, dead = OwnBridge(f"living-{secrets.token_hex(4)}"), OwnBridge(f"dead-{secrets.token_hex(4)}")
    for each in (living, dead):
        await each.open({})
        assert each.usable, each.why
    assert dead._claim is not None
    dead._claim.close()
    try:
        await remove_dead()
        assert dead.bridge not in bridges()
        assert rules_of(dead.bridge) == []
        assert living.bridge in bridges()
        assert BridgeClaim.take(living.bridge) is None
    finally:
        await living.close()
    assert living.bridge not in bridges()


async def test_two_workers_have_networks_that_do_not_overlap() -> None:
    bridges_of_two = [OwnBridge(f"worker-{secrets.token_hex(4)}") for _ in range(2)]
    try:
        for each in bridges_of_two:
            await each.open({})
            assert each.usable, each.why
        one, two = (each._network for each in bridges_of_two)
        assert one is not None
        assert two is not None
        assert not one.network.overlaps(two.network)
    finally:
        for each in bridges_of_two:
            await each.close()


async def test_a_port_goes_with_its_container(hub: FakeHub, tmp_path: Path, busybox_archive: Path) -> None:
    async with on_the_internet(hub, tmp_path, busybox_archive) as line:
        bridge = bridge_of(line.register.incarnation)
        for number in range(3):
            await line.acknowledge(await _ended(line, f"job-{number}"))
        async with asyncio.timeout(PATIENCE):
            while any(each.get("master") == bridge for each in json.loads(ip("-json", "link"))):
                await asyncio.sleep(0.05)


async def _ended(line: Line, name: str) -> Finished:
    await line.assign(name, image=BUSYBOX, command="true")
    return await line.expect(Finished, lambda m: m.job == job(name))
