"""Every message of every websocket with every key: what the table of rights grants works, and nothing else does."""

from __future__ import annotations

import json
from typing import Any, Final

import pytest
from websockets.asyncio.client import ClientConnection

from asman_server.access.table import (
    CLIENT_MESSAGES,
    DIALECT_CLIENT_MESSAGES,
    PARTS,
    SOCKETS,
    WORKER_MESSAGES,
)
from asman_shared.errors import CLOSE_REASONS, CloseCode
from tests.support.json_dialect import JsonClient, JsonWorker
from tests.support.plain_worker import plain_worker

from .doors import DEFINITION, KEYS, QUEUE, RIGHTS, UNKNOWN, Doors, Message, closed, hear, lacks, names_one_of, say

OPENING: Final = {"hello", "register"}
SILENT: Final = {"ping", "pong"}


def requests_of(job: str) -> dict[str, Message]:
    """Each request of a client, so that it is carried out if the key allows it; the last ones end job and queue."""
    return {
        "submit": {"definition": {"image": "alpine", "command": "another"}, "follow": False},
        "cancel": {"job": job},
        "get": {"job": job},
        "list": {},
        "workers": {},
        "follow": {"job": job, "logs": True},
        "unfollow": {"job": job},
        "read_log": {"job": job},
        "list_runs": {"job": job},
        "summarise": {"job": job},
        "explain": {"job": job},
        "validate": {"definition": {"image": "alpine"}},
        "configure": {},
        "keep": {"job": job},
        "dismiss": {"worker": "nobody"},
        "purge": {"reasons": ["Replaced"]},
        "put_blobs": {"blobs": []},
        "get_blobs": {"keys": []},
        "delete": {"job": job},
        "ping": {},
        "delete_queue": {},
    }


async def asked(socket: ClientConnection, kind: str, **members: Any) -> Message:
    await say(socket, {"type": kind, "ref": 7, **members})
    return await hear(socket, ref=7)


def may_open(kind: str, socket: str) -> bool:
    return not RIGHTS[kind].isdisjoint(SOCKETS[socket])


@pytest.mark.parametrize("kind", KEYS)
async def test_a_client_may_send_what_the_table_says_and_nothing_else(doors: Doors, kind: str) -> None:
    job = await doors.job()
    requests = requests_of(job)
    assert {*requests, "hello", *SILENT} == set(CLIENT_MESSAGES)
    async with doors.socket(KEYS[kind]) as socket:
        await say(socket, {"type": "hello"})
        if not may_open(kind, "client"):
            assert (await hear(socket, "error", "welcome"))["code"] == "forbidden"
            code, sentence = await closed(socket)
            assert code == CloseCode.FORBIDDEN
            assert names_one_of(sentence, SOCKETS["client"])
            return
        welcome = await hear(socket, "welcome", "error")
        assert welcome["rights"] == sorted(RIGHTS[kind])
        assert ("links" in welcome) is ("read" in RIGHTS[kind])
        assert bool(welcome.get("counts", {}).get("finished")) is ("read" in RIGHTS[kind])
        for each, members in requests.items():
            answer = await asked(socket, each, **members)
            lacking = lacks(kind, CLIENT_MESSAGES[each])
            if lacking:
                assert (answer["type"], answer["code"]) == ("error", "forbidden"), (each, answer)
                assert names_one_of(answer["message"], lacking)
            elif each == "dismiss":
                assert answer["code"] == "not_found", answer
            else:
                assert answer["type"] != "error", (each, answer)
            assert kind == "name" or QUEUE not in str(answer)


