"""Logs in pieces and their summary, from a real hub over REST and over the websocket."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from typing import Any

import msgspec
import pytest

import asman
import asman.sync
from asman_shared import limits
from asman_shared import messages as m
from devtools.asman_processes import HubProcess
from devtools.asman_processes import asman as asman_command
from tests.support.api import Api, opened_api
from tests.support.plain_worker import PlainWorker, plain_worker

TEXT = {"Accept": "text/plain"}
WRITTEN = [f"line {n}" for n in range(40)]
WRITTEN[12] = "ValueError: twelve"
SELECTIONS = [
    ("head=2", [0, 1]),
    ("tail=2", [38, 39]),
    ("head=1&tail=1", [0, 39]),
    ("grep=line%203", [3, *range(30, 40)]),
    ("grep=VALUEERROR&ignore_case=1&context=1", [11, 12, 13]),
    ("stream=stderr", [20]),
    ("phase=building", []),
    ("phase=running&tail=1", [39]),
    ("around=first_error&context=2", [10, 11, 12, 13, 14]),
    ("since=5&until=7&grep=line", [5, 6]),
    ("max_bytes=14", [0, 1]),
    ("tail=40&max_bytes=16", [38, 39]),
]
REFUSED = [
    ("grep=(", "grep"),
    ("grep=" + "x" * 1001, "grep"),
    ("context=1", "context"),
    ("grep=x&context=101", "context"),
    ("around=second_error", "around"),
    ("phase=thinking", "phase"),
    ("stream=stdin", "stream"),
    ("head=-1", "head"),
    ("tail=x", "tail"),
    ("max_bytes=1e3", "max_bytes"),
    ("ignore_case=yes", "ignore_case"),
]


@pytest.fixture
async def hub(hub_process: Callable[..., HubProcess]) -> HubProcess:
    return await asyncio.to_thread(hub_process)


@pytest.fixture
async def api(hub: HubProcess) -> AsyncIterator[Api]:
    async with opened_api(hub.url) as opened:
        yield opened


def asman_command_of(*words: str) -> str:
    """What a command prints."""
    done = asman_command(*words)
    assert done.returncode == 0, done.stderr
    return done.stdout


async def written(api: Api, worker: PlainWorker, exit_code: int = 1, **result: Any) -> str:
    """A job with a log of forty lines, of which line 20 is on standard error."""
    job = await api.submit("p")
    about = await worker.assigned()
    await worker.log(about, 0, *WRITTEN[:20])
    await worker.log(about, 20, WRITTEN[20], stream=1)
    await worker.log(about, 21, *WRITTEN[21:])
    await worker.finish(about, exit_code, lines=40, **result)
    return job


async def test_selections_as_json_and_text(api: Api, hub: HubProcess) -> None:
    async with plain_worker(hub.url, "p") as worker:
        job = await written(api, worker)
    for query, seqs in SELECTIONS:
        page = (await api.get(f"/q/p/jobs/{job}/log?{query}")).json
        found = [line["seq"] for line in page["lines"]]
        while "more" in page:
            page = (await api.get(f"/q/p/jobs/{job}/log?{page['more']}")).json
            found += [line["seq"] for line in page["lines"]]
        assert found == seqs, query
        text = (await api.get(f"/q/p/jobs/{job}/log?{query}", headers=TEXT)).text
        assert [line for line in text.splitlines() if line != "[…]"] == [WRITTEN[seq] for seq in seqs], query
        assert ("[…]" in text) == ("head=1&tail" in query)


async def test_the_rest_is_asked_for_as_the_answer_says(api: Api, hub: HubProcess) -> None:
    async with plain_worker(hub.url, "p") as worker:
        job = await written(api, worker)
    found: list[int] = []
    rest = "grep=line&ignore_case=1&stream=stdout,stderr&phase=running&context=1&limit=7"
    answers = 0
    while rest:
        page = (await api.get(f"/q/p/jobs/{job}/log?{rest}")).json
        found += [line["seq"] for line in page["lines"]]
        rest = page.get("more", "")
        answers += 1
    assert found == list(range(40))
    assert answers == 6
    assert page["final"] is True


async def test_what_can_not_be_selected_is_a_sentence(api: Api, hub: HubProcess) -> None:
    job = await api.submit("p")
    for query, field in REFUSED:
        for headers in ({}, TEXT):
            answer = await api.get(f"/q/p/jobs/{job}/log?{query}", headers=headers)
            assert (answer.status, answer.json["field"]) == (400, field), answer.text


async def test_the_summary_of_a_failed_job(api: Api, hub: HubProcess) -> None:
    async with plain_worker(hub.url, "p") as worker:
        job = await written(api, worker, phases={"pulling": 5, "running": 70, "uploading": 1})
    summary = (await api.get(f"/q/p/jobs/{job}/summary")).json
    assert (summary["job"]["verdict"]["exit_code"], summary["phase"]) == (1, "running")
    assert [line["seq"] for line in summary["last"]] == list(range(20, 40))
    assert summary["error_seq"] == 12
    assert [line["seq"] for line in summary["error"]] == list(range(2, 23))
    assert summary["lines"] == 40
    assert not {"step", "gaps", "missing"} & summary.keys()
    async with asman.connect(f"{hub.url}/q/p") as queue:
        same = await (await queue.get(job)).summary()
    assert (same.error_seq, same.phase, len(same.last), same.lines) == (12, "running", 20, 40)
    told = await asyncio.to_thread(asman_command_of, "job", "summary", f"{hub.url}/q/p", job)
    assert "exit code  1" in told
    assert "phase  running" in told
    assert "> ValueError: twelve\n" in told
    assert told.endswith("last lines:\n" + "".join(f"  line {n}\n" for n in range(23, 40)))
    as_json = json.loads(await asyncio.to_thread(asman_command_of, "job", "summary", f"{hub.url}/q/p", job, "--json"))
    assert (as_json["error_seq"], as_json["last"][-1]["text"]) == (12, "line 39")


async def test_a_summary_of_the_longest_lines_fits_into_a_frame(api: Api, hub: HubProcess) -> None:
    job = await api.submit("p")
    async with plain_worker(hub.url, "p") as worker:
        about = await worker.assigned()
        for seq in range(60):
            await worker.log(about, seq, "error " + "😀\x00" * 32_000)
        await worker.finish(about, 1, lines=60)
    async with asman.connect(f"{hub.url}/q/p") as queue:
        found = await queue.get(job)
        summary = await found.summary()
        assert (summary.error_seq, len(summary.error), len(summary.last)) == (0, 11, 20)
        assert [line.seq async for line in found.logs(tail=30)] == list(range(30, 60))
    assert len(msgspec.json.encode(summary)) < limits.FRAME_BYTES


async def test_the_summary_of_a_failed_build_names_its_step(api: Api, hub: HubProcess) -> None:
    job = await api.submit("p")
    async with plain_worker(hub.url, "p") as worker:
        about = await worker.assigned()
        built = ["Step 1/3 : FROM alpine", "Step 2/3 : RUN make", "make: not found"]
        lines = [[n, 1, 0, text, "building"] for n, text in enumerate(built)]
        await worker.send({"type": "log_batch", "lines": lines, **about})
        await worker.send({"type": "log_batch", "lines": [[9, 1, 2, "the build failed", "building"]], **about})
        outcome = {"kind": "error", "message": "it can't be built", "lines": 10, "result": {"phases": {"building": 9}}}
        await worker.send({"type": "finished", "outcome": outcome, **about})
        await worker.next("acknowledged")
    summary = (await api.get(f"/q/p/jobs/{job}/summary")).json
    assert (summary["phase"], summary["step"]) == ("building", "Step 2/3 : RUN make")
    assert (summary["error_seq"], summary["missing"]) == (2, 6)
    assert summary["gaps"] == [{"since": 3, "until": 9}]


async def test_the_summary_of_jobs_that_wait_run_and_succeeded(api: Api, hub: HubProcess) -> None:
    job = await api.submit("p")
    summary = (await api.get(f"/q/p/jobs/{job}/summary")).json
    assert (summary["job"]["state"], set(summary)) == ("Queued", {"job"})
    async with plain_worker(hub.url, "p") as worker:
        about = await worker.assigned()
        await worker.phase(about)
        await worker.log(about, 0, "error: not fatal")
        async with asman.connect(f"{hub.url}/q/p") as queue:
            following = await queue.get(job)
            async for line in following.logs():
                assert line.text == "error: not fatal"
                break
        summary = (await api.get(f"/q/p/jobs/{job}/summary")).json
        assert (summary["phase"], summary["error_seq"], summary["lines"]) == ("running", 0, 1)
        await worker.finish(about, 0, lines=1)
    summary = (await api.get(f"/q/p/jobs/{job}/summary")).json
    assert [line["text"] for line in summary["last"]] == ["error: not fatal"]
    assert not {"phase", "error", "error_seq"} & summary.keys()


async def test_selections_by_the_library(api: Api, hub: HubProcess) -> None:
    async with plain_worker(hub.url, "p") as worker:
        job = await written(api, worker)
    async with asman.connect(f"{hub.url}/q/p") as queue:
        found = await queue.get(job)

        async def seqs(**select: Any) -> list[int]:
            return [line.seq async for line in found.logs(**select)]

        assert await seqs(head=2) == [0, 1]
        assert await seqs(tail=2) == [38, 39]
        assert await seqs(grep="(?i)valueerror", context=1) == [11, 12, 13]
        assert await seqs(stream="stderr") == [20]
        assert await seqs(stream=["stdout", "stderr"], phase="running", tail=1) == [39]
        assert await seqs(around="first_error", context=0) == [12]
        assert await seqs(max_bytes=14) == [0, 1]
        assert await seqs(tail=1, follow=True) == [39]
        assert [line.missing async for line in found.logs(head=1, tail=1)] == [0, 0]
        with pytest.raises(asman.BadRequest, match="missing"):
            await seqs(grep="(")
        with pytest.raises(asman.BadRequest, match="follow"):
            await seqs(grep="x", follow=True)


async def test_the_library_without_await(api: Api, hub: HubProcess) -> None:
    async with plain_worker(hub.url, "p") as worker:
        job = await written(api, worker)

    def play() -> None:
        with asman.sync.connect(f"{hub.url}/q/p") as queue:
            found = queue.get(job)
            assert [line.text for line in found.logs(tail=2)] == ["line 38", "line 39"]
            assert len(list(found.logs())) == 40
            assert found.summary().error_seq == 12

    await asyncio.to_thread(play)


async def test_wire_answers_carry_the_rest(api: Api, hub: HubProcess) -> None:
    async with plain_worker(hub.url, "p") as worker:
        job = await written(api, worker)
    async with asman.connect(f"{hub.url}/q/p") as queue:
        request = m.ReadLog(ref=0, job=job, limit=3, select=m.LogSelection(tail=5, max_bytes=1000))
        page = await queue._connection.request(request, m.LogPage)
        assert ([line.seq for line in page.lines], page.next, page.final) == ([35, 36, 37], 38, False)
        assert page.rest == m.LogSelection(until=40)
        page = await queue._connection.request(m.ReadLog(ref=0, job=job, since=page.next, select=page.rest), m.LogPage)
        assert ([line.seq for line in page.lines], page.rest, page.final) == ([38, 39], None, True)
