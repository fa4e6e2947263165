"""Texts of logs in every place of the dialect, joined with nothing between them, are the bytes that the job wrote."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import pytest

from asman_server.dialect.results import LOG_LINES
from asman_shared import limits
from asman_shared.messages import STDOUT
from asman_worker.attempts.log import AttemptLog
from devtools.asman_processes import HubProcess
from tests.integration.server.dialect.job_logs import joined, slices, streamed
from tests.support.api import Api
from tests.support.json_dialect import JsonClient, json_client, json_worker
from tests.support.plain_worker import plain_worker

DEFINITION = {"image": "alpine", "command": "echo hi"}
LONG = "x" * (2 * limits.LOG_LINE_BYTES + 5)
WRITTEN = {
    "lines": "one\ntwo\n",
    "a last line without an end": "one\ntwo",
    "no line end at all": "partial, and more",
    "lines of windows": "one\r\ntwo\r\n",
    "a progress bar": "10 %\r20 %\r\rdone\r\n",
    "a progress bar that is cut off": "10 %\r20 %\r",
    "empty lines": "\n\n\nend",
    "a long line": LONG + "\nshort\n" + LONG,
    "as long as a line can be": "y" * limits.LOG_LINE_BYTES + "\r" + "z" * limits.LOG_LINE_BYTES + "\r\n",
    "other characters": "ünïcödé 😀 \u2028 \x00 \x1b[0m\n",
}


async def native(hub: HubProcess, client: JsonClient, queue: str, job: str, text: str) -> None:
    """A worker of ours, whose job's output the pipe cuts at every 1,000th byte."""
    async with plain_worker(hub.url, queue) as worker:
        about = await worker.assigned()
        await client.sees(job, "Running")
        log = AttemptLog(worker.log_next, lambda: None)
        log.resume(worker.log_next)
        whole = text.encode()
        for at in range(0, len(whole), 1000):
            log.feed(STDOUT, whole[at : at + 1000], 5)
        log.finish()
        while taken := log.take():
            lines = [[line.seq, line.time, line.stream, line.text, "running", line.end] for line in taken]
            await worker.send({"type": "log_batch", "lines": lines, **about})
        await worker.finish(about, lines=log.next)


async def of_dialect(hub: HubProcess, client: JsonClient, queue: str, job: str, text: str) -> None:
    """A worker of the dialect, which cuts texts anywhere."""
    async with json_worker(hub.url, queue) as worker:
        await worker.sees(job, "Queued")
        await worker.claim(job)
        await worker.has(job)
        await client.sees(job, "Running")
        cuts = sorted({0, 2, 5, len(text) // 2, len(text)})
        texts = [text[start:end] for start, end in pairwise(cuts)]
        await worker.log(job, *([each, 5] for each in texts))
        await worker.finish(job, StatusCode=0, logs=[[each, 5] for each in texts])


@pytest.mark.parametrize("worker", [native, of_dialect])
@pytest.mark.parametrize("name", list(WRITTEN))
async def test_logs_joined_are_what_the_job_wrote(hub: HubProcess, api: Api, name: str, worker: Any) -> None:
    text = WRITTEN[name]
    queue = f"texts-{worker.__name__}-{list(WRITTEN).index(name)}"
    async with json_client(hub.url, queue) as client:
        job = await client.submit_new(DEFINITION)
        await worker(hub, client, queue, job, text)
        await client.sees(job, "Finished")
        told = [message["payload"] for message in client.heard if message["type"] == "JobStatusPayload"]
    base = f"/q/{queue}/j/{job}"
    assert joined([log for payload in told for log in payload["logs"] if payload["step"] == "Running"]) == text
    assert joined((await api.get(f"{base}/result.json")).json["data"]["finished"]["result"]["logs"]) == text
    assert joined((await api.get(f"{base}.json")).json["data"]["results"]["finished"]["result"]["logs"]) == text
    assert joined(await slices(api, f"{base}/run-logs.json")) == text
    assert joined(await streamed(api, f"{base}/stream", "run-log")) == text


async def test_lines_of_the_build_have_their_ends_too(hub: HubProcess, api: Api) -> None:
    async with json_client(hub.url, "ends-build") as client, json_worker(hub.url, "ends-build") as worker:
        job = await client.submit_new(DEFINITION)
        await worker.sees(job, "Queued")
        await worker.claim(job)
        await worker.has(job)
        await worker.log(job, ["Pulling\n", 5], ["0 %\r", 6], ["100 %", 7, True], step="docker image pull")
        await worker.finish(job, StatusCode=0)
        await client.sees(job, "Finished")
    told = [["Pulling\n", 5], ["0 %\r", 6], ["100 %", 7, True]]
    assert await slices(api, f"/q/ends-build/j/{job}/build-logs.json") == told
    assert await streamed(api, f"/q/ends-build/j/{job}/stream", "build-log") == told


@pytest.mark.parametrize("more", [0, 1])
async def test_a_result_has_as_many_lines_as_it_may_and_says_only_then_that_there_are_more(
    hub: HubProcess, api: Api, more: int
) -> None:
    queue, text = f"ends-most-{more}", "x\n" * (LOG_LINES + more)
    async with json_client(hub.url, queue) as client, json_worker(hub.url, queue) as worker:
        job = await client.submit_new(DEFINITION)
        await worker.sees(job, "Queued")
        await worker.claim(job)
        await worker.has(job)
        await worker.finish(job, StatusCode=0, logs=[["x\n", 5]] * (LOG_LINES + more))
        await client.sees(job, "Finished")
    base = f"/q/{queue}/j/{job}"
    logs = (await api.get(f"{base}/result.json")).json["data"]["finished"]["result"]["logs"]
    assert joined(logs[:LOG_LINES]) == "x\n" * LOG_LINES
    assert [text.strip() for text, _ in logs[LOG_LINES:]] == ["… the rest of this log is at run-logs.json"][:more]
    assert joined(await slices(api, f"{base}/run-logs.json")) == text
