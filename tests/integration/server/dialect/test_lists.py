"""A listed job in every list of the dialect: whole lists, changes, answers and HTTP, from a real hub."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest

from asman_server.dialect.ids import first_id, identify
from devtools.asman_processes import HubProcess
from tests.integration.server.dialect.conftest import Stores
from tests.support.api import Api, opened_api
from tests.support.json_dialect import JsonClient, json_client, json_worker
from tests.support.plain_worker import plain_worker

DEFINITION = {"image": "alpine", "command": "echo hi"}


@asynccontextmanager
async def ran(hub: HubProcess, queue: str, kind: str) -> AsyncIterator[tuple[JsonClient, str, str]]:
    """A client that has seen a job run on a worker of a kind; the job, and the worker's id."""
    async with json_client(hub.url, queue) as client:
        job = await client.submit_new(DEFINITION)
        if kind == "json":
            async with json_worker(hub.url, queue) as worker:
                await worker.sees(job, "Queued")
                await worker.claim(job)
                await worker.has(job)
                await client.sees(job, "Running")
                await client.next("Workers", lambda told: told["workers"])
                await worker.finish(job, StatusCode=0)
                await client.sees(job, "Finished")
                name = worker.id
        else:
            async with plain_worker(hub.url, queue) as native:
                about = await native.assigned()
                await client.sees(job, "Running")
                await client.next("Workers", lambda told: told["workers"])
                await native.finish(about)
                await client.sees(job, "Finished")
                name = "plain"
        yield client, job, name


async def listings(hub: HubProcess, api: Api, client: JsonClient, queue: str, job: str) -> dict[str, dict[str, Any]]:
    """The job as each list shows it."""
    found = {"change": client.jobs[job], "whole list": (await client.whole_list())[job]}
    found["answer"] = await client.asked(job) or {}
    async with json_client(hub.url, queue, "browser") as other:
        found["first list"] = (await other.next("JobStates"))["state"]["jobs"][job]
    for path in (f"/q/{queue}", f"/q/{queue}/j"):
        found[path] = (await api.get(path)).json["data"][job]
    return found


@pytest.mark.parametrize("kind", ["native", "json"])
async def test_no_list_has_a_member_finished_and_the_result_is_fetched(hub: HubProcess, api: Api, kind: str) -> None:
    queue = f"listed-{kind}"
    async with ran(hub, queue, kind) as (client, job, _):
        found = await listings(hub, api, client, queue, job)
    found["from the store"] = (await api.get(f"/q/{queue}")).json["data"][job]
    for place, shown in found.items():
        assert shown["finishedReason"] == "Success", place
        assert "finished" not in shown, place
    for path in ("result.json", "results.json"):
        data = (await api.get(f"/q/{queue}/j/{job}/{path}")).json["data"]
        assert data["finished"]["result"]["StatusCode"] == 0


@pytest.mark.parametrize("kind", ["native", "json"])
async def test_the_worker_of_a_job_is_the_workers_id_in_every_state_and_place(
    hub: HubProcess, api: Api, kind: str
) -> None:
    queue = f"worker-{kind}"
    async with ran(hub, queue, kind) as (client, job, worker):
        lists = [one["payload"]["state"]["jobs"] for one in client.heard if "state" in one.get("payload", {})]
        told = {(jobs[job]["state"], jobs[job]["worker"]) for jobs in lists if job in jobs}
        assert told == {("Queued", ""), ("Running", worker), ("Finished", worker)}
        here = [one["payload"]["workers"] for one in client.heard if one["type"] == "Workers"]
        assert {one["id"] for workers in here for one in workers} == {worker}
        found = await listings(hub, api, client, queue, job)
    found["from the store"] = (await api.get(f"/q/{queue}")).json["data"][job]
    found["result"] = (await api.get(f"/q/{queue}/j/{job}/result.json")).json["data"]
    assert {place: shown["worker"] for place, shown in found.items()} == dict.fromkeys(found, worker)
    assert found["result"]["finished"]["worker"] == worker


