"""Messages in forms that other programs write and that nobody would write anew: they mean what they meant before."""

from __future__ import annotations

import asyncio
import sqlite3
from contextlib import AsyncExitStack, closing
from typing import Any

import msgpack
import pytest
from websockets.exceptions import ConnectionClosed
from yarl import URL

from asman_server.dialect.ids import first_id, identify
from asman_shared.errors import CloseCode
from asman_shared.units import MIB
from devtools.asman_processes import HubProcess
from tests.support.api import Api
from tests.support.json_dialect import JsonClient, JsonWorker, json_client, json_worker, now

ALPINE = {"image": "alpine", "command": "echo hi"}


@pytest.mark.parametrize(
    ("said", "told"),
    [
        ({"cpus": "2", "gpus": "1"}, {"cpus": 2, "gpus": 1}),
        ({"cpus": 2.0, "gpus": 1.0}, {"cpus": 2, "gpus": 1}),
        ({"version": 54}, {"version": "54"}),
        ({"version": None, "gpus": None, "maxJobDuration": None}, {"gpus": 0, "maxJobDuration": ""}),
        ({"time": "now", "unknown": {"a": [1]}}, {"cpus": 1}),
    ],
)
async def test_a_worker_registers_whatever_form_its_numbers_have(
    hub: HubProcess, said: dict[str, Any], told: dict[str, Any]
) -> None:
    async with json_client(hub.url, "forms") as client, json_client(hub.url, "forms", "worker") as worker:
        name = f"form-{now()}"
        await worker.send("WorkerRegistration", {"id": name, "cpus": 1, "gpus": 0, "version": "1", **said})
        here = (await client.next("Workers", lambda told: any(one["id"] == name for one in told["workers"])))["workers"]
        listed = next(one for one in here if one["id"] == name)
        assert {member: listed[member] for member in told} == told


async def test_an_odd_entry_or_step_costs_no_line_of_its_frame(hub: HubProcess, api: Api) -> None:
    async with json_client(hub.url, "odd-lines") as client, json_worker(hub.url, "odd-lines") as worker:
        job = await client.submit_new(ALPINE)
        await worker.sees(job, "Queued")
        await worker.claim(job)
        await worker.has(job)
        odd: list[Any] = ["text", None, {"a": 1}, 5, [], [None, 1], [5, 9]]
        for step, logs in ((None, [["a\n", 1]]), (5, [["b\n", 2]]), ("Running", [*odd, ["c\n", "3"], ["d\n"]])):
            await worker.send("JobStatusLogs", {"jobId": job, "step": step, "logs": logs})
        await worker.send("JobStatusLogs", {"jobId": job, "step": "Running", "logs": None})
        await worker.send("JobStatusLogs", {"jobId": job, "logs": [["e\n", 4, None], ["f\n", 5, True, {}]]})
        await worker.finish(job, StatusCode=0)
        await client.sees(job, "Finished")
        result = (await api.get(f"/q/odd-lines/j/{job}/result.json")).json["data"]["finished"]["result"]
    told = [(text, *more) for text, _, *more in result["logs"]]
    assert told == [("a\n",), ("b\n",), ("c\n",), ("d\n",), ("e\n",), ("f\n", True)]


async def test_a_request_for_definitions_is_answered_beside_what_is_no_id(hub: HubProcess) -> None:
    async with json_client(hub.url, "odd-ids") as client, json_worker(hub.url, "odd-ids") as worker:
        job = await client.submit_new(ALPINE)
        await worker.send("RequestJobDefinitions", {"jobIds": [None, job, 5, "x"]})
        assert set((await worker.next("BroadcastJobDefinitions"))["definitions"]) == {job}
        await worker.send("RequestJobDefinitions", {"jobIds": None})
        assert (await worker.next("BroadcastJobDefinitions"))["definitions"] == {}


