"""Every row of the dialect's tables for workers, and what a worker of it may do wrong, on a real hub."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Callable

import pytest

import asman
from devtools.asman_processes import HubProcess
from devtools.patience import PATIENCE
from tests.support.api import Api
from tests.support.json_dialect import JsonClient, JsonWorker, json_client, json_worker
from tests.support.plain_worker import plain_worker

ALPINE = {"image": "alpine", "command": "echo hi"}


async def running(client: JsonClient, worker: JsonWorker, number: int = 0, **control: object) -> str:
    """A job that a worker has claimed."""
    job = await client.submit_new({**ALPINE, "env": {"N": str(number)}}, **control)
    await worker.sees(job, "Queued")
    await worker.claim(job)
    await worker.has(job)
    await client.sees(job, "Running")
    return job


async def refused(worker: JsonWorker, job: str) -> None:
    """Claims a job, and is answered with the list."""
    await worker.claim(job)
    await worker.next("JobStates", lambda told: job in told["state"]["jobs"])


@pytest.mark.parametrize("old", [False, True])
async def test_a_worker_is_told_the_list_first_and_pings_name_it(hub: HubProcess, old: bool) -> None:
    async with json_client(hub.url, "first") as client:
        job = await client.submit_new(ALPINE)
        async with json_worker(hub.url, "first", "w-7", old=old) as worker:
            told = await worker.next("JobStates")
            assert worker.heard[0]["type"] == "JobStates"
            assert told["isSubset"] is False
            assert set(told["state"]["jobs"]) == {job}
            await worker.next("StatusRequest")
            assert worker.heard[-1] == {"type": "StatusRequest"}
            await worker.send("WorkerStatusResponse", {"anything": 1})
            await worker.raw("PING")
            assert await worker.text() == "PONG w-7"


async def test_a_ping_before_the_registration_is_answered_with_unknown(hub: HubProcess) -> None:
    async with json_client(hub.url, "unknown", "worker") as worker:
        await worker.raw("PING")
        assert await worker.text() == "PONG unknown"


async def test_what_comes_before_the_registration_is_taken_after_it(hub: HubProcess) -> None:
    async with json_client(hub.url, "early") as client, json_client(hub.url, "early", "worker") as socket:
        job = await client.submit_new(ALPINE)
        worker = JsonWorker(socket.socket)
        worker.id = "late"
        await worker.claim(job)
        await worker.register("late")
        await worker.has(job)


async def test_definitions_are_told_to_the_worker_that_asks(hub: HubProcess) -> None:
    definition = {**ALPINE, "inputs": {"a.txt": {"value": "hi", "hash": "x"}}, "tags": [], "env": {"channel": "c"}}
    async with json_client(hub.url, "define") as client, json_worker(hub.url, "define") as worker:
        job = await client.submit_new(definition)
        await worker.send("RequestJobDefinitions", {"jobIds": [job, "0" * 64]})
        told = await worker.next("BroadcastJobDefinitions")
    kept = {**ALPINE, "inputs": {"a.txt": {"value": "hi", "hash": "x"}}, "tags": []}
    assert told == {"definitions": {job: kept}}, "what is not in the id does not reach the container"


async def test_many_definitions_come_in_several_messages(hub: HubProcess) -> None:
    async with json_client(hub.url, "many") as client, json_worker(hub.url, "many") as worker:
        jobs = [
            await client.submit_new({"image": "a", "env": {"N": str(n), "BIG": "x" * 100_000, "TOO": "x" * 100_000}})
            for n in range(7)
        ]
        await worker.send("RequestJobDefinitions", {"jobIds": jobs})
        found: set[str] = set()
        messages = 0
        while found != set(jobs):
            found |= set((await worker.next("BroadcastJobDefinitions"))["definitions"])
            messages += 1
        assert messages == 2


async def test_the_first_claim_gets_the_job_and_the_second_worker_a_list_in_which_it_runs_elsewhere(
    hub: HubProcess,
) -> None:
    async with (
        json_client(hub.url, "race") as client,
        json_worker(hub.url, "race", "a") as one,
        json_worker(hub.url, "race", "b") as two,
    ):
        job = await running(client, one)
        await two.claim(job)
        told = await two.next("JobStates", lambda told: told["state"]["jobs"].get(job, {}).get("worker") == "a")
        assert told["state"]["jobs"][job]["state"] == "Running"
        await two.finish(job, StatusCode=1)
        await one.finish(job, StatusCode=0)
        assert (await client.sees(job, "Finished"))["worker"] == "a"


@pytest.mark.parametrize("order", ["pause", "drain"])
async def test_a_worker_that_gets_no_jobs_now_is_shown_none_that_waits_until_it_gets_them_again(
    hub: HubProcess, api: Api, order: str
) -> None:
    async def give(jobs: bool) -> None:
        if order == "pause":
            assert (await api.call("PUT", f"/q/{order}/settings", {"paused": not jobs})).status == 200
        else:
            assert (await api.post(f"/q/{order}/workers/w/drain{'?undo=1' if jobs else ''}", {})).status == 200

    async with json_client(hub.url, order) as client, json_worker(hub.url, order, "w") as worker:
        held = await running(client, worker)
        await give(jobs=False)
        told = await worker.next("JobStates")
        assert set(told["state"]["jobs"]) == {held}
        waiting = await client.submit_new({"image": "later"})
        await client.sees(waiting, "Queued")
        await refused(worker, held)
        await worker.claim(waiting)
        told = await worker.next("JobStates")
        assert (set(told["state"]["jobs"]), told["state"]["jobs"][held]["state"]) == ({held}, "Running")
        await give(jobs=True)
        await worker.sees(waiting, "Queued")
        await worker.finish(held, StatusCode=0)
        await worker.claim(waiting)
        await worker.has(waiting)


async def test_two_jobs_claimed_at_once_on_one_cpu_are_one(hub: HubProcess, api: Api) -> None:
    async with json_client(hub.url, "two") as client, json_worker(hub.url, "two") as worker:
        first = await client.submit_new({"image": "a"})
        second = await client.submit_new({"image": "b"})
        await worker.sees(second, "Queued")
        await worker.claim(first)
        await worker.claim(second)
        await worker.has(first)
        told = await worker.next(
            "JobStates", lambda told: told["state"]["jobs"].get(first, {}).get("state") == "Running"
        )
        assert told["state"]["jobs"][second]["state"] == "Queued"
        await worker.finish(second, StatusCode=0)
        assert (await api.get(f"/q/two/jobs/{second}")).json["job"].get("attempt", 0) == 0
        await worker.finish(first, StatusCode=0)
        await worker.claim(second)
        await worker.has(second)


async def test_a_claim_respects_what_the_job_needs(hub: HubProcess) -> None:
    async with json_client(hub.url, "needs") as client, json_worker(hub.url, "needs", longest="10m") as worker:
        gpu = await client.submit_new({"image": "a", "requirements": {"gpus": 1}})
        long = await client.submit_new({"image": "a", "maxDuration": "1h"})
        memory = await client.submit_new({"image": "a", "requirements": {"memory": "64g"}})
        for job in (gpu, long):
            await refused(worker, job)
        await worker.claim(memory)
        await worker.has(memory)
        assert {worker.jobs[job]["state"] for job in (gpu, long)} == {"Queued"}


async def test_a_result_counts_only_while_the_worker_holds_the_job(hub: HubProcess, api: Api) -> None:
    async with json_client(hub.url, "fence") as client, json_worker(hub.url, "fence", "a") as one:
        job = await running(client, one)
        async with json_worker(hub.url, "fence", "b") as thief:
            await thief.finish(job, StatusCode=1, outputs={"stolen": {"value": "x"}})
            await thief.log(job, ["not mine", 1])
            await thief.raw("PING")
            assert await thief.text() == "PONG b"
        await one.finish(job, StatusCode=0, outputs={"made": {"value": "y"}})
        await client.sees(job, "Finished")
        await one.finish(job, StatusCode=2, outputs={"late": {"value": "z"}})
        await one.raw("PING")
        await one.text()
        result = (await api.get(f"/q/fence/j/{job}/result.json")).json["data"]["finished"]["result"]
    assert (result["StatusCode"], result["outputs"], result["logs"]) == (0, {"made": {"value": "y"}}, [])


async def test_a_cancelled_job_is_missing_from_a_list_that_its_worker_is_sent_at_once(hub: HubProcess) -> None:
    async with json_client(hub.url, "stop") as client, json_worker(hub.url, "stop") as worker:
        job = await running(client, worker)
        other = await client.submit_new({"image": "b"})
        await client.end(job, "Cancelled")
        await worker.until(lambda jobs: other in jobs and job not in jobs)
        await worker.claim(other)
        await worker.has(other)


async def test_a_worker_that_comes_back_keeps_what_it_claims_again(hub: HubProcess, api: Api) -> None:
    async with json_client(hub.url, "back") as client:
        async with json_worker(hub.url, "back", cpus=2) as worker:
            job = await running(client, worker)
        async with json_worker(hub.url, "back", cpus=2) as worker:
            await worker.has(job)
            await worker.claim(job)
            await worker.log(job, ["still here", 1_000])
            await worker.finish(job, StatusCode=0)
            await client.sees(job, "Finished")
        answer = (await api.get(f"/q/back/jobs/{job}")).json["job"]
        assert answer["attempt"] == 1


async def test_a_job_goes_on_over_a_restart_of_the_hub_under_its_workers_own_id(
    hub_process: Callable[..., HubProcess],
) -> None:
    hub = await asyncio.to_thread(hub_process)
    async with json_client(hub.url, "again") as client, json_worker(hub.url, "again", "steady") as worker:
        job = await running(client, worker)
        await asyncio.to_thread(hub.restart)
    async with json_client(hub.url, "again") as client:
        assert (await client.sees(job, "Running"))["worker"] == "steady", "while the worker is away"
        async with json_worker(hub.url, "again", "steady") as worker:
            await worker.has(job)
            await worker.claim(job)
            await worker.finish(job, StatusCode=0)
            assert (await client.sees(job, "Finished"))["worker"] == "steady"


async def test_a_worker_that_finishes_late_after_losing_the_job_changes_nothing(
    own_hub: HubProcess, own_api: Api
) -> None:
    hub, api = own_hub, own_api
    async with json_client(hub.url, "late") as client:
        async with json_worker(hub.url, "late", "a") as slow:
            job = await running(client, slow)
        await client.sees(job, "Queued")
        async with json_worker(hub.url, "late", "b") as fast, json_worker(hub.url, "late", "a") as slow:
            await fast.claim(job)
            await fast.has(job)
            await slow.claim(job)
            await slow.finish(job, StatusCode=1, outputs={"late": {"value": "x"}})
            await slow.next("JobStates", lambda told: told["state"]["jobs"].get(job, {}).get("worker") == "b")
            await fast.finish(job, StatusCode=0)
            await client.sees(job, "Finished")
    answer = (await api.get(f"/q/late/jobs/{job}")).json
    assert answer["job"]["attempt"] == 2
    assert answer["job"]["verdict"]["exit_code"] == 0
    assert answer.get("result", {}).get("outputs", {}) == {}


@pytest.mark.parametrize(
    ("reason", "result", "listed", "verdict"),
    [
        ("Success", {"StatusCode": 0}, "Success", ("Success", 0)),
        ("Success", {"StatusCode": 9}, "Success", ("Failed", 9)),
        ("Error", {"error": "no such image"}, "Error", ("Error", None)),
        ("TimedOut", {"isTimedOut": True}, "TimedOut", ("TimedOut", None)),
    ],
)
async def test_each_way_to_end(
    hub: HubProcess, api: Api, reason: str, result: dict[str, object], listed: str, verdict: tuple[str, int | None]
) -> None:
    queue = f"ends-{listed}-{verdict[1]}"
    async with json_client(hub.url, queue) as client, json_worker(hub.url, queue) as worker:
        job = await running(client, worker)
        await worker.finish(job, reason, **result)
        assert (await client.sees(job, "Finished"))["finishedReason"] == listed
        found = (await api.get(f"/q/{queue}/jobs/{job}")).json["job"]["verdict"]
        assert (found["reason"], found.get("exit_code")) == verdict
        stored = (await api.get(f"/q/{queue}/j/{job}/result.json")).json["data"]["finished"]["result"]
        assert stored.get("error") == ("no such image" if reason == "Error" else stored.get("error"))
        await client.submit(job, {**ALPINE, "env": {"N": "0"}})
        again = "Finished" if reason == "Success" else "Queued"
        await client.until(lambda jobs: jobs[job]["state"] == again)


async def test_a_job_that_its_worker_gives_up_again_and_again_ends(hub: HubProcess, api: Api) -> None:
    async with json_client(hub.url, "loop") as client, json_worker(hub.url, "loop") as worker:
        job = await client.submit_new(ALPINE)
        for _ in range(3):
            await worker.sees(job, "Queued")
            await worker.claim(job)
            await worker.has(job)
            await worker.finish(job, "WorkerLost")
        await client.until(lambda jobs: job not in jobs)
        assert (await api.get(f"/q/loop/jobs/{job}")).json["job"]["verdict"]["reason"] == "WorkerLost"


async def test_logs_of_a_result_count_when_none_came_before(hub: HubProcess, api: Api) -> None:
    async with json_client(hub.url, "logs") as client, json_worker(hub.url, "logs") as worker:
        silent = await running(client, worker, 1)
        await worker.log(silent, ["Pulling\n", 5], step="docker image pull")
        await worker.finish(silent, StatusCode=0, logs=[["one\ntwo\n", 7], ["oops", 8, True]])
        await client.sees(silent, "Finished")
        told = await running(client, worker, 2)
        await worker.log(told, ["once", 7])
        await worker.finish(told, StatusCode=0, logs=[["once", 7]])
        await client.sees(told, "Finished")
    first = (await api.get(f"/q/logs/j/{silent}/result.json")).json["data"]["finished"]["result"]["logs"]
    assert first == [["one\n", 7], ["two\n", 7], ["oops", 8, True]]
    second = (await api.get(f"/q/logs/j/{told}/result.json")).json["data"]["finished"]["result"]["logs"]
    assert second == [["once", 7]]
    native = (await api.get(f"/q/logs/jobs/{silent}/log")).json["lines"]
    assert [(line["phase"], line["text"]) for line in native][:2] == [("pulling", "Pulling"), ("running", "one")]


async def test_a_worker_that_was_away_completes_its_log_with_its_result(hub: HubProcess, api: Api) -> None:
    written = [["one\n", 5], ["same\n", 6], ["same\n", 7, True], ["same\n", 8], ["last", 9]]
    async with json_client(hub.url, "rest-of-log") as client:
        async with json_worker(hub.url, "rest-of-log") as worker:
            job = await running(client, worker)
            await worker.log(job, *written[:2])
            await client.next("JobStatusPayload")
        async with json_worker(hub.url, "rest-of-log") as worker:
            await worker.claim(job)
            await worker.has(job)
            await worker.finish(job, StatusCode=0, logs=written)
            await client.sees(job, "Finished")
        told = [one["payload"]["logs"] for one in client.heard if one["type"] == "JobStatusPayload"]
    result = (await api.get(f"/q/rest-of-log/j/{job}/result.json")).json["data"]["finished"]["result"]
    assert result["logs"] == written
    assert [line for lines in told for line in lines] == written
    assert (await api.get(f"/q/rest-of-log/j/{job}/run-logs.json")).json["data"] == written


async def test_the_log_of_a_second_attempt_is_not_taken_for_that_of_the_first(hub: HubProcess, api: Api) -> None:
    async with json_client(hub.url, "two-logs") as client, json_worker(hub.url, "two-logs") as worker:
        job = await running(client, worker)
        await worker.log(job, ["one\n", 5], ["two\n", 5])
        await client.next("JobStatusPayload")
        await worker.finish(job, "WorkerLost")
        await worker.sees(job, "Queued")
        await worker.claim(job)
        await worker.has(job)
        await worker.log(job, ["one\n", 6])
        await worker.finish(job, StatusCode=0, logs=[["one\n", 6], ["two\n", 6]])
        await client.sees(job, "Finished")
    result = (await api.get(f"/q/two-logs/j/{job}/result.json")).json["data"]["finished"]["result"]
    assert result["logs"] == [["one\n", 5], ["two\n", 5], ["one\n", 6], ["two\n", 6]]


async def test_outputs_of_every_kind_are_served(hub: HubProcess, api: Api) -> None:
    outputs = {
        "a.txt": {"value": "text", "type": "utf8"},
        "b.json": {"value": {"n": [1]}, "type": "json"},
        "c.bin": {"value": "AAEC", "type": "base64"},
        "d/e f.txt": {"value": "deep"},
        "u": {"value": "https://example.org/x", "type": "url"},
        "../bad": {"value": "x"},
    }
    async with json_client(hub.url, "out") as client, json_worker(hub.url, "out") as worker:
        job = await running(client, worker)
        await worker.finish(job, StatusCode=0, outputs=outputs)
        await client.sees(job, "Finished")
    for name, body in (
        ("a.txt", b"text"),
        ("b.json", b'{"n":[1]}'),
        ("c.bin", b"\x00\x01\x02"),
        ("d/e%20f.txt", b"deep"),
    ):
        assert (await api.get(f"/q/out/j/{job}/outputs/{name}")).body == body
    moved = await api.get(f"/q/out/j/{job}/outputs/u", allow_redirects=False)
    assert (moved.status, moved.headers["Location"]) == (302, "https://example.org/x")
    native = (await api.get(f"/q/out/jobs/{job}")).json["result"]
    assert native["outputs"]["c.bin"]["sha256"] == hashlib.sha256(b"\x00\x01\x02").hexdigest()
    assert set(native["skipped"]) == {"../bad"}


async def test_odd_outputs_are_the_same_bytes_to_native_clients_and_those_of_the_dialect(
    hub: HubProcess, api: Api
) -> None:
    sent = {
        "object": {"type": "utf8", "value": {"a": 1}},
        "null": {"type": "utf8", "value": None},
        "true": {"value": True},
        "broken": {"type": "base64", "value": "AA\r\nEC\n"},
        "url-safe": {"type": "base64", "value": "-_-_"},
        "hashes": {"type": "base64", "value": "###"},
    }
    expected = {"object": b'{"a":1}', "null": b"null", "true": b"true", "broken": b"\x00\x01\x02"}
    async with json_client(hub.url, "odd") as client, json_worker(hub.url, "odd") as worker:
        job = await running(client, worker)
        await worker.finish(job, StatusCode=0, outputs=sent)
        await client.sees(job, "Finished")
    native = (await api.get(f"/q/odd/jobs/{job}")).json["result"]
    assert set(native["outputs"]) == set(expected)
    assert set(native["skipped"]) == {"url-safe", "hashes"}
    for name, body in expected.items():
        assert (await api.get(f"/q/odd/j/{job}/outputs/{name}")).body == body
        assert (await api.get(f"/q/odd/jobs/{job}/outputs/{name}")).body == body
        assert native["outputs"][name]["sha256"] == hashlib.sha256(body).hexdigest()
    async with asman.connect(f"{hub.url}/q/odd") as queue:
        result = await (await queue.get(job)).result(timeout=PATIENCE)
        assert {name: await result.outputs[name].read_bytes() for name in expected} == expected


@pytest.mark.parametrize("bad", ["a long type", "a long member", "a long name", "many"])
async def test_a_result_with_a_long_bad_output_can_be_read_at_every_address(
    hub: HubProcess, api: Api, bad: str
) -> None:
    queue, long = f"long-bad-{bad.replace(' ', '-')}", "x" * 100_000
    sent: dict[str, dict[str, object]] = {
        "a long type": {"bad": {"type": long, "value": "x"}},
        "a long member": {"bad": {"value": "x", long: 1}},
        "a long name": {f"bad{long}": "x"},
        "many": {f"{number}/../{long[:9000]}": "x" for number in range(300)},
    }
    async with json_client(hub.url, queue) as client, json_worker(hub.url, queue) as worker:
        job = await running(client, worker)
        await worker.finish(job, StatusCode=3, outputs={**sent[bad], "good.txt": "good"})
        await client.sees(job, "Finished")
    result = (await api.get(f"/q/{queue}/j/{job}/result.json")).json["data"]["finished"]["result"]
    assert (result["StatusCode"], list(result["outputs"])) == (3, ["good.txt"])
    native = (await api.get(f"/q/{queue}/jobs/{job}")).json["result"]
    assert list(native["outputs"]) == ["good.txt"]
    assert native["skipped"]
    assert (await api.get(f"/q/{queue}/j/{job}/outputs/good.txt")).body == b"good"
    assert (await api.get(f"/q/{queue}/jobs/{job}/outputs/good.txt")).body == b"good"


async def test_the_hub_ends_a_run_that_its_worker_lets_go_on_for_too_long(hub: HubProcess, api: Api) -> None:
    async with json_client(hub.url, "limit") as client, json_worker(hub.url, "limit") as worker:
        job = await running(client, worker, maxDuration="20m")
        found = (await api.get(f"/q/limit/jobs/{job}")).json["job"]
        assert found["phase"] == "running"
        assert found["attempt"] == 1


async def test_a_native_worker_and_a_json_worker_share_a_queue(hub: HubProcess) -> None:
    async with (
        json_client(hub.url, "share") as client,
        json_worker(hub.url, "share") as worker,
        plain_worker(hub.url, "share") as native,
    ):
        jobs = [await client.submit_new({"image": f"i{n}"}) for n in range(2)]
        about = await native.assigned()
        (left,) = set(jobs) - {about["job"]}
        await worker.claim(about["job"])
        await worker.claim(left)
        await worker.has(left)
        await native.finish(about)
        await worker.finish(left)
        for job in jobs:
            await client.sees(job, "Finished")


@pytest.mark.parametrize("depth", [110, 1_000, 100_000])
async def test_a_run_ends_however_deeply_its_result_is_nested(hub: HubProcess, api: Api, depth: int) -> None:
    queue = f"deep-result-{depth}"
    async with json_client(hub.url, queue) as client, json_worker(hub.url, queue) as worker:
        job = await running(client, worker)
        outputs = '{"deep.json":{"type":"json","value":' + "[" * depth + "]" * depth + "}}"
        value = '{"reason":"Success","result":{"StatusCode":0,"logs":[],"outputs":' + outputs + "}}"
        payload = '{"tag":"","state":"Finished","job":"' + job + '","value":' + value + "}"
        await worker.raw('{"type":"StateChange","payload":' + payload + "}")
        shown = await client.sees(job, "Finished")
    answer = (await api.get(f"/q/{queue}/jobs/{job}")).json
    assert shown["finishedReason"] == "Success"
    assert "nested at most 100 levels deep" in answer["result"]["skipped"]["deep.json"]


async def test_half_a_character_costs_neither_lines_nor_exit_code_nor_outputs(hub: HubProcess, api: Api) -> None:
    async with json_client(hub.url, "halves") as client, json_worker(hub.url, "halves") as worker:
        job = await running(client, worker)
        await worker.log(job, ["one\n", 1], ["cut \ud83d\n", 2], ["three\n", 3])
        outputs = {"good.txt": "good", "cut.txt": "an emoji \ud83d", "bad": {"type": 5, "value": "x"}}
        await worker.finish(job, StatusCode=3, outputs=outputs)
        await client.sees(job, "Finished")
    result = (await api.get(f"/q/halves/j/{job}/result.json")).json["data"]["finished"]["result"]
    assert [line[0] for line in result["logs"]] == ["one\n", "cut \ufffd\n", "three\n"]
    assert (result["StatusCode"], set(result["outputs"])) == (3, {"good.txt", "cut.txt"})
    assert (await api.get(f"/q/halves/jobs/{job}/outputs/cut.txt")).body == "an emoji \ufffd".encode()