async def test_a_native_worker_with_the_id_of_a_worker_of_the_dialect_is_not_taken_for_it(hub: HubProcess) -> None:
    async with (
        json_client(hub.url, "same-name") as client,
        json_worker(hub.url, "same-name", "plain", cpus=0.5) as other,
        plain_worker(hub.url, "same-name") as native,
    ):
        job = await client.submit_new(DEFINITION)
        about = await native.assigned()
        await other.sees(job, "Running")
        assert other.jobs[job]["worker"] != other.id
        await native.finish(about)


async def test_native_workers_of_one_name_are_one_worker_in_every_state_and_place(hub: HubProcess, api: Api) -> None:
    queue = "one-name"
    async with (
        json_client(hub.url, queue) as client,
        plain_worker(hub.url, queue, name="host", gpus=1) as one,
        plain_worker(hub.url, queue, name="host", incarnation="plain-worker-0002", cpus=2) as two,
    ):
        jobs = [await client.submit_new({**DEFINITION, "requirements": needs}) for needs in ({"gpus": 1}, {"cpus": 2})]
        about = [await one.assigned(), await two.assigned()]
        told = await client.next("Workers", lambda told: sum(one["cpus"] for one in told["workers"]) == 3)
        (host,) = told["workers"]
        assert (host["id"], host["cpus"], host["gpus"]) == ("host", 3, 1)
        status = (await api.get(f"/q/{queue}/status")).json
        assert [(key, one["cpus"]) for key, one in status["localWorkers"].items()] == [("host", 3)]
        for worker, each, job in zip((one, two), about, jobs, strict=True):
            assert (await client.sees(job, "Running"))["worker"] == "host"
            await worker.finish(each)
            assert (await client.sees(job, "Finished"))["worker"] == "host"


PAGE = {"command": 'echo "hello world"', "env": {}, "image": "alpine:3.19.1"}
FIRST, SECOND = first_id(PAGE), identify(PAGE).job


async def in_lists(hub: HubProcess, api: Api, queue: str) -> dict[str, dict[str, Any]]:
    """Every list of a queue that somebody gets who has not submitted its jobs."""
    found = {path: (await api.get(path)).json["data"] for path in (f"/q/{queue}", f"/q/{queue}/j")}
    found["status"] = (await api.get(f"/q/{queue}/status")).json["jobs"]
    async with json_client(hub.url, queue) as other:
        found["first list"] = (await other.next("JobStates"))["state"]["jobs"]
        found["with a socket"] = (await api.get(f"/q/{queue}")).json["data"]
    return found


@pytest.mark.parametrize("by", ["socket", "HTTP"])
async def test_a_job_that_was_submitted_by_its_first_id_is_in_every_list_under_both(
    hub: HubProcess, api: Api, by: str
) -> None:
    queue = f"both-ids-{by}"
    async with json_client(hub.url, queue) as client, json_worker(hub.url, queue) as worker:
        if by == "socket":
            async with json_client(hub.url, queue) as submitter:
                await submitter.submit(FIRST, PAGE)
                await submitter.sees(FIRST, "Queued")
        else:
            assert (await api.post(f"/q/{queue}", {"definition": PAGE, "id": FIRST})).json["jobId"] == FIRST
        await client.sees(FIRST, "Queued")
        await worker.sees(SECOND, "Queued")
        await worker.claim(SECOND)
        await worker.has(SECOND)
        await client.sees(FIRST, "Running")
        await worker.log(SECOND, ["hi\n", 5])
        await client.next("JobStatusPayload", lambda told: told["jobId"] == FIRST)
        await worker.finish(SECOND, StatusCode=0)
        await client.sees(FIRST, "Finished")
        assert (await worker.sees(SECOND, "Finished"))["finishedReason"] == "Success"
        lists = [one["payload"]["state"]["jobs"] for one in worker.heard if "state" in one.get("payload", {})]
        assert all(set(jobs) <= {SECOND} for jobs in lists), "a worker would claim it twice"
        whole = await client.whole_list()
        assert whole[FIRST] == whole[SECOND]
        found = await in_lists(hub, api, queue)
    found["without a socket"] = (await api.get(f"/q/{queue}")).json["data"]
    for place, shown in found.items():
        assert set(shown) == {FIRST, SECOND}, place
        assert shown[FIRST] == shown[SECOND], place
        assert shown[FIRST]["state"] == "Finished", place
    assert (await api.get("/q/both-ids-nobody")).json["data"] == {}


