"""Each member of the dialect's messages is fed its bounds, what is beyond them and other types; the hub answers and
lives on, and all that it stored can be read in every language."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from typing import Any

import aiohttp
import msgpack
import pytest
from msgspec import inspect as shape
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed
from websockets.typing import Subprotocol

from asman_server.dialect import incoming
from asman_server.dialect.ids import identify
from asman_shared import limits
from asman_shared.definition import Definition
from asman_shared.errors import AsmanError, CloseCode
from devtools.asman_processes import HubProcess
from devtools.patience import PATIENCE
from tests.support.json_dialect import JsonClient, Speaker, json_client, json_worker
from tests.support.ranges import JOB, NUMBERS, OTHERS, carried, edges, places, with_value
from tests.support.unharmed import of_database, unharmed

ODD: tuple[Any, ...] = tuple(
    dict.fromkeys(value for value in (*NUMBERS, *OTHERS[:6], "x" * 300) if carried(value, binary=False))
)
CALLED = "https://127.0.0.1:9/"
HALF = '"a half \\ud800 character"'
"""JSON of a text that no database and no UTF-8 can hold."""


@pytest.fixture(params=["sqlite", "postgres"])
async def fed_hub(request: pytest.FixtureRequest, hub_process: Callable[..., HubProcess]) -> AsyncIterator[HubProcess]:
    more = ["--grace", "500ms", "--allow-private-webhooks", *of_database(request)]
    async with unharmed(hub_process, *more) as started:
        yield started


async def read(speaker: Speaker) -> None:
    """Waits until all that was said is read."""
    await speaker.raw("PING")
    assert (await speaker.text()).startswith("PONG")


async def readable(hub: HubProcess, queue: str) -> None:
    """Reads all that a queue has in both native languages, as any client may."""
    for language in ("asman.v1.msgpack", "asman.v1.json"):
        address = f"{hub.url.replace('http', 'ws')}/q/{queue}/client"
        async with connect(
            address, subprotocols=[Subprotocol(language)], compression=None, max_size=limits.WEBSOCKET_BYTES
        ) as socket:
            asked = [{"type": "hello"}, {"type": "workers", "ref": 1}, {"type": "list", "ref": 2, "limit": 500}]
            asked.append({"type": "ping", "ref": 3})
            await socket.send(msgpack.packb(asked) if language.endswith("msgpack") else json.dumps(asked))
            missing = {"worker_list", "jobs", "pong"}
            async with asyncio.timeout(PATIENCE):
                while missing:
                    frame = await socket.recv()
                    came = msgpack.unpackb(frame) if isinstance(frame, bytes) else json.loads(frame)
                    missing -= {each["type"] for each in came}


def fits_a_frame(value: Any) -> bool:
    return not isinstance(value, list) or len(value) < limits.FRAME_BYTES


def cases(kind: type[Any]) -> Iterator[tuple[tuple[str, ...], Any]]:
    """Each member of a payload with each value at its bounds or beyond, or of another type."""
    for path, info in places(shape.type_info(kind)):
        yield from ((path, value) for value, _ in edges(info) if carried(value, binary=False) and fits_a_frame(value))
        yield from ((path, value) for value in ODD)


def enqueued(path: str, value: Any) -> dict[str, Any]:
    """A submission that fits, but for one member."""
    *parents, last = path.split(".")
    made: dict[str, Any] = {"definition": {} if parents == ["definition"] else {"image": "a"}}
    at = made
    for name in parents:
        at = at.setdefault(name, {})
    if parents[:2] == ["control", "callbacks"] and len(parents) == 3:
        at["url"] = CALLED
    at[last] = value
    return made


async def answered(client: JsonClient, number: int, enqueued: dict[str, Any]) -> dict[str, Any]:
    """The job that a submission is shown as; no other submission of the test is the same."""
    definition = enqueued["definition"]
    key = f"case-{number}"
    if isinstance(definition, dict):
        definition.setdefault("command" if "env" in definition else "env", [key] if "env" in definition else {"N": key})
        with contextlib.suppress(AsmanError):
            key = identify(definition).job
    client.jobs.pop(key, None)
    await client.change("Queued", key, enqueued=enqueued)
    return await client.until(lambda jobs: jobs.get(key))  # type: ignore[no-any-return]


def enqueues() -> Iterator[tuple[str, Any, int | float | None]]:
    """Each member of a submission with each value at its bounds or beyond; the bound that is broken, if it has one."""
    for path, info in places(shape.type_info(Definition)):
        bare = info.types if isinstance(info, shape.UnionType) else (info,)
        for each in bare:
            for value, broken in edges(each):
                yield ".".join(("definition", *path)), value, broken
        yield from ((".".join(("definition", *path)), value, None) for value in ODD)
    for path, info in places(shape.type_info(incoming.EnqueueJob)):
        yield from ((".".join(path), value, broken) for value, broken in edges(info))
        yield from ((".".join(path), value, None) for value in ODD)


async def test_every_member_of_a_submission_is_held_to_its_range_and_each_submission_is_answered(
    fed_hub: HubProcess,
) -> None:
    refused = 0
    async with json_client(fed_hub.url, "submissions") as client:
        await client.next("JobStates")
        for number, (path, value, broken) in enumerate(enqueues()):
            if not carried(value, binary=False):
                continue
            job = await answered(client, number, enqueued(path, value))
            case = f"{path} = {str(value)[:60]}"
            if broken is not None and not (path.endswith("cpus") and value == 0):
                refused += 1
                assert job.get("finishedReason") == "Error", (case, job)
            if job.get("finishedReason") == "Error":
                assert job["finished"]["message"], case
        await readable(fed_hub, "submissions")
    assert refused > 30


CHANGES = ("state", "job", "tag", "value", "value.worker", "value.reason", "value.message", "value.namespace")


async def test_every_member_of_a_clients_change_or_question_is_read_or_passed_over(fed_hub: HubProcess) -> None:
    async with json_client(fed_hub.url, "changes") as client:
        job = await client.submit_new({"image": "a"})
    await asyncio.to_thread(fed_hub.restart)  # from now on the database is asked for jobs that nobody knows
    async with json_client(fed_hub.url, "changes") as client:
        for reason in ("Cancelled", "Deleted"):
            for path in CHANGES:
                for value in ODD:
                    change: dict[str, Any] = {"state": "Finished", "job": JOB, "value": {"reason": reason}}
                    at = change["value"] if "." in path else change
                    at[path.rpartition(".")[2]] = value
                    await client.send("StateChange", change)
            await read(client)
        for place, value in cases(incoming.Query):
            await client.send("QueryJob", with_value(incoming.Query, place, value))
            await read(client)
        for kind in ("StateChange", "QueryJob", "QueryJobStates", "Other"):
            for value in ODD:
                await client.send(kind, value)
            await client.raw(f'{{"type": "{kind}", "payload": {HALF}}}')
            await read(client)
        assert job in await client.whole_list()


async def test_every_member_of_a_workers_report_is_read_or_passed_over(fed_hub: HubProcess) -> None:
    async with json_client(fed_hub.url, "reports") as client, json_worker(fed_hub.url, "reports") as worker:
        job = await client.submit_new({"image": "a"})
        await worker.claim(job)
        await worker.has(job)
        for path in CHANGES:
            for value in ODD:
                change: dict[str, Any] = {"state": "Running", "job": JOB, "value": {"worker": worker.id}}
                at = change["value"] if "." in path else change
                at[path.rpartition(".")[2]] = value
                await worker.send("StateChange", change)
        await read(worker)
        for kind, payload in (("JobStatusLogs", incoming.Logs), ("RequestJobDefinitions", incoming.Wanted)):
            for place, value in cases(payload):
                await worker.send(kind, {"jobId": job, **with_value(payload, place, value)} | {place[0]: value})
                await read(worker)
            for value in ODD:
                await worker.send(kind, value)
            await worker.raw(f'{{"type": "{kind}", "payload": {HALF}}}')
        for value in ODD:
            await worker.send("RequestJobDefinitions", {"jobIds": [value, job]})
            await worker.log(job, [value, 1], ["line", value], ["line", 1, value], value)
        await read(worker)
        await worker.finish(job)
        await client.sees(job, "Finished")
        await readable(fed_hub, "reports")


RESULTS = ("StatusCode", "logs", "duration", "error", "isTimedOut", "outputs", "other")


def results(odd: Sequence[Any]) -> Iterator[tuple[str, Any]]:
    """Values of a worker's change to Finished, each with one odd member."""
    for reason in ("Success", "TimedOut", "Error"):
        yield from ((reason, {"result": value}) for value in odd)
        yield from ((reason, {"message": value}) for value in odd)
        yield from ((reason, {"result": {name: value}}) for name in RESULTS for value in odd)
    yield from (("Success", {"result": {"outputs": {"a": value}}}) for value in odd)
    for name in ("type", "value", "hash"):
        for kind in ("utf8", "json", "base64", "key", "url"):
            made = ({"outputs": {"a": {"type": kind, "value": "x", name: value}}} for value in odd)
            yield from (("Success", {"result": each}) for each in made)
    yield "Success", {"result": {"outputs": {f"n{n}": "x" * 4000 for n in range(600)}}}
    for name in ("", "\0", "../a", "x" * 300, "a/" * 600):
        yield "Success", {"result": {"outputs": {name: "x"}}}


