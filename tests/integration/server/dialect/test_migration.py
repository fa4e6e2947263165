"""What docs/dialect.md promises to those who move here, on both stores; the page's part is in `tests/browser`."""

from __future__ import annotations

import io
import json
from typing import Any

import pytest
import rfc8785
from aiohttp import web

import asman
from asman_server.dialect.ids import first_id, identify
from asman_shared import limits
from devtools.asman_processes import HubProcess
from tests.support.api import Answered, Api
from tests.support.json_dialect import json_client, json_worker
from tests.support.plain_worker import plain_worker
from tests.support.ready_worker import ready_worker
from tests.support.receiver import Delivery, receiver


def of_size(size: int, **more: Any) -> dict[str, Any]:
    """A definition with this many bytes by the first rule and, without `more`, by the second."""
    made: dict[str, Any] = {"image": "a", **more, "inputs": {"big.txt": {"value": ""}}}
    made["inputs"]["big.txt"]["value"] = "x" * (size - len(rfc8785.dumps(made)))
    return made


async def enqueue(api: Api, queue: str, body: dict[str, Any]) -> Answered:
    """Submits a large job over REST."""
    return await api.call("POST", f"/q/{queue}", data=io.BytesIO(json.dumps(body).encode()))


def test_the_largest_definition_has_one_mebibyte() -> None:
    assert limits.DEFINITION_BYTES == 1024 * 1024


async def test_a_definition_of_one_mebibyte_is_run_by_both_kinds_of_workers_and_one_byte_more_is_refused(
    api: Api, hub: HubProcess
) -> None:
    bound = of_size(limits.DEFINITION_BYTES)
    page = of_size(limits.DEFINITION_BYTES, env={})
    assert identify(bound).job == first_id(bound)
    queue = "bounds"
    async with json_client(hub.url, queue) as client, asman.connect(hub.queue(queue)) as native:
        job = identify(bound).job
        await client.submit(job, bound)
        await client.sees(job, "Queued")
        async with json_worker(hub.url, queue) as worker:
            await worker.sees(job, "Queued")
            await worker.send("RequestJobDefinitions", {"jobIds": [job]})
            (got,) = (await worker.next("BroadcastJobDefinitions"))["definitions"].values()
            assert got == bound
            await worker.claim(job)
            await worker.has(job)
            # With as much as a result may have: a native client gets it and the definition in one message.
            outputs: dict[str, Any] = {f"{n}.txt": {"value": "y" * 4000} for n in range(500)}
            outputs |= {f"{n}.url": {"type": "url", "value": "https://h/" + "u" * 4000} for n in range(500)}
            await worker.finish(job, StatusCode=0, outputs=outputs)
            await client.sees(job, "Finished")
        result = await (await native.get(job)).result()
        assert result.ok
        assert len(result.outputs) > 500
        assert {why[-23:] for name, why in result.skipped.items() if name != "…"} == {"MiB besides their files"}
        assert result.skipped["…"].endswith(" more were not kept"), "the first ones are named"

        first = (await enqueue(api, queue, {"definition": page, "id": first_id(page)})).json["jobId"]
        assert first == first_id(page)
        async with plain_worker(hub.url, queue) as plain:
            assigned = await plain.next("assign")
            assert assigned["definition"]["inputs"] == page["inputs"]
            await plain.finish({"job": assigned["job"], "attempt": assigned["attempt"]})
        assert (await api.get(f"/q/{queue}/j/{first}/definition.json")).json["data"]["inputs"] == page["inputs"]

        over = of_size(limits.DEFINITION_BYTES + 1)
        refused = await enqueue(api, queue, {"definition": over})
        assert (refused.status, "the maximum is 1048576" in refused.json["error"]) == (413, True)
        await client.submit("0" * 64, over)
        shown = await client.sees("0" * 64, "Finished")
        assert shown["finishedReason"] == "Error"
        assert "1048577 bytes; the maximum is 1048576" in json.dumps(shown)


async def test_a_result_of_another_queue_is_not_reused(api: Api, hub: HubProcess) -> None:
    definition = {"image": "alpine", "command": "secret of one queue"}
    job = identify(definition).job
    async with json_client(hub.url, "reuse-1") as one, ready_worker(hub.queue("reuse-1")):
        await one.submit_new(definition)
        await one.sees(job, "Finished")
        await one.submit(job, definition)
        assert (await one.whole_list())[job]["state"] == "Finished", "in its own queue it is reused"
    async with json_client(hub.url, "reuse-2") as other:
        await other.submit_new(definition)
        assert (await other.sees(job, "Queued"))["state"] == "Queued"
        assert (await api.get(f"/q/reuse-2/j/{job}/result.json")).json == {"data": None}
        # Links and copies name the definition, not the result.
        assert (await api.post(f"/q/reuse-1/j/{job}/copy", {"queue": "reuse-3"})).json == {"success": True}
    listed = (await api.get("/q/reuse-3")).json["data"]
    assert listed[job]["state"] == "Queued"


async def test_both_webhooks_are_called_and_one_that_fails_is_called_again(hub: HubProcess) -> None:
    answers = iter([500])

    async def answer(_delivery: Delivery) -> web.Response:
        return web.Response(status=next(answers, 200))

    async with receiver(answer=answer) as hooks, json_client(hub.url, "hooked") as client:
        calls = {name: {"url": hooks.url(f"/{name}"), "payload": {"n": 1}} for name in ("queued", "finished")}
        job = await client.submit_new({"image": "a", "command": "hooked"}, callbacks=calls)
        came = await hooks.wait_for(lambda came: len(came) == 2)
        assert [each.path for each in came] == ["/queued", "/queued"]
        assert came[0].headers["asman-delivery"] == came[1].headers["asman-delivery"]
        async with ready_worker(hub.queue("hooked"), exit_code=3):
            came = await hooks.wait_for(lambda came: len(came) == 3)
        assert (came[2].path, came[2].json["jobId"], came[2].json["reason"]) == ("/finished", job, "Failed")
        assert came[2].json["config"] == {"n": 1}


@pytest.mark.parametrize("name", ["mp-x", "mp_x", "channel", "CHANNEL", "readonly", "edit", "fs-path"])
async def test_names_that_pages_inject_reach_no_container(hub: HubProcess, name: str) -> None:
    definition = {"image": "a", "command": name, "env": {name: "of the page", "mpx": "kept"}}
    async with json_client(hub.url, "injected") as client, plain_worker(hub.url, "injected") as worker:
        sent = first_id(definition)
        await client.submit(sent, definition)
        assigned = await worker.next("assign")
        assert assigned["definition"]["env"] == {"mpx": "kept"}
        assert assigned["job"] == identify({**definition, "env": {"mpx": "kept"}}).job
        await worker.finish({"job": assigned["job"], "attempt": assigned["attempt"]})
        await client.sees(sent, "Finished")


async def test_a_short_link_is_a_page_to_browsers_and_data_to_programs(api: Api, hub: HubProcess) -> None:
    async with json_client(hub.url, "short") as client:
        job = await client.submit_new({"image": "a", "command": "short"})
    html = await api.get(f"/j/{job}", headers={"Accept": "text/html"})
    assert html.headers["Content-Type"].startswith("text/html")
    assert (await api.get(f"/j/{job}")).json["data"]["definition"]["command"] == "short"
