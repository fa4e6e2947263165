"""What a container may not do, tried from inside of real ones."""

from __future__ import annotations

import asyncio
import json
import re
import socket
import subprocess
from pathlib import Path
from typing import Any

import pytest

from asman_shared.definition import Build, DataRef, Requirements, Step
from asman_shared.messages import STDOUT, Abort, Finished, LogBatch, PhaseReport, Released
from asman_shared.states import Fault, Phase
from asman_shared.units import MIB
from asman_worker.containers.packet_filter import CLOSED
from asman_worker.execution import disk_use
from asman_worker.execution.disk_use import DiskGuard
from asman_worker.oci.cgroups import Layout, Limits
from devtools.fake_hub import FakeHub, Line, job
from devtools.patience import PATIENCE
from tests.integration.worker.conftest import config_for, first_line, worker
from tests.integration.worker.reach import (
    METADATA,
    aliased,
    listening,
    networks,
    on_the_internet,
    outcome_of,
    rules_there,
    tries,
)


async def test_a_container_has_few_rights_and_gains_none(line: Line, busybox_image: str, means: dict[str, Any]) -> None:
    script = (
        "grep -E 'CapEff|CapBnd|NoNewPrivs|Seccomp:' /proc/self/status; cat /proc/1/comm; ulimit -c; "
        "mknod /tmp/disk b 8 0 2>&1; mount -t tmpfs none /mnt 2>&1; "
        "chroot / true && echo chroot; touch /tmp/x && chown nobody /tmp/x && echo chown; true"
    )
    outcome = await outcome_of(line, "a", busybox_image, script)
    said = "\n".join(line.texts("a", STDOUT))
    assert outcome.exit_code == 0, said
    bound = int(said.split("CapBnd:")[1].split()[0], 16)
    # CAP_SYS_ADMIN 21, CAP_NET_RAW 13, CAP_MKNOD 27, CAP_NET_ADMIN 12, CAP_SYS_PTRACE 19, CAP_AUDIT_WRITE 29
    assert not any(bound >> number & 1 for number in (12, 13, 19, 21, 27, 29))
    assert "NoNewPrivs:\t1" in said
    assert "Seccomp:\t2" in said
    assert any(init in said for init in ("docker-init", "tini", "asman-init", "bwrap"))
    assert "mknod" in said
    assert "not permitted" in said
    # Without further ids there is nobody to give a file to.
    assert ("chown" in said.splitlines()) is (means["executor"] != "bubblewrap")


async def test_a_fork_bomb_ends_at_its_bound_and_the_worker_goes_on(
    hub: FakeHub, tmp_path: Path, busybox_image: str, means: dict[str, Any]
) -> None:
    async with worker(config_for(hub, tmp_path, pids=64, **means)) as task:
        line = await first_line(hub, task)
        await line.answer()
        bomb = "i=0; while [ $i -lt 200 ]; do sleep 60 & i=$((i+1)); done; echo all"
        await outcome_of(line, "a", busybox_image, ["sh", "-c", bomb], requirements=Requirements(memory="256MiB"))
        assert "all" not in line.texts("a")
        assert any("fork" in text for text in line.texts("a"))
        assert (await outcome_of(line, "b", busybox_image, "true")).exit_code == 0


async def test_a_job_that_says_nothing_may_use_its_share_of_memory_and_is_told_so(
    hub: FakeHub, tmp_path: Path, busybox_image: str, means: dict[str, Any]
) -> None:
    async with worker(config_for(hub, tmp_path, cpus=4, memory="256MiB", **means)) as task:
        line = await first_line(hub, task)
        await line.answer()
        hog = "x=$(head -c 200000000 /dev/zero | tr '\\0' x); echo ${#x}"
        outcome = await outcome_of(line, "a", busybox_image, ["sh", "-c", hog])
        assert (outcome.kind, outcome.message) == (
            "out_of_memory",
            "it needed more memory than the 64 MiB that it may have",
        )


async def test_exit_137_alone_is_no_lack_of_memory(line: Line, busybox_image: str) -> None:
    outcome = await outcome_of(line, "a", busybox_image, ["sh", "-c", "exit 137"])
    assert (outcome.kind, outcome.exit_code) == ("exited", 137)


