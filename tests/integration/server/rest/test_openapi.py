"""The OpenAPI document says what the hub does: every address is in it, and every address in it answers as it says."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Callable
from pathlib import Path

import msgspec
from starlette.routing import Route

from asman_server.app import make_app
from asman_server.config import HubConfig
from asman_server.dialect.operations import OPERATIONS as DIALECT
from asman_server.hub import Hub
from asman_server.rest.openapi import document
from asman_server.rest.operations import OPERATIONS
from asman_server.rest.types import SubmitBody
from asman_shared.messages import Submit
from devtools.asman_processes import HubProcess
from tests.support.api import Api, opened_api
from tests.support.plain_worker import plain_worker


def test_every_address_is_in_the_document(tmp_path: Path) -> None:
    app = make_app(Hub(HubConfig(data_dir=tmp_path)))
    found = {
        (method, route.path.replace(":path}", "}"))
        for route in app.routes
        if isinstance(route, Route)
        for method in route.methods or ()
        if method not in ("HEAD", "OPTIONS")
    }
    paths = msgspec.json.decode(document((*OPERATIONS, *DIALECT)))["paths"]
    documented = {(method.upper(), path) for path, methods in paths.items() for method in methods}
    assert found == documented
    assert len({each.name for each in (*OPERATIONS, *DIALECT)}) == len(OPERATIONS) + len(DIALECT)


def test_what_the_websocket_takes_rest_takes_too() -> None:
    socket = {field.name for field in msgspec.structs.fields(Submit)}
    rest = {field.name for field in msgspec.structs.fields(SubmitBody)}
    assert rest == socket - {"ref", "follow"}


def test_every_reference_in_the_document_leads_somewhere() -> None:
    text = document((*OPERATIONS, *DIALECT)).decode()
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
        for path in ("", "/wait", "/log", "/summary", "/explain", "/outputs/o.txt", "/events"):
            assert (await api.get(of_job + path)).status == 200, path
        for path in ("jobs", "workers", "status", "metrics", "webhook-key"):
            assert (await api.get(f"/q/all/{path}")).status == 200, path
        assert (await api.post("/q/all/validate", {"definition": {}})).status == 200
        assert (await api.get("/q/all/settings")).status == 200
        assert (await api.call("PUT", "/q/all/settings", {"retention": "30d"})).status == 200
        await dialect_answers(api, job)
        assert (await api.get(f"/j/{job}", headers={"Accept": "text/html"})).status == 200
        for path in ("/metaframe.json", f"/j/{job}/metaframe.json"):
            assert (await api.get(path)).json["version"] == "2"
        documents = ("/openapi.json", "/schemas/definition.json")
        for path in ("/", "/q/all", "/q/all/j", "/all/metrics", "/metrics", "/healthz", "/readyz", *documents):
            assert (await api.get(path)).status == 200, path
        assert (await api.get("/assets/none.js")).status == 404
        await worker.send({"type": "put_blobs", "ref": 1, "blobs": [[key, 5]]})
        ticket = (await worker.next("blob_tickets"))["tickets"][0]
        assert (await api.call("PUT", ticket["url"], data=b"bytes")).status == 201
        await worker.send({"type": "get_blobs", "ref": 2, "keys": [key]})
        link = (await worker.next("blob_links"))["links"][0]
        assert (await api.get(link["url"])).body == b"bytes"
        assert (await api.get(f"/b/{key}")).status == 403
        assert (await api.call("PUT", "/f/plain.txt", data=b"bytes")).json == {"name": "plain.txt", "sha256": key}
        assert (await api.get(f"/f/{key}.txt")).body == b"bytes"
        assert (await api.get(f"/f/{key}/exists")).json == {"exists": True}
        assert (await api.get("/f/none/exists")).json == {"exists": False}
        assert (await api.post(of_job + "/cancel")).json["released"] is False
        assert (await api.call("DELETE", of_job)).status == 200
        documented = {(m.upper(), path) for path, methods in api.document["paths"].items() for m in methods}
        assert api.called == documented