@pytest.mark.parametrize(("count", "size"), [(101, 10), (3, 6 * MIB)])
async def test_a_worker_that_does_not_register_is_told_to_before_its_messages_fill_the_hub(
    hub: HubProcess, count: int, size: int
) -> None:
    async with json_client(hub.url, "unregistered", "worker") as worker:
        for _ in range(count - 1):
            await worker.send("JobStatusLogs", {"jobId": "x", "logs": [["x" * size, 1]]})
        await worker.raw("PING")
        assert await worker.text() == "PONG unknown"
        await worker.send("JobStatusLogs", {"jobId": "x", "logs": [["x" * size, 1]]})
        with pytest.raises(ConnectionClosed) as closed:
            await worker.text()
    assert closed.value.rcvd is not None
    assert (closed.value.rcvd.code, "registers first" in closed.value.rcvd.reason) == (CloseCode.PROTOCOL, True)


async def test_workers_that_do_not_register_hold_no_more_of_the_hub_than_all_of_them_may(hub: HubProcess) -> None:
    async def fill(worker: JsonClient) -> None:
        await worker.send("JobStatusLogs", {"jobId": "x", "logs": [["x" * (15 * MIB), 1]]})
        await worker.raw("PING")
        assert await worker.text() == "PONG unknown"

    async with AsyncExitStack() as stack:
        several = [
            await stack.enter_async_context(json_client(hub.url, f"unregistered-{n}", "worker")) for n in range(6)
        ]
        for each in several[:4]:
            await fill(each)
        with pytest.raises(ConnectionClosed) as closed:
            await fill(several[4])
        assert closed.value.rcvd is not None
        assert (closed.value.rcvd.code, closed.value.rcvd.reason) == (
            CloseCode.OVERLOADED,
            "too many messages wait for registrations of workers; try again later",
        )
        registered = JsonWorker(several[0].socket)
        await registered.register("w")
        await registered.next("JobStates")
        await fill(several[5])


async def test_the_largest_result_of_a_worker_counts_though_it_comes_before_the_registration(hub: HubProcess) -> None:
    async with json_client(hub.url, "early-end") as client, json_worker(hub.url, "early-end", "late") as worker:
        job = await client.submit_new(ALPINE)
        await worker.sees(job, "Queued")
        await worker.claim(job)
        await worker.has(job)
        async with json_client(hub.url, "early-end", "worker") as socket:
            again = JsonWorker(socket.socket)
            again.id = "late"
            await again.finish(job, StatusCode=3, outputs={"a": {"value": "x" * (15 * MIB)}})
            await again.register("late")
            await client.sees(job, "Finished")
    assert client.jobs[job]["finishedReason"] == "Success"


OLDER = {"image": "alpine", "command": "echo hi", "env": {"N": 1, "B": False}, "maxDuration": "10 min"}
NEWER = {**OLDER, "env": {"N": "1", "B": "false"}, "maxDuration": "600000ms"}


@pytest.mark.parametrize("rule", ["first", "second"])
async def test_a_script_that_sends_numbers_in_env_and_durations_in_words_finds_its_job_by_its_own_id(
    hub: HubProcess, api: Api, rule: str
) -> None:
    """By both rules, the id is that of the definition as it was sent: here, both write it alike."""
    definition = OLDER if rule == "second" else {**OLDER, "inputs": {}}
    sent, own, queue = first_id(definition), identify(NEWER).job, f"older-forms-{rule}"
    assert sent != own
    async with json_client(hub.url, queue) as client, json_worker(hub.url, queue) as worker:
        await client.submit(sent, definition, maxDuration="1.5 hours")
        await client.sees(sent, "Queued")
        assert set(await client.whole_list()) == {sent}
        await worker.send("RequestJobDefinitions", {"jobIds": [own]})
        told = (await worker.next("BroadcastJobDefinitions"))["definitions"][own]
        assert (told["env"], told["maxDuration"]) == (NEWER["env"], NEWER["maxDuration"])
        await worker.sees(own, "Queued")
        await worker.claim(own)
        await worker.has(own)
        await worker.finish(own, StatusCode=0, outputs={"a": {"value": "x"}})
        await client.sees(sent, "Finished")
    assert (await api.get(f"/q/{queue}/j/{sent}/outputs/a")).text == "x"
    assert (await api.post(f"/q/{queue}", {"id": sent, "definition": definition})).json["jobId"] == sent