@pytest.mark.parametrize("kind", [kind for kind in KEYS if may_open(kind, "client")])
async def test_some_members_need_more(doors: Doors, kind: str) -> None:
    await doors.job()
    async with doors.socket(KEYS[kind]) as socket:
        await say(socket, {"type": "hello"})
        await hear(socket, "welcome")
        answer = await asked(socket, "configure", retention=3_600_000)
        assert (answer["type"] == "error") is bool(lacks(kind, PARTS["configure.retention"]))
        answer = await asked(socket, "configure", paused=False)
        assert (answer["type"] == "error") is bool(lacks(kind, PARTS["configure.paused"]))
        calls = {"finished": {"url": "https://example.org/", "whole_queue": True}}
        one = {"image": "alpine", "command": "call"}
        answer = await asked(socket, "submit", definition=one, callbacks=calls)
        assert (answer["type"] == "error") is bool(lacks(kind, PARTS["callbacks.whole_queue"]))
        await say(  # many at a time are looked up ahead
            socket,
            {"type": "submit", "ref": 8, "definition": one},
            {"type": "submit", "ref": 9, "definition": one, "callbacks": calls},
        )
        answer = await hear(socket, ref=9)
        assert (answer["type"] == "error") is bool(lacks(kind, PARTS["callbacks.whole_queue"]))


@pytest.mark.parametrize("kind", KEYS)
async def test_the_whole_queue_is_followed_by_who_may_read(doors: Doors, kind: str) -> None:
    await doors.job()
    async with doors.socket(KEYS[kind]) as socket:
        await say(socket, {"type": "hello", "follow": "queue"})
        first = await hear(socket, "welcome", "error")
        lacking = lacks(kind, PARTS["hello.follow=queue"])
        assert (first["type"] == "error") is bool(lacking)
        if lacking:
            code, sentence = await closed(socket)
            assert code == CloseCode.FORBIDDEN
            assert names_one_of(sentence, ["read"])
            return
        job = await doors.job()
        assert (await hear(socket, "changed"))["job"]["id"] == job


@pytest.mark.parametrize("kind", KEYS)
async def test_a_worker_needs_the_right_to_work(doors: Doors, kind: str) -> None:
    job = await doors.job()
    assert all(needs == WORKER_MESSAGES["register"] for needs in WORKER_MESSAGES.values()), "so opening it decides"
    if not may_open(kind, "worker"):
        async with doors.socket(KEYS[kind], "worker") as socket:
            await say(socket, {"type": "register", "incarnation": "0123456789abcdef", "name": "x", "cpus": 1})
            assert (await hear(socket, "error", "registered"))["code"] == "forbidden"
            code, sentence = await closed(socket)
            assert code == CloseCode.FORBIDDEN
            assert names_one_of(sentence, ["work"])
        assert (await doors.ask("GET", f"/q/{QUEUE}/workers")).json["workers"] == []
        return
    async with plain_worker(doors.hub.url, KEYS[kind]) as worker:
        assert ("links" in worker.registered) is ("read" in RIGHTS[kind]), "they open results of all jobs"
        body = {"definition": {**DEFINITION, "command": "by key"}}
        await doors.ask("POST", f"/q/{QUEUE}/jobs", body)
        assign = await worker.next("assign")
        assert assign["definition"]["env"] == DEFINITION["env"], "a worker needs all of it"
        if "read" not in RIGHTS[kind]:
            assert (await doors.ask("GET", f"/j/{assign['address']}/definition.json")).json["data"]["env"]
        about = {"job": assign["job"], "attempt": assign["attempt"]}
        await worker.phase(about)
        await worker.send({"type": "put_blobs", "ref": 1, "blobs": []}, {"type": "get_blobs", "ref": 2, "keys": []})
        assert (await worker.next("blob_tickets"))["ref"] == 1
        assert (await worker.next("blob_links"))["ref"] == 2
        await worker.finish(about)
        await worker.send({"type": "drain"}, {"type": "ping", "ref": 3})
        await worker.next("pong")
    assert (await doors.ask("GET", f"/q/{QUEUE}/jobs/{about['job']}/wait")).json["verdict"]["ok"] is True
    assert job != about["job"]


@pytest.mark.parametrize("end", ["client", "worker"])
@pytest.mark.parametrize("native", [True, False], ids=["native", "dialect"])
async def test_the_key_of_no_queue_has_a_close_code_of_its_own(doors: Doors, end: str, native: bool) -> None:
    for place in (UNKNOWN, KEYS["work"], KEYS["submit+read"]):
        async with doors.socket(place, end, native=native) as socket:
            assert await closed(socket) == (CloseCode.UNKNOWN_KEY, CLOSE_REASONS[CloseCode.UNKNOWN_KEY])
    async with doors.socket("~short", end, native=native) as socket:
        assert (await closed(socket))[0] == CloseCode.BAD_QUEUE
    await doors.job()
    async with doors.socket(KEYS["work" if end == "worker" else "submit+read"], end) as socket:
        first = (
            {"type": "hello"}
            if end == "client"
            else {"type": "register", "incarnation": "0" * 16, "name": "x", "cpus": 1}
        )
        await say(socket, first)
        assert (await hear(socket, "welcome", "registered", "error"))["type"] != "error"


