"""A worker as a service: several queues, an end of its own, an engine that comes and goes, disk within bounds."""

from __future__ import annotations

import asyncio
import hashlib
import json
import signal
import subprocess
from contextlib import AsyncExitStack
from pathlib import Path

import aiohttp
import pytest

from asman_shared.definition import DataRef, Requirements
from asman_shared.errors import Unavailable
from asman_shared.messages import Drain, Finished, Kept, LogBatch, PhaseReport, Released
from asman_shared.states import Fault, Phase
from asman_worker import neighbours, run_worker
from asman_worker.images.engine import close_engine, open_engine
from asman_worker.images.usage import ImageUsage
from devtools import base_image
from devtools.fake_hub import FakeHub, Line, fake_hub, job
from devtools.patience import PATIENCE
from devtools.ports import free_port
from devtools.registry import running_registry
from tests.support.images import BUSYBOX
from tests.support.own_engine import OwnEngine, own_engine

from .conftest import config_for, first_line, worker


async def running(line: Line, name: str) -> PhaseReport:
    return await line.expect(PhaseReport, lambda m: m.phase is Phase.RUNNING and m.job == job(name))


async def finished(line: Line, name: str) -> Finished:
    return await line.expect(Finished, lambda m: m.job == job(name))


# --------------------------------------------------------------------------------------------------- several queues


async def test_one_worker_serves_several_hubs_and_never_gives_more_than_it_has(
    hub: FakeHub, tmp_path: Path, busybox_image: str
) -> None:
    async with AsyncExitStack() as parts:
        other = await parts.enter_async_context(fake_hub())
        queues = f"{hub.url} {other.url}"
        await parts.enter_async_context(worker(config_for(hub, tmp_path, queue=queues, cpus=1)))
        one, two = await hub.line(), await other.line()
        assert one.register.incarnation != two.register.incarnation
        await one.answer()
        await two.answer()
        wait = "until [ -e /job-cache/go ]; do sleep 0.05; done; echo done"
        needs = Requirements(cpus=1)
        await one.assign("same", image=busybox_image, command=wait, requirements=needs)
        await running(one, "same")
        # The same job of another queue is another run, and waits as all cpus are taken.
        await two.assign("same", image=busybox_image, command="echo mine", requirements=needs)
        await two.expect(PhaseReport, lambda m: m.phase is Phase.STAGING)
        await asyncio.to_thread(subprocess.check_output, ["docker", "ps"])
        assert not any(isinstance(m, PhaseReport) and m.phase is Phase.RUNNING for m in two.messages)
        next((tmp_path / "cache").iterdir()).joinpath("go").touch()
        assert (await finished(one, "same")).outcome.exit_code == 0
        assert (await finished(two, "same")).outcome.exit_code == 0
        assert (one.texts("same"), two.texts("same")) == (["done"], ["mine"])


async def test_a_hub_that_is_away_does_not_keep_a_worker_from_the_others(
    hub: FakeHub, tmp_path: Path, busybox_image: str
) -> None:
    nobody = f"http://127.0.0.1:{free_port()}/q/none"
    async with worker(config_for(hub, tmp_path, queue=f"{nobody},{hub.url}")):
        line = await hub.line()
        await line.answer()
        await line.assign("a", image=busybox_image, command="true")
        assert (await finished(line, "a")).outcome.exit_code == 0


async def test_what_ran_for_a_queue_that_is_not_served_any_more_is_removed(
    hub: FakeHub, tmp_path: Path, busybox_image: str
) -> None:
    async with fake_hub() as other:
        task = asyncio.create_task(
            run_worker(config_for(hub, tmp_path, queue=f"{hub.url} {other.url}"), stop=asyncio.Event())
        )
        await hub.line()
        line = await other.line()
        incarnation = line.register.incarnation
        task.cancel()
        await asyncio.wait((task,))
        # As a worker that was killed would leave it.
        label = f"asman.worker={incarnation}"
        made = ["docker", "run", "-d", "--label", label, "--label", "asman.job=x", busybox_image, "sleep", "600"]
        subprocess.run(made, check=True, capture_output=True)
    async with worker(config_for(hub, tmp_path)) as again:
        await first_line(hub, again)
        left = subprocess.check_output(["docker", "ps", "-aq", "--filter", f"label={label}"])
        assert left == b""