@pytest.mark.parametrize(
    ("by", "named", "told"),
    [
        ("submission", (FIRST,), {FIRST}),
        ("submission", (SECOND,), {SECOND}),
        ("submission", (FIRST, SECOND), {FIRST, SECOND}),
        ("submission", (), {FIRST, SECOND}),
        ("question", (FIRST,), {FIRST}),
        ("question", (SECOND,), {FIRST, SECOND}),  # any own id may be that of an older client's job
        ("question", (SECOND, FIRST), {FIRST, SECOND}),
    ],
)
async def test_a_client_that_names_jobs_by_ids_of_one_generation_is_shown_each_job_once(
    hub: HubProcess, api: Api, by: str, named: tuple[str, ...], told: set[str]
) -> None:
    queue = f"once-{by}-{'-'.join(key[:4] for key in named)}"
    for key in (FIRST, SECOND):
        await api.post(f"/q/{queue}", {"definition": PAGE, "id": key})
    plain = {"image": "alpine", "command": "another"}
    other = (await api.post(f"/q/{queue}", {"definition": plain})).json["jobId"]
    async with json_client(hub.url, queue) as client, json_worker(hub.url, queue, cpus=2) as worker:
        await client.next("JobStates")
        for key in named:
            if by == "submission":
                await client.submit(key, PAGE)
                await client.next("JobStateUpdates")
            else:
                assert (await client.asked(key)) is not None
        assert set(await client.whole_list()) == {*told, other}
        client.heard.clear()
        await worker.sees(SECOND, "Queued")
        await worker.claim(SECOND)
        await worker.has(SECOND)
        for key in told:
            await client.sees(key, "Running")
        await worker.log(SECOND, ["hi\n", 5])
        await worker.finish(SECOND, StatusCode=0)
        for key in told:
            await client.sees(key, "Finished")
        assert set(client.jobs) == {*told, other}
        lines = [one["payload"]["jobId"] for one in client.heard if one["type"] == "JobStatusPayload"]
        assert sorted(lines) == sorted(told)
        assert set(await client.whole_list()) == {*told, other}


@pytest.mark.parametrize("question", [False, True])
async def test_an_id_that_both_generations_give_a_job_does_not_tell_which_ids_its_client_knows(
    hub: HubProcess, api: Api, question: bool
) -> None:
    """Only what is sent with more than the id covers, such as an empty ``env``, has two ids."""
    queue = f"of-both-{question}"
    await api.post(f"/q/{queue}", {"definition": PAGE, "id": FIRST})
    plain = {"image": "alpine", "command": "another"}
    assert first_id(plain) == identify(plain).job
    async with json_client(hub.url, queue) as client:
        await client.submit_new(plain)
        if question:
            assert await client.asked(first_id(plain))
        assert set(await client.whole_list()) == {FIRST, SECOND, first_id(plain)}
        await client.submit(SECOND, PAGE)
        await client.next("JobStateUpdates", lambda told: SECOND in told["state"]["jobs"])
        assert set(await client.whole_list()) == {SECOND, first_id(plain)}


async def test_a_queue_lists_no_first_id_that_only_another_queue_has_used(hub: HubProcess, api: Api) -> None:
    await api.post("/q/first-id-used", {"definition": PAGE, "id": FIRST})
    await api.post("/q/first-id-unused", {"definition": PAGE, "id": SECOND})
    assert set((await api.get("/q/first-id-unused")).json["data"]) == {SECOND}