async def test_every_member_of_a_result_is_held_to_its_range(
    fed_hub: HubProcess, request: pytest.FixtureRequest
) -> None:
    # The databases differ in the texts that they take; the rest is up to the hub.
    texts = [value for value in ODD if isinstance(value, str)]
    said = list(results(texts if request.node.callspec.params["fed_hub"] == "postgres" else ODD))
    async with json_client(fed_hub.url, "results") as client:
        async with json_worker(fed_hub.url, "results", cpus=10_000) as worker:
            jobs = [await client.submit_new({"image": "a", "env": {"N": str(n)}}) for n in range(len(said))]
            for job in jobs:
                await worker.claim(job)
            await worker.until(lambda listed: all(listed.get(job, {}).get("state") == "Running" for job in jobs))
            for job, (reason, value) in zip(jobs, said, strict=True):
                change = {"type": "Finished", "reason": reason, "worker": worker.id, **value}
                await worker.send("StateChange", {"state": "Finished", "job": job, "value": change})
            await client.until(
                lambda listed: sum(listed.get(job, {}).get("state") == "Finished" for job in jobs) > len(jobs) // 4
            )
            await read(worker)
        await readable(fed_hub, "results")
        async with aiohttp.ClientSession(fed_hub.url) as session:
            for job, (reason, value) in zip(jobs, said, strict=True):
                async with session.get(f"/q/results/jobs/{job}") as answer:
                    assert answer.status == 200, (reason, value, await answer.text())
                    native = (await answer.json())["job"]
                async with session.get(f"/q/results/j/{job}/result.json") as answer:
                    assert answer.status == 200, (reason, value, await answer.text())
                code = (value.get("result") or {}).get("StatusCode") if isinstance(value.get("result"), dict) else None
                if native["state"] == "finished" and reason == "Success" and code not in (None, 0, True, ""):
                    assert not native["verdict"].get("ok"), (value, native)


