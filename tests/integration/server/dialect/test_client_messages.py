"""Every row of the dialect's tables for clients: what they say and what they are told, recorded from a real hub."""

from __future__ import annotations

import asyncio
import hashlib
import json
from typing import Any

import pytest

from asman_server.dialect.ids import first_id, identify
from devtools.asman_processes import HubProcess
from tests.support.api import Api
from tests.support.json_dialect import json_client, json_worker, now
from tests.support.plain_worker import plain_worker

#: As a page of the first generation sends it, and a client of the second.
DEFINITION = {"command": 'echo "hello world"', "env": {}, "image": "alpine:3.19.1"}
FIRST = "6a0e3f7e93611bb005c9a398c9e3350644db5fbcdecf21d5c8ce7edb25be7ac4"
SECOND = "9a684c59f4270fa102f102d2aafe92d5e78ad285116f02d845e5dabbfb0ba873"
NOBODY = "0" * 64


@pytest.mark.parametrize(("who", "old"), [("client", False), ("browser", False), ("client", True), ("browser", True)])
async def test_a_client_is_told_the_workers_and_then_the_whole_list(hub: HubProcess, who: str, old: bool) -> None:
    async with json_client(hub.url, "order", who, old=old) as client:
        await client.next("JobStates")
        assert client.heard == [
            {"type": "Workers", "payload": {"workers": []}},
            {"type": "JobStates", "payload": {"state": {"jobs": {}}, "isSubset": False}},
        ]


async def test_the_first_message_sent_right_after_open_is_not_lost(hub: HubProcess) -> None:
    async with json_client(hub.url, "new") as client:
        await client.submit(SECOND, DEFINITION)
        seen = await client.sees(SECOND, "Queued")
    assert set(seen) == {"queuedTime", "time", "state", "worker", "namespaces"}
    assert seen["worker"] == ""
    assert seen["namespaces"] == ["_"]
    assert seen["queuedTime"] == seen["time"] <= now()


async def test_stray_text_is_passed_over_and_a_ping_is_answered(hub: HubProcess) -> None:
    async with json_client(hub.url, "stray") as client:
        for text in ("undefined", "", "[1]", "{", '{"type":"Nobody"}', '{"type":"StateChange"}', '{"payload":{}}'):
            await client.raw(text)
        await client.socket.send(b"\xff\x00")
        await client.raw("PING")
        assert await client.text() == "PONG"


async def test_a_job_from_queued_to_finished_as_lists_show_it(hub: HubProcess) -> None:
    wanted = {
        **DEFINITION,
        "tags": ["fast"],
        "requirements": {"cpus": 2, "gpus": 1, "memory": "2g", "maxDuration": "20m"},
    }
    async with json_client(hub.url, "shapes") as client, json_worker(hub.url, "shapes", cpus=4, gpus=1) as worker:
        job = await client.submit_new(wanted)
        queued = await client.sees(job, "Queued")
        assert queued["tags"] == ["fast"]
        assert queued["requirements"] == {"cpus": 2, "gpus": 1, "maxDuration": "20m", "memory": "2g"}
        await worker.sees(job, "Queued")
        await worker.claim(job)
        running = await client.sees(job, "Running")
        assert running["worker"] == worker.id
        await worker.finish(job, StatusCode=3, duration=17)
        finished = await client.sees(job, "Finished")
    assert finished["finishedReason"] == "Success", "a command that fails has still run"
    assert set(finished) == {*running, "finishedReason"}, "a page fetches the result only if `finished` is absent"
    assert finished["worker"] == worker.id


async def test_a_submission_is_idempotent(hub: HubProcess) -> None:
    async with json_client(hub.url, "again") as client, plain_worker(hub.url, "again") as worker:
        for _ in range(3):
            await client.submit(SECOND, DEFINITION)
        about = await worker.assigned()
        await client.sees(SECOND, "Running")
        await client.submit(SECOND, DEFINITION)
        await worker.finish(about)
        await client.sees(SECOND, "Finished")
        await client.submit(SECOND, DEFINITION)
        await client.next("JobStateUpdates", lambda told: told["state"]["jobs"].get(SECOND, {}).get("finishedReason"))
        await client.raw("PING")
        assert await client.text() == "PONG"
    assert about["attempt"] == 1


async def test_either_generations_id_finds_the_job(own_hub: HubProcess, own_api: Api) -> None:
    hub, api = own_hub, own_api
    async with json_client(hub.url, "ids") as client, json_client(hub.url, "ids") as other:
        await client.submit(FIRST, DEFINITION)
        await client.sees(FIRST, "Queued")
        assert set(await client.whole_list()) == {FIRST}, "it counts no job twice"
        await other.sees(SECOND, "Queued")
        assert other.jobs[FIRST] == other.jobs[SECOND], "a script that only reads lists finds it, too"
        await other.send("QueryJob", {"jobId": FIRST})
        await other.sees(FIRST, "Queued")
        await client.end(FIRST, "Cancelled")
        await client.until(lambda jobs: not jobs)
    for key in (FIRST, SECOND):
        assert (await api.get(f"/j/{key}.json")).json["data"]["definition"] == DEFINITION
    await asyncio.to_thread(hub.restart)
    assert (await api.get(f"/q/ids/j/{FIRST}/definition.json")).json["data"] == DEFINITION