@pytest.mark.parametrize("place", ["/filling", "/outputs/filling", "/job-cache/filling", "/volume/filling"])
async def test_a_disk_filler_is_stopped(hub: FakeHub, tmp_path: Path, busybox_image: str, place: str) -> None:
    async with worker(config_for(hub, tmp_path, disk="20MiB", pull="never")) as task:
        line = await first_line(hub, task)
        await line.answer()
        filler = f"dd if=/dev/zero of={place} bs=1M count=60; sleep 600"
        build = Build(dockerfile="FROM asman-test/busybox\nVOLUME /volume")
        await line.assign("a", build=build, command=["sh", "-c", filler])
        outcome = (await line.expect(Finished)).outcome
        assert (outcome.kind, outcome.fault) == ("error", Fault.JOB)
        assert "and the maximum is 20 MiB (--disk)" in outcome.message


async def test_the_bound_of_the_disk_is_one_for_all_commands_of_a_job(
    hub: FakeHub, tmp_path: Path, busybox_image: str, means: dict[str, Any]
) -> None:
    async with worker(config_for(hub, tmp_path, disk="20MiB", **means)) as task:
        line = await first_line(hub, task)
        await line.answer()
        first, second = (f"dd if=/dev/zero of=/job-cache/{name} bs=1M count=14" for name in ("one", "two"))
        fits = Step(command=["sh", "-c", "echo fits"])
        await line.assign("a", image=busybox_image, command=["sh", "-c", first], steps=[fits])
        assert (await line.expect(Finished)).outcome.exit_code == 0
        other = first.replace("/one", "/other")
        more = Step(command=["sh", "-c", f"{second}; sleep 600"])
        await line.assign("b", image=busybox_image, command=["sh", "-c", other], steps=[more])
        outcome = (await line.expect(Finished, lambda m: m.job == job("b"))).outcome
        assert (outcome.kind, outcome.fault) == ("error", Fault.JOB), line.texts("b")
        assert "and the maximum is 20 MiB (--disk)" in outcome.message


@pytest.mark.parametrize(("place", "made"), [("/outputs", 60), ("/many", 61)])
async def test_a_job_that_makes_too_many_files_is_stopped(
    hub: FakeHub, tmp_path: Path, busybox_image: str, means: dict[str, Any], place: str, made: int
) -> None:
    async with worker(config_for(hub, tmp_path, disk_files=50, **means)) as task:
        line = await first_line(hub, task)
        await line.answer()
        script = f"mkdir -p {place}; for each in $(seq 60); do : > {place}/$each; done; sleep 600"
        outcome = await outcome_of(line, "a", busybox_image, ["sh", "-c", script])
        assert (outcome.kind, outcome.fault) == ("error", Fault.JOB)
        found = re.fullmatch(
            r"stopped: it made (\d+) files, and the maximum is 50 \(ASMAN_WORKER_DISK_FILES\)", outcome.message
        )
        assert found is not None, outcome.message
        assert 50 < int(found[1]) <= made  # it may be measured while it is still making them


async def up(line: Line, name: str) -> None:
    """Waits until a job has said that it is up."""
    await line.expect(LogBatch, lambda m: m.job == job(name) and any(each.text == "up" for each in m.lines))


