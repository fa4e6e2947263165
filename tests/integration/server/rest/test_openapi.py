"""The OpenAPI document says what the hub does: every address is in it, and every address in it answers as it says."""

from __future__ import annotations

import asyncio
import hashlib
import re
from collections.abc import Callable
from pathlib import Path
from urllib.parse import urlencode

import aiohttp
import msgspec
import pytest
from starlette.requests import Request
from starlette.routing import Route

from asman_server.app import make_app
from asman_server.config import HubConfig
from asman_server.dialect.operations import OPERATIONS as DIALECT
from asman_server.hub import Hub
from asman_server.mcp.operations import OPERATIONS as MCP
from asman_server.rest.events import place_of
from asman_server.rest.openapi import document, documented_answers
from asman_server.rest.operations import OPERATIONS
from asman_server.rest.types import SubmitBody
from asman_server.tes.operations import OPERATIONS as TES
from asman_shared.errors import BadRequest, BadUnit
from asman_shared.messages import Submit
from asman_shared.ranges import DURATION_PATTERN
from asman_shared.units import parse_duration
from devtools.asman_processes import HubProcess
from tests.support.api import Api, opened_api
from tests.support.plain_worker import plain_worker

ALL = (*OPERATIONS, *MCP, *TES, *DIALECT)


def test_every_address_is_in_the_document(tmp_path: Path) -> None:
    app = make_app(Hub(HubConfig(data_dir=tmp_path)))
    found = {
        (method, route.path.replace(":path}", "}"))
        for route in app.routes
        if isinstance(route, Route)
        for method in route.methods or ()
        if method not in ("HEAD", "OPTIONS")
    }
    paths = msgspec.json.decode(document(ALL))["paths"]
    documented = {(method.upper(), path) for path, methods in paths.items() for method in methods}
    assert found == documented
    assert len({each.name for each in ALL}) == len(ALL)


def test_what_the_websocket_takes_rest_takes_too() -> None:
    socket = {field.name for field in msgspec.structs.fields(Submit)}
    rest = {field.name for field in msgspec.structs.fields(SubmitBody)}
    assert rest == socket - {"ref", "follow"}


def test_every_reference_in_the_document_leads_somewhere() -> None:
    text = document(ALL).decode()
    names = set(msgspec.json.decode(text)["components"]["schemas"])
    used = {part.partition('"')[0] for part in text.split("#/components/schemas/")[1:]}
    assert used <= names


async def dialect_answers(api: Api, job: str) -> None:
    """Every address of one job in the dialect."""
    for prefix in (f"/j/{job}", f"/q/all/j/{job}"):
        for path in ("", ".json", "/definition.json", "/result.json", "/results.json", "/namespaces.json"):
            assert (await api.get(prefix + path)).status == 200, path
        for path in ("/build-logs.json?since=0", "/run-logs.json?since=0", "/stream", "/outputs/o.txt"):
            assert (await api.get(prefix + path)).status == 200, path
        assert (await api.get(prefix + "/inputs/none.txt")).status == 404
        assert (await api.post(prefix + "/copy", {"queue": "copied"})).status == 200
    for path in ("/cancel", "/mine/cancel"):
        assert (await api.post(f"/q/all/j/{job}{path}")).json == {"message": "Job already Finished"}
    for path in ("/q/all", "/q/all/j"):
        assert (await api.post(path, {"definition": {"image": "alpine"}})).json == {"success": True, "jobId": job}


