"""Every HTTP request with every key: what the table of rights grants works, and nothing else does."""

from __future__ import annotations

from typing import Any, Final

import pytest

from asman_server.access.table import ANY, PARTS, REQUESTS
from asman_server.dialect.operations import OPERATIONS as DIALECT
from asman_server.mcp.operations import OPERATIONS as MCP
from asman_server.rest.operations import OPERATIONS as REST
from asman_server.tes.operations import OPERATIONS as TES

from .doors import DEFINITION, KEYS, QUEUE, UNKNOWN, Doors, lacks, names_one_of

OPERATIONS: Final = [each for each in (*REST, *MCP, *DIALECT, *TES) if REQUESTS[each.name] is not None]
TASK: Final = {"executors": [{"image": "alpine", "command": ["new"]}]}
LAST: Final = ("delete_job", "delete_queue")
"""Operations after which there is nothing left to ask for."""
BODIES: Final[dict[str, Any]] = {
    "submit": {"definition": {"image": "alpine", "command": "new"}},
    "validate": {"definition": {"image": "alpine"}},
    "configure": {"retention": "3d"},
    "purge": {"reasons": ["Replaced"]},
    "drain_worker": None,
    "keep": None,
    "dialect_queue_submit": {"definition": {"image": "alpine", "command": "new"}},
    "dialect_jobs_submit": {"definition": {"image": "alpine", "command": "new"}},
    "dialect_queue_copy": {"queue": "another-queue"},
    "create_task": TASK,
    "older_create_task": TASK,
    "mcp": {"jsonrpc": "2.0", "id": 1, "method": "ping"},
}
PARAMETERS: Final = {"{worker}": "nobody", "{path:path}": "out.txt", "{namespace}": "_"}


def path_of(template: str, place: str, job: str, name: str) -> str:
    for found, value in {**PARAMETERS, "{queue}": place, "{id}": job}.items():
        template = template.replace(found, value)
    return template.replace("out.txt", "data.txt") if name.endswith("_input") else template


def body_of(name: str, method: str) -> Any:
    assert name in BODIES or method in ("GET", "DELETE") or "cancel" in name, f"a body for '{name}' is missing here"
    return BODIES.get(name)


@pytest.mark.parametrize("kind", KEYS)
async def test_a_key_may_ask_for_what_the_table_says_and_for_nothing_else(doors: Doors, kind: str) -> None:
    job, place = await doors.job(), KEYS[kind]
    for each in sorted(OPERATIONS, key=lambda each: LAST.index(each.name) if each.name in LAST else -1):
        needs = REQUESTS[each.name]
        assert needs is not None
        said = await doors.ask(each.method, path_of(each.path, place, job, each.name), body_of(each.name, each.method))
        lacking = lacks(kind, needs)
        if lacking:
            assert said.status == 403, (each.name, said)
            assert said.json["code"] == "forbidden"
            assert names_one_of(said.json.get("error") or said.json["msg"], lacking), said
        elif each.name == "drain_worker":
            assert said.status == 404, (each.name, said)
        else:
            assert said.status in (200, 201, 202), (each.name, said)
        if kind != "name":
            assert QUEUE not in said.text + said.headers, each.name
            assert "a-secret" not in said.text or not lacks(kind, REQUESTS["dialect_queue_input"] or ANY), each.name


async def test_a_key_of_no_queue_is_unknown_to_every_request(doors: Doors) -> None:
    job = await doors.job()
    for place, status in ((UNKNOWN, 404), (UNKNOWN[:-1], 400), ("~", 400)):
        for each in OPERATIONS:
            said = await doors.ask(
                each.method, path_of(each.path, place, job, each.name), body_of(each.name, each.method)
            )
            assert said.status == status, (each.name, said)
            assert "key" in said.text, each.name


@pytest.mark.parametrize("kind", KEYS)
async def test_browsers_get_the_page_with_any_key(doors: Doors, kind: str) -> None:
    await doors.job()
    for place in (KEYS[kind], UNKNOWN):
        said = await doors.ask("GET", f"/q/{place}", Accept="text/html")
        assert said.status == 200
        assert "<!doctype html>" in said.text


@pytest.mark.parametrize("kind", KEYS)
async def test_only_the_owner_lets_a_webhook_tell_the_queues_name(doors: Doors, kind: str) -> None:
    await doors.job()
    calls = {"finished": {"url": "https://example.org/", "whole_queue": True}}
    older = {"finished": {"url": "https://example.org/", "wholeQueue": True}}
    definition = {"image": "alpine", "command": f"webhook of {kind}"}
    place = KEYS[kind]
    for path, body in (
        (f"/q/{place}/jobs", {"definition": definition, "callbacks": calls}),
        (f"/q/{place}", {"definition": definition, "control": {"callbacks": older}}),
    ):
        said = await doors.ask("POST", path, body)
        lacking = lacks(kind, PARTS["callbacks.whole_queue"] | (REQUESTS["submit"] or ANY))
        assert (said.status == 403) is bool(lacking), said
        if lacking:
            assert names_one_of(said.json["error"], lacking)


async def test_a_key_that_does_not_read_gets_no_result_with_its_submission(doors: Doors) -> None:
    job = await doors.job()
    body = {"definition": {**DEFINITION, "command": "echo 1"}}
    told = {
        kind: (await doors.ask("POST", f"/q/{KEYS[kind]}/jobs?wait=5s", body)) for kind in ("submit", "submit+read")
    }
    for said in told.values():
        assert (said.status, said.json["answer"], said.json["job"]["id"]) == (200, "cached", job)
        assert said.json["job"]["verdict"]["ok"] is True
    assert {"result", "link"}.isdisjoint(told["submit"].json)
    assert told["submit+read"].json["result"]["outputs"]["out.txt"]
    assert f"/q/{KEYS['submit']}/jobs/{job}" in told["submit"].headers


@pytest.mark.parametrize("kind", [kind for kind in KEYS if kind != "name"])
async def test_the_key_of_a_queue_that_never_was_makes_none(doors: Doors, kind: str) -> None:
    for each in OPERATIONS:
        path = path_of(each.path, KEYS[kind], "0" * 64, each.name)
        said = await doors.ask(each.method, path, body_of(each.name, each.method))
        assert said.status == 404, (each.name, said)
    said = await doors.ask("GET", f"/q/{QUEUE}/jobs")
    assert said.json["jobs"] == []
    assert (await doors.ask("GET", f"/q/{KEYS['read']}/jobs")).status == 404