async def test_what_is_wrong_with_a_submission_is_shown_as_an_error_to_its_sender_alone(hub: HubProcess) -> None:
    async with json_client(hub.url, "wrong") as client, json_client(hub.url, "wrong") as other:
        await client.submit(NOBODY, DEFINITION)
        shown = await client.sees(NOBODY, "Finished")
        assert shown["finishedReason"] == "Error"
        assert "is not this definition's" in shown["finished"]["message"]
        await client.submit('x"y', {"image": 7})
        shown = await client.sees('x"y', "Finished")
        assert "Expected `str" in shown["finished"]["result"]["error"]
        await other.raw("PING")
        assert await other.text() == "PONG"
        assert other.jobs == {}


@pytest.mark.parametrize("namespace", [None, "mine", "*"])
async def test_a_cancel_is_for_its_namespace(hub: HubProcess, namespace: str | None) -> None:
    async with json_client(hub.url, "cancel") as client:
        await client.submit(SECOND, DEFINITION)
        await client.submit(SECOND, DEFINITION, namespace="mine")
        await client.until(lambda jobs: jobs.get(SECOND, {}).get("namespaces") == ["_", "mine"])
        more = {} if namespace is None else {"namespace": namespace}
        await client.end(SECOND, "Cancelled", **more)
        if namespace == "*":
            await client.until(lambda jobs: not jobs)
            return
        left = ["mine"] if namespace is None else ["_"]
        await client.until(lambda jobs: jobs[SECOND]["namespaces"] == left)
        await client.end(SECOND, "Cancelled", namespace=left[0])
        await client.until(lambda jobs: not jobs)
        await client.submit(SECOND, DEFINITION)
        await client.sees(SECOND, "Queued")


async def test_a_newer_job_in_a_namespace_replaces_the_older(hub: HubProcess) -> None:
    async with json_client(hub.url, "slot") as client:
        older = await client.submit_new({"image": "a"}, namespace="doc")
        newer = await client.submit_new({"image": "b"}, namespace="doc")
        await client.until(lambda jobs: newer in jobs and older not in jobs)


async def test_a_deleted_result_is_forgotten_and_workers_clear_their_caches(hub: HubProcess) -> None:
    async with json_client(hub.url, "delete") as client, json_worker(hub.url, "delete") as worker:
        await client.submit(SECOND, DEFINITION)
        await worker.sees(SECOND, "Queued")
        await worker.claim(SECOND)
        await worker.finish(SECOND)
        await client.sees(SECOND, "Finished")
        await client.end(SECOND, "Deleted", namespace="mine")
        assert await worker.next("ClearJobCache") == {"jobId": SECOND, "namespace": "mine"}
        await client.until(lambda jobs: not jobs)
        await client.submit(SECOND, DEFINITION)
        await client.sees(SECOND, "Queued")


async def test_deleting_what_has_no_result_yet_only_lets_go_of_it(hub: HubProcess) -> None:
    async with json_client(hub.url, "early") as client:
        await client.submit(SECOND, DEFINITION)
        await client.submit(SECOND, DEFINITION, namespace="theirs")
        await client.until(lambda jobs: jobs.get(SECOND, {}).get("namespaces") == ["_", "theirs"])
        await client.end(SECOND, "Deleted")
        await client.until(lambda jobs: jobs[SECOND]["namespaces"] == ["theirs"])


async def test_a_question_about_a_job_is_answered_to_this_socket_alone(hub: HubProcess) -> None:
    async with json_client(hub.url, "query") as client, json_client(hub.url, "query") as other:
        await client.next("JobStates")
        await client.send("QueryJob", {"jobId": NOBODY})
        assert await client.next("JobStateUpdates") == {"state": {"jobs": {}}, "isSubset": True}
        await other.submit(SECOND, DEFINITION)
        await client.sees(SECOND, "Queued")
        heard = len(other.heard)
        await client.send("QueryJob", {"jobId": SECOND})
        told = await client.next("JobStateUpdates", lambda told: told["state"]["jobs"])
        assert set(told["state"]["jobs"]) == {SECOND}
        assert all(message["type"] != "JobStates" for message in other.heard[heard:])


async def test_the_whole_list_comes_when_it_is_asked_for(hub: HubProcess) -> None:
    async with json_client(hub.url, "list") as client:
        await client.submit(SECOND, DEFINITION)
        await client.sees(SECOND, "Queued")
        assert set(await client.whole_list()) == {SECOND}