async def test_after_a_restart_every_list_has_each_first_id_that_was_used_in_its_queue(
    hub_process: Callable[..., HubProcess], own_stores: Stores
) -> None:
    own_hub = await asyncio.to_thread(hub_process, *own_stores.options, environment=own_stores.environment)
    other = {**PAGE, "inputs": {}}
    async with opened_api(own_hub.url) as api:
        await api.post("/q/first-http", {"definition": PAGE, "id": FIRST})
        await api.post("/q/first-asked", {"definition": PAGE})
        await api.post("/q/first-nowhere", {"definition": PAGE})
        await api.get(f"/q/first-asked/j/{FIRST}.json")
    async with json_client(own_hub.url, "first-socket") as client:
        for sent in (other, PAGE, other):
            await client.submit(first_id(sent), sent)
            await client.sees(first_id(sent), "Queued")
    used = {"http": {FIRST}, "asked": {FIRST}, "socket": {FIRST, first_id(other)}, "nowhere": set()}
    for _ in range(2):
        await asyncio.to_thread(own_hub.restart)
        async with opened_api(own_hub.url) as api:
            for name, ids in used.items():
                for place, shown in (await in_lists(own_hub, api, f"first-{name}")).items():
                    assert set(shown) == {SECOND, *ids}, (name, place)
            added = {**PAGE, "configFiles": {}}  # beside those that are read from the store
            await api.post("/q/first-http", {"definition": added, "id": first_id(added)})
            used["http"].add(first_id(added))


async def test_a_running_job_is_followed_by_its_first_id_over_a_restart_by_lists_alone(own_hub: HubProcess) -> None:
    async with json_client(own_hub.url, "first-followed") as client, json_worker(own_hub.url, "first-followed") as old:
        await client.submit(FIRST, PAGE)
        await old.sees(SECOND, "Queued")
        await old.claim(SECOND)
        await client.sees(FIRST, "Running")
    await asyncio.to_thread(own_hub.restart)
    async with (
        json_client(own_hub.url, "first-followed") as client,
        json_worker(own_hub.url, "first-followed") as worker,
    ):
        assert FIRST in (await client.next("JobStates"))["state"]["jobs"], "its client takes it for gone"
        await worker.claim(SECOND)
        await worker.log(SECOND, ["hi\n", 5])
        await client.next("JobStatusPayload", lambda told: told["jobId"] == FIRST)
        await worker.finish(SECOND, StatusCode=0)
        await client.sees(FIRST, "Finished")


async def test_a_job_has_four_first_ids_at_most_in_lists(hub: HubProcess, api: Api) -> None:
    pages = [{**PAGE, "unknown": number} for number in range(6)]
    for page in pages:
        await api.post("/q/many-ids", {"definition": page, "id": first_id(page)})
    assert set((await api.get("/q/many-ids")).json["data"]) == {SECOND, *map(first_id, pages[2:])}


SENT: list[dict[str, Any]] = [{"cpus": 1}, {"gpus": 1}, {"cpus": 1, "gpus": 1}, {"cpus": 2, "memory": "2g"}]


@pytest.mark.parametrize("by", ["socket", "HTTP"])
@pytest.mark.parametrize("number", range(len(SENT)))
async def test_requirements_and_debug_are_listed_as_they_were_sent(
    hub: HubProcess, api: Api, by: str, number: int
) -> None:
    queue = f"sent-{by}-{number}"
    definition = {**DEFINITION, "requirements": SENT[number]}
    job = identify(definition).job
    async with json_client(hub.url, queue) as client:
        if by == "socket":
            enqueued = {"id": job, "definition": definition, "debug": True}
            await client.change("Queued", job, enqueued=enqueued)
        else:
            answer = await api.post(f"/q/{queue}", {"definition": definition, "debug": True})
            assert answer.json["jobId"] == job
        await client.sees(job, "Queued")
        found = await listings(hub, api, client, queue, job)
    found["from the store"] = (await api.get(f"/q/{queue}")).json["data"][job]
    for place, shown in found.items():
        assert (shown["requirements"], shown["debug"]) == (SENT[number], True), place


async def test_requirements_and_debug_are_listed_as_they_were_sent_also_after_a_restart(
    hub_process: Callable[..., HubProcess], own_stores: Stores
) -> None:
    own_hub = await asyncio.to_thread(hub_process, *own_stores.options, environment=own_stores.environment)
    jobs = {}
    async with opened_api(own_hub.url) as api:
        for number, sent in enumerate([{}, *SENT]):
            definition = {**DEFINITION, "requirements": sent} if sent else DEFINITION
            debug = {"debug": number % 2 == 0} if number else {}
            answer = await api.post("/q/sent-before", {"definition": definition, **debug})
            jobs[answer.json["jobId"]] = (sent or None, debug.get("debug"))
    await asyncio.to_thread(own_hub.restart)
    async with opened_api(own_hub.url) as api:
        for place, shown in (await in_lists(own_hub, api, "sent-before")).items():
            told = {job: (each.get("requirements"), each.get("debug")) for job, each in shown.items()}
            assert {job: told[job] for job in jobs} == jobs, place