# ------------------------------------------------------------------------------------------------------ the dialect


@pytest.mark.parametrize("kind", KEYS)
async def test_a_client_of_the_dialect_may_do_what_the_table_says(doors: Doors, kind: str) -> None:
    assert set(DIALECT_CLIENT_MESSAGES) == {"StateChange", "QueryJob", "QueryJobStates"}
    job = await doors.job()
    async with doors.socket(KEYS[kind], native=False) as socket:
        if not may_open(kind, "dialect client"):
            code, sentence = await closed(socket)
            assert code == CloseCode.FORBIDDEN
            assert names_one_of(sentence, ["read"])
            return
        client = JsonClient(socket)
        assert job in await client.whole_list()
        assert (await client.asked(job) or {})["state"] == "Finished"
        definition = {"image": "alpine", "command": f"dialect {kind}"}
        lacking = lacks(kind, DIALECT_CLIENT_MESSAGES["StateChange"])
        new = await client.submit_new(definition)
        shown = (await client.whole_list())[new]
        if lacking:
            assert names_one_of(shown["finished"]["message"], lacking), "its sender is told"
            await client.end(job, "Deleted")
            assert job in await client.whole_list()
        else:
            assert shown["state"] == "Queued"
            await client.end(new, "Cancelled")
            await client.until(lambda jobs: jobs.get(new, {}).get("state") != "Queued" or None)
    stored = {each["id"] for each in (await doors.ask("GET", f"/q/{QUEUE}/jobs")).json["jobs"]}
    assert job in stored
    assert (new in stored) is not bool(lacking)


@pytest.mark.parametrize("kind", KEYS)
async def test_a_worker_of_the_dialect_needs_the_right_to_work(doors: Doors, kind: str) -> None:
    await doors.job()
    async with doors.socket(KEYS[kind], "worker", native=False) as socket:
        if not may_open(kind, "dialect worker"):
            code, sentence = await closed(socket)
            assert code == CloseCode.FORBIDDEN
            assert names_one_of(sentence, ["work"])
            return
        worker = JsonWorker(socket)
        await worker.register("one")
        await doors.ask("POST", f"/q/{QUEUE}/jobs", {"definition": {"image": "alpine", "command": "claim"}})
        await worker.until(lambda jobs: any(job["state"] == "Queued" for job in jobs.values()))
        assert "a-secret" not in json.dumps(worker.heard), "it asks for the definitions that it runs"


async def test_a_worker_with_a_work_key_sees_definitions_of_what_it_may_run_alone(doors: Doors) -> None:
    ended, elsewhere = await doors.job(), await doors.job("another-queue")
    said = await doors.ask("POST", f"/q/{QUEUE}/jobs", {"definition": {"image": "alpine", "command": "waits"}})
    waiting = said.json["job"]["id"]
    for kind, seen in (("work", {waiting}), ("name", {ended, elsewhere, waiting})):
        async with doors.socket(KEYS[kind], "worker", native=False) as socket:
            worker = JsonWorker(socket)
            await worker.register("one")
            await worker.send("RequestJobDefinitions", {"jobIds": [ended, elsewhere, waiting]})
            found = await worker.next("BroadcastJobDefinitions")
            assert set(found["definitions"]) == seen, kind


@pytest.mark.parametrize("kind", ["read", "submit+read"])
async def test_tasks_are_found_by_name_and_tags_by_who_sees_these(doors: Doors, kind: str) -> None:
    await doors.job()
    for query in ("name_prefix=a", "tag_key=a&tag_value=b"):
        said = await doors.ask("GET", f"/q/{KEYS[kind]}/ga4gh/tes/v1/tasks?{query}")
        assert said.status == (403 if kind == "read" else 200), said
        assert kind != "read" or "'submit'" in said.text
