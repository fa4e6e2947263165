"""A run that fails before it begins says why in its log: pages and scripts of the dialect show nothing else of it."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from typing import Any

import msgspec
import pytest

from asman_server.dialect.client_session import REFUSED_BYTES
from asman_server.dialect.ids import identify
from asman_shared.errors import SENTENCE_LENGTH
from devtools.asman_processes import HubProcess
from tests.integration.server.dialect.job_logs import result_of, slices, streamed
from tests.support.api import Api
from tests.support.json_dialect import JsonClient, json_client, json_worker
from tests.support.plain_worker import plain_worker

DEFINITION = {"image": "alpine", "command": "echo hi"}
SENTENCE = "the image nobody/nothing:1 could not be pulled: it does not exist"
Fails = Callable[[HubProcess, JsonClient, str, str], Awaitable[None]]


def native(**outcome: Any) -> Fails:
    """A worker of ours, which reports an end after two lines about the image, and none of the run."""

    async def fails(hub: HubProcess, client: JsonClient, queue: str, job: str) -> None:
        async with plain_worker(hub.url, queue) as worker:
            about = await worker.assigned()
            await client.sees(job, "Running")
            first = worker.log_next
            lines = [[first, 1, 2, "pulling", "pulling"], [first + 1, 2, 0, "step 1", "building"]]
            await worker.send({"type": "log_batch", "lines": lines, **about})
            told = {"message": SENTENCE, "lines": first + 2, **outcome}
            await worker.send({"type": "finished", "outcome": told, **about})
            await worker.next("acknowledged")

    return fails


async def of_dialect(hub: HubProcess, client: JsonClient, queue: str, job: str) -> None:
    """A worker of the dialect, which says it only as an error."""
    async with json_worker(hub.url, queue) as worker:
        await worker.sees(job, "Queued")
        await worker.claim(job)
        await worker.has(job)
        await worker.log(job, ["pulling\n", 1], ["step 1\n", 2], step="docker build")
        await worker.finish(job, "Error", error=SENTENCE)


@pytest.mark.parametrize(
    ("name", "fails"),
    [
        ("at-fault-job", native(kind="error", fault="job")),
        ("at-fault-worker", native(kind="error", fault="worker")),
        ("took-too-long", native(kind="timed_out")),
        ("dialect", of_dialect),
    ],
)
async def test_its_sentence_is_a_line_of_standard_error_in_every_log(
    hub: HubProcess, api: Api, name: str, fails: Fails
) -> None:
    queue = f"fails-{name}"
    async with json_client(hub.url, queue) as client:
        job = await client.submit_new(DEFINITION)
        await fails(hub, client, queue, job)
        shown = await client.sees(job, "Finished")
        told = await client.next("JobStatusPayload", lambda told: told["step"] == "Running")
    base = f"/q/{queue}/j/{job}"
    line = [SENTENCE + "\n", shown["time"], True]
    assert told == {"jobId": job, "step": "Running", "logs": [line]}
    result = await result_of(api, base)
    assert (result["logs"], result["error"]) == ([line], SENTENCE)
    assert await slices(api, f"{base}/run-logs.json") == [line]
    assert (await api.get(f"{base}/run-logs.json?since=1")).json["data"] == []
    assert await streamed(api, f"{base}/stream", "run-log") == [line]
    assert [text for text, *_ in await slices(api, f"{base}/build-logs.json")] == ["pulling\n", "step 1\n"]


async def test_a_run_that_wrote_something_has_its_own_lines_alone(hub: HubProcess, api: Api) -> None:
    async with json_client(hub.url, "fails-late") as client, plain_worker(hub.url, "fails-late") as worker:
        job = await client.submit_new(DEFINITION)
        about = await worker.assigned()
        await worker.log(about, worker.log_next, "own")
        outcome = {"kind": "error", "message": "its outputs could not be stored", "lines": worker.log_next + 1}
        await worker.send({"type": "finished", "outcome": outcome, **about})
        await worker.next("acknowledged")
        await client.sees(job, "Finished")
    base = f"/q/fails-late/j/{job}"
    assert [text for text, *_ in (await result_of(api, base))["logs"]] == ["own\n"]
    assert [text for text, *_ in await slices(api, f"{base}/run-logs.json")] == ["own\n"]


async def test_a_submission_that_is_refused_says_why_in_its_log(hub: HubProcess) -> None:
    async with json_client(hub.url, "fails-refused") as client:
        await client.submit("0" * 64, DEFINITION)
        finished = (await client.sees("0" * 64, "Finished"))["finished"]
        assert finished["result"]["logs"] == [[finished["message"] + "\n", finished["time"], True]]


@pytest.mark.parametrize("reason", ["Cancelled", "Deleted"])
async def test_a_submission_that_is_refused_stays_in_the_lists_of_its_sender_until_it_is_let_go(
    hub: HubProcess, reason: str
) -> None:
    queue = f"refused-{reason}"
    missing = {"image": "a", "inputs": {"a": {"type": "key", "value": "never uploaded"}}}
    job = identify(missing).job
    async with json_client(hub.url, queue) as client, json_client(hub.url, queue) as other:
        await client.submit(job, missing)
        shown = await client.sees(job, "Finished")
        listed = await client.submit_new(DEFINITION)
        told = await client.whole_list()
        assert (set(told), told[job]) == ({job, listed}, shown)
        await other.sees(listed, "Queued")
        assert set(await other.whole_list()) == {listed}
        await client.end(job, reason)
        left = await client.next("JobStates", lambda told: job not in told["state"]["jobs"])
        assert set(left["state"]["jobs"]) == {listed}


async def test_a_submission_that_was_refused_and_is_accepted_later_is_shown_as_it_is(hub: HubProcess, api: Api) -> None:
    waits = {"image": "a", "inputs": {"a": {"type": "key", "value": "uploaded late"}}}
    job = identify(waits).job
    async with json_client(hub.url, "refused-late") as client:
        await client.submit(job, waits)
        await client.sees(job, "Finished")
        assert (await api.call("PUT", "/f/uploaded%20late", data=b"x")).status == 201
        await client.submit(job, waits)
        await client.sees(job, "Queued")
        assert (await client.whole_list())[job]["state"] == "Queued"


LONG = "\u0001x" * 200_000


@pytest.mark.parametrize(
    "enqueued",
    [
        {"definition": {"inputs": {"a": {"type": LONG, "value": "x"}}}},
        {"definition": {"inputs": {"a": {"type": "key", "value": LONG}}}},
        {"definition": {"inputs": {LONG: {"value": "\ud83d"}}}},
        {"definition": {"env": {LONG: 1}}},
        {"definition": {"image": "a", "maxDuration": LONG}},
        {"definition": {"image": "a"}, "control": {"maxDuration": LONG}},
        {"definition": {"image": "a"}, "id": LONG},
    ],
)
async def test_a_refused_submission_is_not_echoed(hub: HubProcess, enqueued: dict[str, Any]) -> None:
    async with json_client(hub.url, "refused-long") as client:
        await client.change("Queued", "0" * 64, enqueued=enqueued)
        shown = await client.sees("0" * 64, "Finished")
        assert shown["finishedReason"] == "Error"
        assert len(shown["finished"]["message"]) <= SENTENCE_LENGTH
        assert len(json.dumps(await client.whole_list())) < 20_000


async def test_refused_submissions_stay_in_lists_up_to_a_size_and_a_key_that_is_no_id_is_not_sent_back(
    hub: HubProcess,
) -> None:
    async with json_client(hub.url, "refused-many") as client:
        for number in range(80):
            await client.submit(f"{number:064}", {"inputs": {"a": {"type": LONG[:9000], "value": "x"}}})
        await client.submit(LONG, {"image": 7})
        await client.submit("last", {"image": 7})
        await client.sees("last", "Finished")
        assert LONG not in client.jobs
        told = await client.whole_list()
        assert 5 < len(told) < 80
        assert "last" in told
        assert len(msgspec.json.encode(told)) < REFUSED_BYTES + 1000