async def test_a_newer_submission_shows_whether_it_is_for_debugging(hub: HubProcess) -> None:
    async with json_client(hub.url, "sent-again") as client, json_client(hub.url, "sent-again") as other:
        job = await client.submit_new(DEFINITION)
        assert "debug" not in (await other.sees(job, "Queued"))
        for debug in (True, False):
            await client.change("Queued", job, enqueued={"id": job, "definition": DEFINITION, "debug": debug})
            told = await other.next("JobStateUpdates", lambda told: "debug" in told["state"]["jobs"].get(job, {}))
            assert told["state"]["jobs"][job]["debug"] is debug
        await client.submit(job, DEFINITION)
        await other.until(lambda jobs: "debug" not in jobs[job])


@pytest.mark.parametrize("gone", ["Cancelled", "Deleted", "JobReplacedByClient"])
async def test_after_a_job_is_let_go_it_has_no_namespaces_and_no_result(hub: HubProcess, api: Api, gone: str) -> None:
    queue = f"gone-{gone}"
    base = f"/q/{queue}/j/{identify(DEFINITION).job}"
    async with json_client(hub.url, queue) as client:
        job = await client.submit_new(DEFINITION, namespace="doc")
        assert (await api.get(f"{base}/namespaces.json")).json == {"data": ["doc"]}
        if gone == "JobReplacedByClient":
            await client.submit_new({"image": "b"}, namespace="doc")
        else:
            await client.end(job, gone, namespace="doc")
        await client.until(lambda jobs: job not in jobs)
        assert await client.asked(job) is None
    assert (await api.get(f"{base}/namespaces.json")).json == {"data": []}
    for name in ("result", "results"):
        assert (await api.get(f"{base}/{name}.json")).json == {"data": None}
    assert (await api.get(f"{base}.json")).json == {"data": {"definition": DEFINITION}}


@pytest.mark.parametrize(
    ("reason", "result", "code"),
    [("Success", {"StatusCode": 0}, 0), ("Success", {"StatusCode": 3}, 3), ("TimedOut", {"StatusCode": 137}, 137)],
)
async def test_a_result_says_whether_its_time_ran_out_and_its_exit_code(
    hub: HubProcess, api: Api, reason: str, result: dict[str, Any], code: int
) -> None:
    queue = f"code-{code}"
    async with json_client(hub.url, queue) as client, json_worker(hub.url, queue) as worker:
        job = await client.submit_new(DEFINITION)
        await worker.sees(job, "Queued")
        await worker.claim(job)
        await worker.has(job)
        await worker.finish(job, reason, **result)
        assert (await client.sees(job, "Finished"))["finishedReason"] == reason
        await client.submit("0" * 64, DEFINITION)
        refused = (await client.sees("0" * 64, "Finished"))["finished"]["result"]
    base = f"/q/{queue}/j/{job}"
    found = [
        (await api.get(f"{base}/{name}.json")).json["data"]["finished"]["result"] for name in ("result", "results")
    ]
    found.append((await api.get(f"{base}.json")).json["data"]["results"]["finished"]["result"])
    for one in found:
        assert (one["isTimedOut"], one["StatusCode"]) == (reason == "TimedOut", code)
    assert refused["isTimedOut"] is False


async def test_a_native_run_whose_time_ran_out_has_its_exit_code(hub: HubProcess, api: Api) -> None:
    async with json_client(hub.url, "code-native") as client, plain_worker(hub.url, "code-native") as worker:
        job = await client.submit_new(DEFINITION)
        about = await worker.assigned()
        outcome = {"kind": "timed_out", "exit_code": 143, "message": "stopped", "lines": worker.log_next}
        await worker.send({"type": "finished", "outcome": outcome, **about})
        await worker.next("acknowledged")
        await client.sees(job, "Finished")
    result = (await api.get(f"/q/code-native/j/{job}/result.json")).json["data"]["finished"]["result"]
    assert (result["isTimedOut"], result["StatusCode"], result["logs"]) == (True, 143, [])
