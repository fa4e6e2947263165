"""Logs over the dialect's REST addresses, with the exact shapes, on a real hub."""

from __future__ import annotations

import asyncio

from devtools.asman_processes import HubProcess
from tests.integration.server.dialect.job_logs import events
from tests.integration.server.dialect.rest_jobs import enqueue, finished, run
from tests.support.api import Api
from tests.support.plain_worker import plain_worker

NOBODY = "0" * 64


async def test_slices_of_both_kinds_of_logs(api: Api, hub: HubProcess) -> None:
    job = await finished(api, hub, "slices")
    assert (await api.get(f"/j/{job}/build-logs.json?since=0")).json == {
        "data": [["pulling\n", 1], ["layer\n", 2]],
        "sliceStart": 0,
        "nextCursor": 2,
        "isFinal": True,
    }
    assert (await api.get(f"/q/slices/j/{job}/run-logs.json")).json == {
        "data": [["one\n", 3], ["two\n", 4, True], ["three\n", 6]],
        "sliceStart": 0,
        "nextCursor": 3,
        "isFinal": True,
    }
    rest = (await api.get(f"/j/{job}/run-logs.json?since=2")).json
    assert rest == {"data": [["three\n", 6]], "sliceStart": 2, "nextCursor": 3, "isFinal": True}
    end = (await api.get(f"/j/{job}/run-logs.json?since=3")).json
    assert end == {"data": [], "sliceStart": 3, "nextCursor": 3, "isFinal": True}
    for bad in ("x", "-1", "1.5", ""):
        assert (await api.get(f"/j/{job}/run-logs.json?since={bad}")).status == 400
    assert (await api.get(f"/j/{NOBODY}/run-logs.json")).status == 404


async def test_a_reader_beyond_the_end_gets_no_earlier_lines_later(api: Api, hub: HubProcess) -> None:
    job = await enqueue(api, "beyond")
    async with plain_worker(hub.url, "beyond", tags=["t"]) as worker:
        about = await worker.assigned()
        await worker.log(about, worker.log_next, "zero")
        path = f"/q/beyond/j/{job}/run-logs.json"
        nothing = {"data": [], "sliceStart": 2, "nextCursor": 2, "isFinal": False}
        assert (await api.get(f"{path}?since=2")).json == nothing
        await worker.log(about, worker.log_next + 1, "one")
        await worker.log(about, worker.log_next + 2, "two")
        await worker.finish(about, lines=worker.log_next + 3)
    told = (await api.get(f"{path}?since=2")).json
    assert told == {"data": [["two\n", 1000]], "sliceStart": 2, "nextCursor": 3, "isFinal": True}


async def test_a_slice_ends_before_lines_that_are_no_longer_kept(api: Api, hub: HubProcess) -> None:
    job = await enqueue(api, "gap")
    async with plain_worker(hub.url, "gap", tags=["t"]) as worker:
        about = await worker.assigned()
        await worker.log(about, worker.log_next, "zero")
        await worker.log(about, worker.log_next + 4, "four")
        await worker.finish(about, lines=worker.log_next + 5)
    first = (await api.get(f"/q/gap/j/{job}/run-logs.json")).json
    assert first == {"data": [["zero\n", 1000]], "sliceStart": 0, "nextCursor": 1, "isFinal": False}
    second = (await api.get(f"/q/gap/j/{job}/run-logs.json?since=1")).json
    assert second == {"data": [["four\n", 1000]], "sliceStart": 4, "nextCursor": 5, "isFinal": True}


async def test_a_stream_has_the_whole_history_and_then_all_that_comes(api: Api, hub: HubProcess) -> None:
    assert (await api.get(f"/q/none-such/j/{NOBODY}/stream")).status == 404
    job = await enqueue(api, "sse")
    begun = asyncio.Event()
    live = asyncio.create_task(events(api, f"/q/sse/j/{job}/stream", begun))
    await begun.wait()
    async with plain_worker(hub.url, "sse", tags=["t"]) as worker:
        await run(worker)
    for told in (await live, await events(api, f"/q/sse/j/{job}/stream")):
        kinds = [kind for kind, _ in told]
        assert kinds[-2:] == ["state", "final"]
        assert told[-1][1] == {"state": "Finished", "reason": "Success"}
        run_lines = [line for kind, data in told if kind == "run-log" for line in data["lines"]]
        assert run_lines == [["one\n", 3], ["two\n", 4, True], ["three\n", 6]]
        assert [data["cursor"] for kind, data in told if kind == "run-log"][-1] == 3
        build = [line for kind, data in told if kind == "build-log" for line in data["lines"]]
        assert build == [["pulling\n", 1], ["layer\n", 2]]
    assert (await live)[0] == ("state", {"state": "Queued"})