# ------------------------------------------------------------------------------------------------- an end of its own


async def test_once_is_one_job_and_what_crossed_it_is_given_back(
    hub: FakeHub, tmp_path: Path, busybox_image: str
) -> None:
    task = asyncio.create_task(run_worker(config_for(hub, tmp_path, max_jobs=1), stop=asyncio.Event()))
    line = await first_line(hub, task)
    await line.answer()
    await line.assign("a", image=busybox_image, command="true")
    await line.assign("b", image=busybox_image, command="true")
    await line.expect(Released, lambda m: m.job == job("b"))
    kinds = [type(m) for m in line.messages]
    assert kinds.index(Drain) < kinds.index(Released)
    await line.acknowledge(await finished(line, "a"))
    assert await task == 0


async def test_a_worker_that_nobody_needs_goes(hub: FakeHub, tmp_path: Path, busybox_image: str) -> None:
    task = asyncio.create_task(run_worker(config_for(hub, tmp_path, exit_when_idle="1s"), stop=asyncio.Event()))
    line = await first_line(hub, task)
    await line.answer()
    await line.assign("a", image=busybox_image, command="sleep 1.5; echo long enough")
    result = await finished(line, "a")
    assert line.texts("a") == ["long enough"]
    await line.acknowledge(result)
    await line.expect(Drain)
    assert await task == 0


# ----------------------------------------------------------------------------------------------- the engine's comings


@pytest.fixture(scope="module")
def frail() -> object:
    """An engine that tests of this module may stop."""
    with own_engine() as engine:
        base_image.ensure(engine.host, BUSYBOX)
        yield engine


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
async def test_a_job_whose_engine_is_stopped_is_given_back_and_the_worker_goes_on(
    hub: FakeHub, tmp_path: Path, frail: OwnEngine, number: int
) -> None:
    async with worker(config_for(hub, tmp_path, docker=frail.host)) as task:
        line = await first_line(hub, task)
        await line.answer()
        # It ends well when it is asked to: what it says then is still not its result.
        await line.assign("a", image=BUSYBOX, command="trap 'exit 0' TERM; echo up; while :; do sleep 0.1; done")
        await line.expect(LogBatch, lambda m: any(each.text == "up" for each in m.lines))
        await asyncio.to_thread(frail.restart, number)
        await line.expect(Released, lambda m: m.job == job("a"))
        assert not any(isinstance(m, Finished) for m in line.messages)
        await line.assign("b", image=BUSYBOX, command="echo again")
        assert (await finished(line, "b")).outcome.exit_code == 0


async def test_a_job_that_brings_its_engine_down_each_time_does_not_go_round_for_ever(
    hub: FakeHub, tmp_path: Path, frail: OwnEngine
) -> None:
    async with worker(config_for(hub, tmp_path, docker=frail.host)) as task:
        line = await first_line(hub, task)
        await line.answer()
        for attempt in (1, 2, 3):
            await line.assign("a", attempt, image=BUSYBOX, command=f"echo up {attempt}; sleep 600", log_next=attempt)
            await line.expect(LogBatch, lambda m, n=attempt: any(each.text == f"up {n}" for each in m.lines))  # type: ignore[misc]
            await asyncio.to_thread(frail.restart)
            if attempt < 3:
                await line.expect(Released, lambda m, n=attempt: m.attempt == n)  # type: ignore[misc]
        outcome = (await finished(line, "a")).outcome
        assert (outcome.kind, outcome.fault) == ("error", Fault.WORKER)
        assert outcome.message == "the container engine was stopped while the job ran, 3 times on this worker"


# ----------------------------------------------------------------------------------------------------------- the disk


async def test_an_input_comes_once_and_a_damaged_one_again(hub: FakeHub, tmp_path: Path, busybox_image: str) -> None:
    key = hub.store(b"an input\n" * 1000)
    async with worker(config_for(hub, tmp_path)) as task:
        line = await first_line(hub, task)
        await line.answer()

        async def read(name: str) -> None:
            await line.assign(
                name, image=busybox_image, command="sha256sum /inputs/x", inputs={"x": DataRef(key, "key")}
            )
            await finished(line, name)
            assert line.texts(name)[0].split()[0] == key

        await read("a")
        kept = tmp_path / "inputs" / key
        data = hub.blobs.pop(key)
        hub.blobs[key] = b"the hub's copy is not asked for"
        await read("b")
        hub.blobs[key] = data
        kept.chmod(0o600)
        kept.write_bytes(b"poisoned")
        await read("c")
        assert hashlib.sha256(kept.read_bytes()).hexdigest() == key