async def test_every_documented_address_answers_as_documented(hub_process: Callable[..., HubProcess]) -> None:
    hub = await asyncio.to_thread(hub_process, "--public-job-ids")
    key = hashlib.sha256(b"bytes").hexdigest()
    async with opened_api(hub.url) as api, plain_worker(hub.url, "all") as worker:
        job = await api.submit("all")
        about = await worker.assigned()
        outputs = {"o.txt": {"ref": {"value": "made"}, "size": 4, "sha256": "x"}}
        await worker.log(about, 0, "line")
        await worker.finish(about, lines=1, outputs=outputs)
        of_job = f"/q/all/jobs/{job}"
        for path in ("", "/wait", "/log", "/runs", "/summary", "/explain", "/outputs/o.txt", "/events"):
            assert (await api.get(of_job + path)).status == 200, path
        for path in ("jobs", "workers", "status", "metrics", "webhook-key"):
            assert (await api.get(f"/q/all/{path}")).status == 200, path
        assert (await api.post("/q/all/validate", {"definition": {}})).status == 200
        assert (await api.get("/q/all/settings")).status == 200
        assert (await api.call("PUT", "/q/all/settings", {"retention": "30d"})).status == 200
        assert (await api.post(f"{of_job}/keep")).status == 200
        assert (await api.post(f"{of_job}/keep?undo=1")).status == 200
        assert (await api.post("/q/all/purge", {"reasons": ["Replaced"]})).json == {"count": 0, "more": False}
        assert (await api.post("/q/all/workers/nobody/drain")).status == 404
        await dialect_answers(api, job)
        assert (await api.get(f"/j/{job}", headers={"Accept": "text/html"})).status == 200
        for path in ("/metaframe.json", f"/j/{job}/metaframe.json"):
            assert (await api.get(path)).json["version"] == "2"
        documents = ("/openapi.json", "/schemas/definition.json")
        for path in (
            "/",
            "/q/all",
            "/q/all/j",
            "/all/metrics",
            "/all/status",
            "/metrics",
            "/healthz",
            "/readyz",
            "/mcp/health",
            "/mcp/info",
            "/skill.md",
            *documents,
        ):
            assert (await api.get(path)).status == 200, path
        for path in ("/q/all/mcp", "/mcp"):
            ping = {"jsonrpc": "2.0", "id": 1, "method": "ping"}
            assert (await api.post(path, ping)).json == {"jsonrpc": "2.0", "id": 1, "result": {}}
            assert (await api.post(path, {**ping, "id": []})).status == 400
        for at in ("/q/all/ga4gh/tes/v1", "/q/all/v1"):
            executor = {"image": "alpine", "command": ["true"]}
            task = (await api.post(f"{at}/tasks", {"executors": [executor], "name": at})).json["id"]
            for path in ("service-info", "tasks/service-info", "tasks?view=FULL", f"tasks/{task}?view=FULL"):
                assert (await api.get(f"{at}/{path}")).status == 200, path
            assert (await api.post(f"{at}/tasks/{task}:cancel")).json == {}
            assert (await api.post(f"{at}/tasks", {"executors": []})).status == 400
            assert (await api.get(f"{at}/tasks/none")).status == 404
        assert (await api.get("/assets/none.js")).status == 404
        for path in ("/llms.txt", "/docs", "/docs/worker.md"):
            assert (await api.get(path)).status == 200, path
        await worker.send({"type": "put_blobs", "ref": 1, "blobs": [[key, 5]]})
        ticket = (await worker.next("blob_tickets"))["tickets"][0]
        assert (await api.call("PUT", ticket["url"], data=b"bytes")).status == 201
        await worker.send({"type": "get_blobs", "ref": 2, "keys": [key]})
        link = (await worker.next("blob_links"))["links"][0]
        assert (await api.get(link["url"])).body == b"bytes"
        assert (await api.get(f"/b/{key}")).status == 403
        assert (await api.call("PUT", "/f/plain.txt", data=b"bytes")).json == {"name": "plain.txt", "sha256": key}
        assert (await api.get(f"/f/{key}.txt")).body == b"bytes"
        for place in ("/upload/plain.txt", "/download/plain.txt"):
            assert (await api.get(place)).json["ref"] == {"type": "key", "value": "plain.txt"}
        assert (await api.get(f"/f/{key}/exists")).json == {"exists": True}
        assert (await api.get("/f/none/exists")).json == {"exists": False}
        assert (await api.post(of_job + "/cancel")).json["released"] is False
        assert (await api.call("DELETE", of_job)).status == 200
        assert set((await api.call("DELETE", "/q/all")).json) == {"jobs", "workers"}
        documented = {(m.upper(), path) for path, methods in api.document["paths"].items() for m in methods}
        assert api.called == documented


async def test_a_range_that_cannot_be_answered_is_refused_as_every_request_is(api: Api) -> None:
    await api.call("PUT", "/f/five.txt", data=b"bytes")
    for wanted, status, size in (("bytes=99-", 416, "bytes */5"), ("bytes=x", 400, None), ("lines=1-2", 400, None)):
        answer = await api.get("/f/five.txt", headers={"Range": wanted})
        assert answer.status == status
        assert (answer.json["code"], answer.json["field"]) == ("bad_request", "Range")
        assert answer.headers.get("Content-Range") == size
    several = await api.get("/f/five.txt", headers={"Range": "bytes=0-0,4-4"})
    assert several.status == 206
    assert several.headers["Content-Type"].startswith("multipart/byteranges")