@pytest.mark.parametrize("means", ["docker", "oci"], indirect=True)  # its bounds are changed in this process
async def test_before_the_disk_is_full_the_job_that_wrote_the_most_is_stopped_and_the_others_go_on(
    hub: FakeHub, tmp_path: Path, busybox_image: str, means: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    left = [10**12]
    guards: list[DiskGuard] = []

    def remaining(guard: DiskGuard) -> int:
        guards.append(guard)
        return left[0]

    monkeypatch.setattr(DiskGuard, "_left", remaining)
    monkeypatch.setattr(disk_use, "_MAKING_ROOM_SECONDS", PATIENCE)  # ending a container may take long
    async with worker(config_for(hub, tmp_path, cpus=2, disk_reserve="1MiB", **means)) as task:
        line = await first_line(hub, task)
        await line.answer()
        for name, size in (("small", 1), ("large", 8)):
            script = f"dd if=/dev/zero of=/outputs/x bs=1M count={size}; echo up; until [ -e /job-cache/go ]"
            await line.assign(name, image=busybox_image, command=["sh", "-c", f"{script}; do sleep 0.1; done"])
            await up(line, name)
        async with asyncio.timeout(PATIENCE):
            # What a job wrote since its last measurement is not known yet.
            while max((each.use.bytes for each in guards[-1]._writers), default=0) < 8 * MIB if guards else True:
                await asyncio.sleep(0.05)
        left[0] = 100
        outcome = (await line.expect(Finished, lambda m: m.job == job("large"))).outcome
        assert (outcome.kind, outcome.fault) == ("error", Fault.WORKER)
        assert outcome.message.startswith("stopped: it wrote 8 MiB, the most of all jobs here")
        left[0] = 10**12
        await outcome_of(line, "go", busybox_image, ["touch", "/job-cache/go"])
        assert (await line.expect(Finished, lambda m: m.job == job("small"))).outcome.exit_code == 0


async def test_a_build_step_that_fills_the_disk_is_stopped_and_leaves_nothing(
    hub: FakeHub, tmp_path: Path, busybox_image: str
) -> None:
    async with worker(config_for(hub, tmp_path, disk="20MiB", pull="never")) as task:
        line = await first_line(hub, task)
        await line.answer()
        fill = "RUN dd if=/dev/zero of=/a bs=1M count={0} && sleep 600 # asman-filler"
        text = f"FROM asman-test/busybox\nRUN echo {tmp_path}\n{fill.format(60)}"
        await line.assign("a", build=Build(dockerfile=text), command="true")
        outcome = (await line.expect(Finished)).outcome
        assert (outcome.kind, outcome.fault) == ("error", Fault.JOB)
        assert outcome.message.startswith("the build was stopped: it wrote ")
        assert outcome.message.endswith("and the maximum is 20 MiB (--disk)")
        shown = ["docker", "ps", "-a", "--no-trunc", "--format", "{{.Command}}"]
        async with asyncio.timeout(PATIENCE):
            while "asman-filler" in await asyncio.to_thread(subprocess.check_output, shown, text=True):
                await asyncio.sleep(0.1)


async def test_a_fork_bomb_in_a_build_ends_at_the_bound_of_jobs(
    hub: FakeHub, tmp_path: Path, busybox_image: str
) -> None:
    async with worker(config_for(hub, tmp_path, pids=64, pull="never")) as task:
        line = await first_line(hub, task)
        await line.answer()
        bomb = "i=0; while [ $i -lt 3000 ]; do sleep 60 & i=$((i+1)); done; echo all"
        text = f"FROM asman-test/busybox\nRUN echo {tmp_path}; {bomb}"
        await line.assign("a", build=Build(dockerfile=text), command="true")
        outcome = (await line.expect(Finished)).outcome
        assert (outcome.kind, outcome.fault) == ("error", Fault.JOB)
        assert "all" not in line.texts("a", STDOUT)
        assert any("fork" in text for text in line.texts("a"))


async def test_a_log_flood_is_bounded_and_the_job_goes_on(
    hub: FakeHub, tmp_path: Path, busybox_image: str, means: dict[str, Any]
) -> None:
    async with worker(config_for(hub, tmp_path, max_log="100KiB", **means)) as task:
        line = await first_line(hub, task)
        await line.answer()
        outcome = await outcome_of(line, "a", busybox_image, "seq 1 300000; echo last")
        assert outcome.exit_code == 0
        assert line.texts("a")[-1] == "last"
        assert len(line.lines("a")) < 100_000
        assert outcome.lines == 300_001


async def test_who_ignores_the_polite_request_is_killed_after_the_grace_and_told_which_phase_ran_out(
    hub: FakeHub, tmp_path: Path, busybox_image: str, means: dict[str, Any]
) -> None:
    async with worker(config_for(hub, tmp_path, stop_grace="300ms", max_duration="400ms", **means)) as task:
        line = await first_line(hub, task)
        await line.answer()
        outcome = await outcome_of(line, "a", busybox_image, ["sh", "-c", "trap '' TERM; while :; do sleep 1; done"])
        assert outcome.kind == "timed_out"
        assert outcome.message == (
            "stopped: running took longer than its limit of 400 ms, and it ignored SIGTERM for 300 ms"
        )
        polite = await outcome_of(line, "b", busybox_image, "sleep 600")
        assert polite.message == "stopped: running took longer than its limit of 400 ms"


async def test_without_a_network_loopback_and_localhost_are_there_and_nothing_else(
    line: Line, busybox_image: str
) -> None:
    script = (
        "ip route | wc -l; tail -n +3 /proc/net/dev | cut -d: -f1 | tr -d ' '; "
        # The client has more to send for a while: a listener that reads its end first sends nothing.
        "echo hello | nc -l -p 4000 & until sleep 1 | nc -w 1 localhost 4000; do :; done; wait"
    )
    await outcome_of(line, "a", busybox_image, ["sh", "-c", script])
    assert line.texts("a", STDOUT) == ["0", "lo", "hello"]


# ------------------------------------------------------------------------------------------- the network of our own


async def test_the_hosts_services_private_networks_and_metadata_are_out_of_reach(
    hub: FakeHub, tmp_path: Path, busybox_image: str
) -> None:
    with aliased(METADATA), listening("0.0.0.0") as port:
        async with on_the_internet(hub, tmp_path) as line:
            network = (await asyncio.to_thread(networks, line.register.incarnation))[0]
            gateway = network["IPAM"]["Config"][0].get("Gateway") or "172.17.0.1"
            own = _own_address()
            script = tries((gateway, port), (METADATA, port), (own, port))
            await outcome_of(line, "a", busybox_image, script)
            assert line.texts("a") == [f"closed {gateway}", f"closed {METADATA}", f"closed {own}"]
            # The same without walls is open, so that the test can fail.
            assert await asyncio.to_thread(_unwalled, busybox_image, tries((METADATA, port))) == f"open {METADATA}"


def _own_address() -> str:
    """The address of this host towards the world."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.connect(("198.51.100.1", 9))
        return str(probe.getsockname()[0])


def _unwalled(image: str, script: str) -> str:
    command = ["docker", "run", "--rm", image, "sh", "-c", script]
    return subprocess.check_output(command, text=True).strip()


async def test_containers_can_not_reach_each_other(hub: FakeHub, tmp_path: Path, busybox_image: str) -> None:
    async with on_the_internet(hub, tmp_path) as line:
        serve = "hostname -i; echo up; while :; do echo hello | nc -l -p 4000; done"
        await line.assign("server", image=busybox_image, command=["sh", "-c", serve])
        await line.expect(LogBatch, lambda m: any(each.text == "up" for each in m.lines))
        address = line.texts("server")[0]
        await outcome_of(line, "a", busybox_image, tries((address, 4000)))
        assert line.texts("a") == [f"closed {address}"]
        await line.send(Abort(job("server"), 1))
        await line.expect(Released)


async def test_the_network_and_its_rules_are_gone_with_the_worker(
    hub: FakeHub, tmp_path: Path, busybox_image: str
) -> None:
    async with on_the_internet(hub, tmp_path) as line:
        incarnation = line.register.incarnation
        found = await asyncio.to_thread(networks, incarnation)
        assert len(found) == 1
        bridge = found[0]["Options"]["com.docker.network.bridge.name"]
        rules = await asyncio.to_thread(rules_there)
        assert sum(bridge in rule for rule in rules) > 1
        assert sum(f"-A ASMAN-{bridge[6:].upper()} -d" in rule for rule in rules) >= len(CLOSED)
    assert await asyncio.to_thread(networks, incarnation) == []
    rules = await asyncio.to_thread(rules_there)
    assert not any(bridge in rule or f"ASMAN-{bridge[6:].upper()}" in rule for rule in rules)


async def test_a_build_has_no_way_to_the_host_either(hub: FakeHub, tmp_path: Path, busybox_image: str) -> None:
    with aliased(METADATA), listening(METADATA) as port:
        async with on_the_internet(hub, tmp_path, pull="never") as line:
            text = f"FROM asman-test/busybox\nRUN {tries((METADATA, port))} # {port}\n"
            await line.assign("a", build=Build(dockerfile=text), command="true")
            await line.expect(Finished)
            assert f"closed {METADATA}" in line.texts("a")


async def test_an_engine_without_the_runtime_that_is_asked_for_is_told(
    hub: FakeHub, tmp_path: Path, engine: object
) -> None:
    async with worker(config_for(hub, tmp_path, runtime="runc")) as task:
        await first_line(hub, task)
    with pytest.raises(Exception, match="the engine has no runtime 'no-such'"):
        async with worker(config_for(hub, tmp_path, runtime="no-such")) as task:
            await asyncio.wait((task,))


# --------------------------------------------------------------------------------------------------- hostile names


async def test_config_files_at_absolute_paths_are_in_the_container_and_never_on_the_host(
    line: Line, busybox_image: str
) -> None:
    place = "/asman-hostile-test/inner/app.conf"
    await outcome_of(line, "a", busybox_image, f"cat {place}", config_files={place: DataRef("inside\n")})
    assert line.texts("a") == ["inside"]
    assert not Path(place).parent.exists()


@pytest.mark.parametrize(
    "name", ["/inputs", "/outputs/x", "/proc/x", "/dev/null", "/a:b", "/../../etc/x", "/sys/kernel/x", "/job-cache/x"]
)
async def test_config_files_can_not_be_put_everywhere(line: Line, busybox_image: str, name: str) -> None:
    outcome = await outcome_of(line, "a", busybox_image, "true", config_files={name: DataRef("x")})
    assert (outcome.kind, outcome.fault) == ("error", Fault.JOB)
    assert "\n" not in outcome.message


async def test_links_pipes_and_devices_in_the_outputs_are_told_and_never_followed(
    hub: FakeHub, line: Line, busybox_image: str
) -> None:
    script = (
        "cd /outputs; ln -s /etc/passwd link; ln -s ../../../../etc folder; mkfifo pipe; echo fine > fine; "
        "mkdir deep; ln -s / deep/root; ln fine hard"
    )
    await line.assign("a", image=busybox_image, command=["sh", "-c", script])
    result = (await line.expect(Finished)).outcome.result
    assert set(result.outputs) == {"fine", "hard"}
    assert set(result.skipped) == {"link", "folder", "pipe", "deep/root"}


async def test_more_shared_memory_than_memory_is_refused(line: Line, busybox_image: str) -> None:
    needs = Requirements(memory="64MiB")
    outcome = await outcome_of(line, "a", busybox_image, "true", shm_size="1GiB", requirements=needs)
    assert "shmSize is 1 GiB, more than the job's memory of 64 MiB" in outcome.message
    await outcome_of(line, "b", busybox_image, "df -k /dev/shm | tail -1", shm_size="32MiB", requirements=needs)
    assert "32768" in line.texts("b")[0]


@pytest.mark.parametrize("means", ["docker", "oci", "oci, ordinary user"], indirect=True)
async def test_cpus_are_enforced_on_the_container(
    line: Line, tmp_path: Path, busybox_image: str, means: dict[str, Any]
) -> None:
    needs = Requirements(cpus=0.5, memory="64MiB")
    await line.assign("a", image=busybox_image, command="sleep 600", requirements=needs)
    await line.expect(PhaseReport, lambda m: m.phase is Phase.RUNNING)
    if means["executor"] == "docker":
        label = f"label=asman.job={job('a')}"
        ask = ["docker", "ps", "-q", "--filter", label]
        ids = (await asyncio.to_thread(subprocess.check_output, ask, text=True)).split()
        shown = await asyncio.to_thread(subprocess.check_output, ["docker", "inspect", *ids])
        host = json.loads(shown)[0]["HostConfig"]
        assert (host["NanoCpus"], host["PidsLimit"], host["Init"]) == (500_000_000, 4096, True)
        assert host["SecurityOpt"] == ["no-new-privileges"]
        assert host["CapDrop"] == ["ALL"]
    else:
        layout = Layout.find()
        (state,) = (tmp_path / "data").glob(f"oci/*/asman-{job('a')[:12]}-*/state.json")
        groups = Path(f"/proc/{json.loads(state.read_bytes())['pid']}/cgroup").read_text().splitlines()
        group = next(path for _, names, path in (each.split(":", 2) for each in groups) if names in ("pids", ""))
        limits = Limits(64 * MIB, 500, 4096)
        checks = layout.checks(limits, group)
        assert {each["what"] for each in checks} == {"the processes", "the cpus", "the memory"}
        for each in checks:
            assert Path(each["folder"], each["file"]).read_text().strip() in each["accepted"]
    await line.send(Abort(job("a"), 1))
    await line.expect(Released)