async def known_or_closed(socket: Speaker) -> Any:
    """The answer to a ping, or the frame that closed the connection."""
    try:
        await socket.raw("PING")
        return await socket.text()
    except ConnectionClosed as closed:
        return closed.rcvd


@pytest.mark.parametrize("fed_hub", ["sqlite"], indirect=True)  # none of this is stored
async def test_every_member_of_a_registration_is_held_to_its_range(fed_hub: HubProcess) -> None:
    fits = {"version": "0", "id": "w", "cpus": 1, "gpus": 0, "maxJobDuration": "1h"}
    for path, value in cases(incoming.Registration):
        async with json_client(fed_hub.url, "registrations", "worker") as socket:
            await socket.send("WorkerRegistration", {**fits, path[0]: value})
            told = await known_or_closed(socket)
            case = (path, value, told)
            if isinstance(told, str):
                assert told != "PONG unknown", case
                await readable(fed_hub, "registrations")
            else:
                assert told.code == CloseCode.PROTOCOL, case
                assert path[0] in told.reason or "1 to 128" in told.reason, case


@pytest.mark.parametrize("fed_hub", ["sqlite"], indirect=True)  # none of this is stored
async def test_a_half_character_in_a_submission_is_told_with_its_place(fed_hub: HubProcess) -> None:
    async with json_client(fed_hub.url, "halves") as client:
        change = '{"state": "Queued", "job": "mine", "value": {"enqueued": {"definition": {"image": %s}}}}'
        await client.raw(f'{{"type": "StateChange", "payload": {change % HALF}}}')
        told = await client.sees("mine", "Finished")
        assert told["finished"]["message"].startswith("value.enqueued.definition.image: a text has half a character")


@pytest.mark.parametrize("fed_hub", ["sqlite"], indirect=True)  # none of this is stored
@pytest.mark.parametrize("who", ["client", "worker"])
async def test_a_frame_of_more_than_sixteen_mebibytes_closes_the_connection(fed_hub: HubProcess, who: str) -> None:
    async with json_client(fed_hub.url, "frames", who) as speaker:
        await speaker.raw(" " * limits.WEBSOCKET_BYTES)
        await read(speaker)
        with pytest.raises(ConnectionClosed, match="1009"):
            await speaker.raw(" " * (limits.WEBSOCKET_BYTES + 1))
            await speaker.text()