async def test_a_wrong_method_is_told_the_methods_of_all_operations_at_the_address(hub: HubProcess) -> None:
    expected = {
        "/q/all/jobs": "GET, HEAD, OPTIONS, POST",
        f"/q/all/jobs/{'0' * 64}": "DELETE, GET, HEAD, OPTIONS",
        "/healthz": "GET, HEAD, OPTIONS",
        f"/q/all/jobs/{'0' * 64}/cancel": "OPTIONS, POST",
    }
    async with aiohttp.ClientSession(hub.url) as session:
        for path, methods in expected.items():
            async with session.request("PATCH", path) as answer:
                assert (answer.status, answer.headers["Allow"]) == (405, methods)
                assert (await answer.json())["error"] == "method not allowed here"


async def test_metrics_of_a_queue_with_the_name_of_other_addresses_are_below_q(api: Api) -> None:
    at_root = api.document["paths"]["/{queue}/metrics"]["get"]["parameters"][0]["schema"]["pattern"]
    for name in ("assets", "b", "f", "j", "q"):
        assert re.search(at_root, name) is None
        assert (await api.get(f"/q/{name}/metrics")).text.startswith("# HELP queue_length")
    for name in ("bb", "all"):
        assert re.search(at_root, name)
        assert (await api.get(f"/{name}/metrics")).text.startswith("# HELP queue_length")


def test_an_operation_names_its_errors_and_no_others() -> None:
    found = {each.name: set(documented_answers(each)) for each in ALL}
    assert found["health"] == {200, 403, 431, 500}
    assert found["asset"] == {200, 403, 404, 431}
    assert found["workers"] == {200, 400, 403, 404, 429, 431, 503}
    assert found["submit"] == {200, 201, 202, 400, 403, 404, 408, 413, 429, 431, 503, 507}
    assert found["put_blob"] == {201, 400, 403, 404, 408, 409, 413, 422, 429, 431, 503, 507}
    assert found["get_file"] == {200, 206, 302, 304, 400, 403, 404, 416, 431, 503}


def test_an_answer_that_asks_to_try_again_says_when() -> None:
    paths = msgspec.json.decode(document(ALL))["paths"]
    answers = paths["/q/{queue}/jobs"]["post"]["responses"]
    assert {status for status, answer in answers.items() if "Retry-After" in answer.get("headers", ())} == {
        *("408", "429", "503"),
    }
    assert "Location" in answers["201"]["headers"]
    assert "Retry-After" not in paths["/readyz"]["get"]["responses"]["503"].get("headers", ())


@pytest.mark.parametrize("text", ["20m", "1h30m", "1.5s", "250ms", "0s", "1d2h3m4s5ms", "999d"])
def test_a_duration_that_is_read_has_the_form_that_is_documented(text: str) -> None:
    assert parse_duration(text) >= 0
    assert re.search(DURATION_PATTERN, text)


@pytest.mark.parametrize("text", ["", "2", "soon", "1m2h", "1s1s", "1,5s", "-1s", "s", "ms", "1"])
def test_a_duration_that_is_not_read_has_not_that_form(text: str) -> None:
    with pytest.raises(BadUnit):
        parse_duration(text)
    assert re.search(DURATION_PATTERN, text) is None


def asks_for(header: str, query: str) -> Request:
    headers = [(b"last-event-id", header.encode())] if header else []
    query_string = urlencode({"last_event_id": query}).encode()
    return Request({"type": "http", "query_string": query_string, "headers": headers})


def test_the_header_says_the_last_event_and_without_it_the_query() -> None:
    assert str(place_of(asks_for("4.5.6", "1.22.3"))) == "4.5.6"
    assert str(place_of(asks_for("", "1.22.3"))) == "1.22.3"
    assert place_of(asks_for("", "")) is None


@pytest.mark.parametrize(
    ("header", "query", "field"),
    [
        ("1.2", "", "Last-Event-ID"),
        ("", "1.2", "last_event_id"),
        ("1.2.3", "x", "last_event_id"),
        ("", "\u0661.\u0661.\u0661", "last_event_id"),
    ],
)
def test_an_id_that_no_event_has_is_refused_wherever_it_stands(header: str, query: str, field: str) -> None:
    with pytest.raises(BadRequest) as refused:
        place_of(asks_for(header, query))
    assert refused.value.field == field