async def test_images_that_nobody_uses_go_and_those_of_others_and_of_running_jobs_stay(
    hub: FakeHub, tmp_path: Path, busybox_image: str
) -> None:
    async with running_registry() as registry:
        names = [
            registry.add(f"app-{tmp_path.name}-{n}:v1".lower(), {"n": str(tmp_path / str(n)).encode()}) for n in "abc"
        ]
        async with worker(config_for(hub, tmp_path, allow_host="127.0.0.1")) as task:
            line = await first_line(hub, task)
            await line.answer()
            for name, image in zip("abc", names, strict=True):
                await line.assign(name, image=image, command="true")
                await finished(line, name)
            await line.assign("others", image=busybox_image, command="true")
            await finished(line, "others")
    own = json.loads((tmp_path / "images.json").read_text())
    assert len(own) == 3
    image_usage = ImageUsage(tmp_path / "images.json", most=1)
    held = next(iter(own))
    image_usage.hold(held)
    docker, _ = await open_engine()
    try:
        await image_usage.trim(docker)
        left = [image["Id"] for image in await docker.images.list()]
    finally:
        await close_engine(docker)
    assert [image in left for image in own] == [True, False, False]
    assert subprocess.run(["docker", "inspect", busybox_image], check=False, capture_output=True).returncode == 0


# ------------------------------------------------------------------------------------------------------------- status


async def test_health_and_metrics_tell_what_is_and_never_a_queues_name(
    hub: FakeHub, tmp_path: Path, busybox_image: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(neighbours, "offers", list)  # other tests may run workers at the same time
    port = free_port()
    async with worker(config_for(hub, tmp_path, status=port)) as task, aiohttp.ClientSession() as session:
        line = await first_line(hub, task)

        async def get(path: str) -> tuple[int, str]:
            async with session.get(f"http://127.0.0.1:{port}{path}") as answer:
                return answer.status, await answer.text()

        assert (await get("/healthz"))[0] == 503
        await line.answer()
        await line.assign("a", image=busybox_image, command="sleep 600")
        await running(line, "a")
        assert await get("/healthz") == (200, '{"ok": true, "problems": [], "notes": []}')
        status, text = await get("/metrics")
        assert status == 200
        for expected in ("asman_worker_jobs 1", "asman_worker_engine_up 1", "asman_worker_jobs_begun_total 1"):
            assert expected in text.splitlines()
        assert "a-queue-for-tests" not in text
        assert 'asman_worker_connected{queue="q-' in text
        assert hashlib.sha256(b"a-queue-for-tests").hexdigest()[:8] not in text
        await hub.stop()
        async with asyncio.timeout(PATIENCE):
            while (await get("/healthz"))[0] != 503:
                await asyncio.sleep(0.05)
        await hub.start()
        again = await first_line(hub, task)
        await again.answer([Kept(job("a"), 1)])


async def test_workers_that_offer_the_same_memory_say_so_to_the_list_and_on_healthz(
    hub: FakeHub, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    port = free_port()
    said = "workers on this machine offer "
    async with worker(config_for(hub, tmp_path / "one", executor="process")) as first:
        await (await first_line(hub, first)).answer()
        with caplog.at_level("WARNING", "asman.worker.neighbours"):
            second = config_for(hub, tmp_path / "two", executor="process", status=port)
            async with worker(second) as task, aiohttp.ClientSession() as session:
                line = await first_line(hub, task)
                await line.answer()
                assert line.register.agent.startswith("asman-worker/")
                assert said in line.register.remark
                async with session.get(f"http://127.0.0.1:{port}/healthz") as answer:
                    (note,) = (await answer.json())["notes"]
        assert said in note
        assert said in caplog.text


async def test_a_status_port_that_is_taken_is_a_clear_word(hub: FakeHub, tmp_path: Path, engine: object) -> None:
    port = hub.base.rpartition(":")[2]
    with pytest.raises(Unavailable, match="the status port"):
        await run_worker(config_for(hub, tmp_path, status=port), stop=asyncio.Event())