async def test_workers_are_told_as_they_come_and_go(hub: HubProcess) -> None:
    async with json_client(hub.url, "crew") as client:
        async with json_worker(hub.url, "crew", "w1", cpus=4, gpus=1, longest="20m"):
            told = await client.next("Workers", lambda told: told["workers"])
            (worker,) = told["workers"]
            assert isinstance(worker.pop("time"), int)
            assert worker == {"version": "0.54.0", "id": "w1", "cpus": 4, "gpus": 1, "maxJobDuration": "20m"}
        async with plain_worker(hub.url, "crew"):
            told = await client.next("Workers", lambda told: told["workers"] and told["workers"][0]["id"] != "w1")
            assert told["workers"][0]["id"] == "plain"
        await client.next("Workers", lambda told: not told["workers"])


async def test_lines_of_native_and_json_workers_are_told_as_they_come(hub: HubProcess) -> None:
    async with json_client(hub.url, "lines") as client, json_client(hub.url, "lines") as other:
        await client.submit(FIRST, DEFINITION)
        await client.sees(FIRST, "Queued")
        async with plain_worker(hub.url, "lines") as worker:
            about = await worker.assigned()
            await client.sees(FIRST, "Running")
            await worker.log(about, 0, "one", "two", stream=1)
            told = await other.next("JobStatusPayload", lambda told: told["jobId"] == SECOND)
            assert told == {"jobId": SECOND, "step": "Running", "logs": [["one\n", 1000, True], ["two\n", 1001, True]]}
            told = await client.next("JobStatusPayload", lambda told: told["jobId"] == FIRST)
            assert [line[0] for line in told["logs"]] == ["one\n", "two\n"]
            await worker.finish(about, lines=2)


async def test_a_result_frame_of_several_megabytes_is_normal(hub: HubProcess, api: Api) -> None:
    async with json_client(hub.url, "big") as client, json_worker(hub.url, "big") as worker:
        await client.submit(SECOND, DEFINITION)
        await worker.sees(SECOND, "Queued")
        await worker.claim(SECOND)
        body = "x" * 6_000_000
        await worker.finish(SECOND, StatusCode=0, outputs={"big.txt": {"value": body}, "small.txt": {"value": "s"}})
        await client.sees(SECOND, "Finished")
    result = (await api.get(f"/q/big/j/{SECOND}/result.json")).json["data"]["finished"]["result"]
    assert result["outputs"]["small.txt"] == {"value": "s"}
    assert result["outputs"]["big.txt"] == {
        "type": "url", "value": f"{hub.url}/f/{hashlib.sha256(body.encode()).hexdigest()}"
    }  # fmt: skip
    assert len((await api.get(f"/q/big/j/{SECOND}/outputs/big.txt")).body) == 6_000_000
    assert len(json.dumps(result)) < 10_000


async def test_a_first_id_covers_all_members_of_a_ref_but_its_hash_and_signed_addresses_are_one_job(
    hub: HubProcess,
) -> None:
    address = "https://metaframe-asman-test.s3.us-west-1.amazonaws.com/j/file"

    def signed(by: str, **more: Any) -> dict[str, Any]:
        ref = {"type": "url", "value": f"{address}?X-Amz-Signature={by}", "hash": by, **more}
        return {"image": "alpine", "env": {}, "inputs": {"file": ref}}

    async with json_client(hub.url, "signed") as client, json_worker(hub.url, "signed") as worker:
        one, other = first_id(signed("a", size=5)), first_id(signed("a"))
        assert one == first_id(signed("b", size=5)) != other
        await client.submit(one, signed("a", size=5))
        shown = await client.sees(one, "Queued")
        job = identify(signed("a")).job
        await worker.sees(job, "Queued")
        await client.submit(other, signed("b"))
        assert (await client.sees(other, "Queued"))["queuedTime"] == shown["queuedTime"], "it is the same job"
        await worker.send("RequestJobDefinitions", {"jobIds": [job]})
        (asked,) = (await worker.next("BroadcastJobDefinitions"))["definitions"].values()
        assert asked["inputs"]["file"]["value"] == f"{address}?X-Amz-Signature=b", "the newest signature works"


@pytest.mark.parametrize("depth", [90, 110, 965, 1_000, 100_000])
async def test_a_submission_is_answered_however_deeply_it_is_nested(hub: HubProcess, depth: int) -> None:
    value = "[" * depth + "]" * depth
    definition = '{"image":"a","inputs":{"i":{"type":"json","value":' + value + "}}}"
    enqueued = '{"type":"Queued","time":1,"enqueued":{"id":"JOB","definition":' + definition + "}}"
    async with json_client(hub.url, f"deep-{depth}") as client:
        payload = '{"tag":"","state":"Queued","job":"JOB","value":' + enqueued + "}"
        job = identify(json.loads(definition)).job if depth < 100 else NOBODY
        await client.raw('{"type":"StateChange","payload":' + payload.replace("JOB", job) + "}")
        if depth < 100:
            await client.sees(job, "Queued")
        else:
            finished = (await client.sees(job, "Finished"))["finished"]
            assert "nested at most 100 levels deep" in finished["message"]