@pytest.mark.parametrize("limit", ["10 min", "1.5h", "600000", 600_000, "2 days"])
async def test_a_time_limit_is_taken_in_every_form_that_pages_have_sent(
    hub: HubProcess, api: Api, limit: str | int
) -> None:
    definition = {**ALPINE, "env": {"N": str(limit), "T": str(type(limit))}}
    async with json_client(hub.url, "limits") as client:
        job = await client.submit_new(definition, maxDuration=limit)
        assert client.jobs[job]["state"] == "Queued"
    answer = await api.post("/q/limits", {"definition": {**ALPINE, "maxDuration": str(limit)}})
    assert answer.status == 200


async def test_a_time_limit_that_means_nothing_is_refused_with_its_words(hub: HubProcess) -> None:
    async with json_client(hub.url, "no-limits") as client:
        job = await client.submit_new(ALPINE, maxDuration="5 parsecs")
        assert "'5 parsecs' is not a duration" in client.jobs[job]["finished"]["message"]


@pytest.mark.parametrize("method", ["GET", "HEAD", "POST"])
async def test_an_address_with_a_slash_too_many_leads_pages_of_other_origins_to_the_one_that_is_meant(
    hub: HubProcess, api: Api, method: str
) -> None:
    """The way is relative, so that it holds behind a proxy with another scheme or a path of its own."""
    queue = f"slash-{method}"
    job = (await api.post(f"/q/{queue}", {"definition": ALPINE})).json["jobId"]
    body = {"definition": {**ALPINE, "env": {"N": "1"}}}
    paths = [f"/q/{queue}"] if method == "POST" else [f"/q/{queue}", f"/j/{job}", f"/q/{queue}/j/{job}/result.json"]
    for path in paths:
        async with api.session.request(
            method, f"{hub.url}{path}/?x=%20y", json=body if method == "POST" else None, allow_redirects=False
        ) as answer:
            assert (answer.status, answer.headers["Access-Control-Allow-Origin"]) == (307, "*")
            assert answer.headers["Location"] == f"../{path.rpartition('/')[2]}?x=%20y"
        async with api.session.request(method, f"{hub.url}{path}/", json=body if method == "POST" else None) as answer:
            assert (answer.status, answer.url.path) == (200, path)


@pytest.mark.parametrize("path", ["/nothing/at/all/", "//evil.example/", "/q/slashes//", "/%0d%0ax/y/"])
async def test_an_address_that_is_none_leads_nowhere(hub: HubProcess, api: Api, path: str) -> None:
    async with api.session.get(URL(hub.url + path, encoded=True), allow_redirects=False) as answer:
        assert (answer.status, answer.headers["Access-Control-Allow-Origin"]) == (404, "*")


async def test_a_stored_result_of_an_earlier_hub_that_can_not_be_read_is_shown_as_far_as_it_can(
    own_hub: HubProcess, own_api: Api
) -> None:
    """Earlier hubs stored outputs of an unknown long type as they came."""
    async with json_client(own_hub.url, "earlier") as client, json_worker(own_hub.url, "earlier") as worker:
        job = await client.submit_new(ALPINE)
        await worker.sees(job, "Queued")
        await worker.claim(job)
        await worker.has(job)
        await worker.log(job, ["hi\n", 1])
        await worker.finish(job, StatusCode=3, outputs={"bad": {"value": "x"}, "good": {"value": "y"}})
        await client.sees(job, "Finished")
    path = f"/q/earlier/j/{job}"
    await asyncio.to_thread(own_hub.restart)
    for mended in (lambda body: {**body, "outputs": {**body["outputs"], "bad": {"ref": 5}}}, lambda _: "no result"):
        with closing(sqlite3.connect(own_hub.data / "hub.sqlite")) as database, database:
            (body,) = database.execute("SELECT body FROM results WHERE id = ?", (job,)).fetchone()
            changed = msgpack.packb(mended(msgpack.unpackb(body)))
            database.execute("UPDATE results SET body = ? WHERE id = ?", (changed, job))
        kept = {"good": {"value": "y"}} if b"good" in changed else {}
        for place in ("/result.json", ".json"):
            data = (await own_api.get(path + place)).json["data"]
            ended = (data if place == "/result.json" else data["results"])["finished"]["result"]
            assert (ended["StatusCode"], ended["logs"], ended["outputs"]) == (3, [["hi\n", 1]], kept)
        assert (await own_api.get(f"{path}/outputs/bad")).status == 404
        assert (await own_api.get(f"{path}/outputs/good")).status == (200 if kept else 404)
