"""Keys in people's hands: the command line, the library and real workers, on a real hub."""

from __future__ import annotations

import asyncio
import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

import asman
import asman.sync
from asman_shared.address import parse_address
from asman_shared.errors import Forbidden, NotFound, ProtocolError
from asman_shared.keys.derived import key_addresses
from devtools.asman_processes import AsmanProcesses, HubProcess, asman_command, clean_environment
from devtools.patience import PATIENCE

QUEUE = "in-the-hands-of-people"


def command(*words: str, config: Path) -> subprocess.CompletedProcess[str]:
    environment = clean_environment({"ASMAN_CONFIG_HOME": str(config)})
    return subprocess.run(
        [*asman_command(), *words], capture_output=True, text=True, timeout=PATIENCE, env=environment, check=False
    )


@pytest.fixture
def urls(hub: HubProcess) -> dict[str, str]:
    """The keys to the queue, of which the hub has not been told."""
    made = key_addresses(parse_address(hub.queue(QUEUE)))
    return {kind.replace("+", "_"): each.url for kind, each in made.items()}


def worker(processes: AsmanProcesses, url: str, folder: Path) -> Any:
    return processes.worker(url, "--executor", "process", "--name", "by-key", "--data-dir", str(folder))


async def test_the_keys_that_the_command_prints_work_at_once_and_after_a_restart(
    hub: HubProcess, urls: dict[str, str], tmp_path: Path
) -> None:
    with pytest.raises(NotFound, match="run 'asman queue keys' with the queue URL"):
        await asman.connect(urls["read"]).open()
    done = await asyncio.to_thread(command, "queue", "keys", hub.queue(QUEUE), "--json", config=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert json.loads(done.stdout) == urls
    for _ in range(2):
        async with asman.connect(urls["read"]) as reading:
            assert reading.rights == {"read"}
        await asyncio.to_thread(hub.restart)


def test_keys_are_printed_without_a_hub_and_it_is_said_from_when_they_work(tmp_path: Path) -> None:
    done = command("queue", "keys", f"http://127.0.0.1:1/q/{QUEUE}", config=tmp_path)
    assert done.returncode == 0
    assert "submit and read" in done.stdout
    assert done.stderr.startswith("they work from the queue's first job on, because the hub can't be told of them now")


async def test_a_worker_with_a_work_key_waits_for_its_queue_and_then_runs_its_jobs(
    hub: HubProcess, processes: AsmanProcesses, urls: dict[str, str], tmp_path: Path
) -> None:
    started = await asyncio.to_thread(worker, processes, urls["work"], tmp_path / "worker")
    said = await asyncio.to_thread(started.wait_for_output, "no queue of this hub has this key")
    assert "trying again" in said
    async with asman.connect(hub.queue(QUEUE)) as queue:
        job = await queue.submit(command="sh -c 'echo $JOB_URL_PREFIX; echo kept > $JOB_OUTPUTS/file'")
        result = await job.result(timeout=PATIENCE)
        assert result.verdict.ok
        assert await result.outputs["file"].read_text() == "kept\n"
        assert [line.text async for line in job.logs()] == [job.url], "it may know the address of its own job"
        assert [each.name for each in await queue.workers()] == ["by-key"]
    await asyncio.to_thread(hub.restart)
    async with asman.connect(urls["submit_read"]) as queue:
        job = await queue.submit(command="echo after the restart")
        assert (await job.result(timeout=PATIENCE)).verdict.ok, "the worker came back with its key"
    assert QUEUE not in started.output()


async def test_a_worker_without_the_right_to_work_is_told_and_ends(
    hub: HubProcess, processes: AsmanProcesses, urls: dict[str, str], tmp_path: Path
) -> None:
    async with asman.connect(hub.queue(QUEUE)) as queue:
        await queue.submit(command="x", follow=False)
    started = await asyncio.to_thread(worker, processes, urls["read"], tmp_path / "worker")
    assert await asyncio.to_thread(started.wait) != 0
    assert "does not grant the right 'work'" in started.output()


async def test_the_library_opens_a_queue_by_its_keys(hub: HubProcess, urls: dict[str, str]) -> None:
    for url in urls.values():
        with pytest.raises(NotFound, match="no queue of this hub has this key"):
            await asman.connect(url).open()
    async with asman.connect(hub.queue(QUEUE)) as queue:
        assert queue.keys() == urls
        assert queue.rights == {"read", "submit", "work", "own"}
        job = await queue.submit(command="echo 1", env={"TOKEN": "a-secret"})
        async with asman.connect(queue.keys()["read"]) as reading:
            assert reading.rights == {"read"}
            assert [each.id async for each in reading.jobs()] == [job.id]
            seen = await reading.get(job.id)
            assert seen.definition.env == {"TOKEN": ""}
            with pytest.raises(Forbidden, match="'submit'"):
                await reading.submit(command="echo 2")
            with pytest.raises(Forbidden, match="the queue's name alone"):
                reading.keys()
        async with asman.connect(urls["submit"]) as submitting:
            assert submitting.rights == {"submit"}
            again = await submitting.submit(command="echo 1", env={"TOKEN": "a-secret"})
            assert (again.id, again.answer) == (job.id, "joined")
            assert "~" not in again.url, "it may not open the job's log"
            await again.cancel()
            assert (await again.wait(timeout=PATIENCE)).reason == "Cancelled", "it is told how its job ends"
            with pytest.raises(Forbidden, match="'read'"):
                await submitting.workers()
        with pytest.raises((Forbidden, ProtocolError), match="'read' or 'submit'"):
            await asman.connect(urls["work"]).open()


def test_the_synchronous_library_has_them_too(hub: HubProcess, urls: dict[str, str]) -> None:
    with asman.sync.connect(hub.queue(QUEUE)) as queue:
        assert queue.keys() == urls
        assert "own" in queue.rights


def test_the_command_line_works_with_keys(
    hub: HubProcess, processes: AsmanProcesses, urls: dict[str, str], tmp_path: Path
) -> None:
    assert command("job", "add", hub.queue(QUEUE), "-c", "true", config=tmp_path).returncode == 0
    worker(processes, hub.queue(QUEUE), tmp_path / "worker")
    done = command("run", urls["submit_read"], "--", "sh", "-c", "echo by key; exit 3", config=tmp_path)
    assert (done.returncode, done.stdout) == (3, "by key\n"), done.stderr
    listed = command("job", "list", urls["read"], "--json", config=tmp_path)
    assert "by key" in listed.stdout
    for words, right in (
        (("run", urls["read"], "--", "true"), "submit"),
        (("job", "add", urls["read"], "-c", "true"), "submit"),
        (("job", "retry", urls["read"], "0" * 64), "submit"),
        (("queue", "status", urls["submit"]), "read"),
        (("queue", "retention", urls["submit_read"], "--set", "2d"), "own"),
    ):
        refused = command(*words, config=tmp_path)
        assert refused.returncode != 0
        assert f"'{right}'" in refused.stderr
        assert "Traceback" not in refused.stderr
    added = command("job", "add", urls["submit"], "-c", "sh -c 'exit 5'", config=tmp_path)
    assert added.returncode == 0, added.stderr
    waited = command("job", "wait", urls["read"], added.stdout.strip(), config=tmp_path)
    assert waited.returncode == 5, waited.stderr
    unknown = command("queue", "status", f"{hub.url}/q/~{'a' * 52}", config=tmp_path)
    assert unknown.returncode != 0
    assert "no queue of this hub has this key" in unknown.stderr


async def test_a_submit_key_cancels_and_deletes_by_whole_ids_and_is_told_no_results(
    hub: HubProcess, urls: dict[str, str], tmp_path: Path
) -> None:
    def by_key(*words: str) -> subprocess.CompletedProcess[str]:
        return command(words[0], words[1], urls["submit"], *words[2:], config=tmp_path)

    async with asman.connect(hub.queue(QUEUE)) as queue:  # the hub knows the keys while somebody uses the name
        await queue.configure(retention="1d")
    added = await asyncio.to_thread(by_key, "job", "add", "-c", "sleep 300")
    job = added.stdout.strip()
    assert (added.returncode, len(job)) == (0, 64), added.stderr
    assert "this queue is new" not in added.stderr, "a key that does not read is told no counts"
    for verb in ("wait", "show", "result", "logs"):
        told = await asyncio.to_thread(by_key, "job", verb, job)
        assert told.returncode == 125
        assert "this key submits but does not read: it is not told states, results" in told.stderr
    prefix = await asyncio.to_thread(by_key, "job", "cancel", job[:12])
    assert (prefix.returncode, "give the job's whole id" in prefix.stderr) == (125, True)
    missing = await asyncio.to_thread(by_key, "job", "cancel", "0" * 64)
    assert (missing.returncode, "Traceback" in missing.stderr) == (125, False)
    cancelled = await asyncio.to_thread(by_key, "job", "cancel", job)
    assert (cancelled.returncode, cancelled.stderr) == (0, "cancelled\n")
    deleted = await asyncio.to_thread(by_key, "job", "delete", job)
    assert (deleted.returncode, deleted.stderr) == (0, "deleted\n")
    async with asman.connect(hub.queue(QUEUE)) as queue:
        assert [each.id async for each in queue.jobs()] == []


async def test_a_run_with_a_key_that_does_not_read_is_refused_before_it_submits(
    hub: HubProcess, urls: dict[str, str], tmp_path: Path
) -> None:
    async with asman.connect(hub.queue(QUEUE)) as queue:
        await queue.submit(command="true", follow=False)  # from now on the hub knows the keys
        refused = await asyncio.to_thread(command, "run", urls["submit"], "--", "echo", "never", config=tmp_path)
        assert refused.returncode == 125
        assert "this key submits but does not read, and 'asman run' shows a job: use 'asman job add'" in refused.stderr
        waiting = ("job", "add", urls["submit"], "-c", "echo never", "--wait")
        refused = await asyncio.to_thread(command, *waiting, config=tmp_path)
        assert refused.returncode == 125
        assert "this key submits but does not read, and 'asman job add --wait' shows a job" in refused.stderr
        assert [(await queue.get(each.id)).definition.command async for each in queue.jobs()] == ["true"]
