"""The part of a job that each key shows: definitions, links to results, and MCP."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from asman_server.access.table import MCP_METHODS, MCP_TOOLS
from asman_shared.address import job_address
from tests.support.mcp_door import TASKS, Door, opened_door

from .doors import KEYS, QUEUE, RIGHTS, Doors, hear, lacks, names_one_of, say

PART = {"image": "alpine", "command": "echo 1", "env": {"TOKEN": ""}}
READERS = [kind for kind in KEYS if "read" in RIGHTS[kind]]


def sees_all(kind: str) -> bool:
    return {"read", "submit"} <= RIGHTS[kind]


def addresses(job: str, place: str) -> Iterator[str]:
    """All addresses that show a definition."""
    yield f"/q/{place}/jobs/{job}"
    yield f"/q/{place}/j/{job}"
    yield f"/q/{place}/j/{job}/definition.json"


def definition_in(value: Any) -> Any:
    data = value.get("data", value)
    return data.get("definition", data)


@pytest.mark.parametrize("kind", READERS)
async def test_a_definition_is_shown_whole_to_who_may_submit_and_read(doors: Doors, kind: str) -> None:
    job = await doors.job()
    for path in addresses(job, KEYS[kind]):
        said = await doors.ask("GET", path)
        found = definition_in(said.json)
        if sees_all(kind):
            assert found["inputs"]["data.txt"]["value"] == "a-secret-input", path
            assert found["env"] == {"TOKEN": "a-secret-value"}
        else:
            assert {name: value for name, value in found.items() if value} == PART, path
    assert (await doors.ask("GET", f"/q/{KEYS[kind]}/jobs/{job}")).json.get("partial", False) is not sees_all(kind)
    async with doors.socket(KEYS[kind]) as socket:
        await say(socket, {"type": "hello"}, {"type": "get", "ref": 1, "job": job})
        got = await hear(socket, ref=1)
        assert got.get("partial", False) is not sees_all(kind)
        assert (got["definition"] == PART) is not sees_all(kind)
        assert got["result"]["outputs"]["out.txt"]["ref"]["value"] == "out"


@pytest.mark.parametrize("kind", READERS)
async def test_a_link_to_a_result_shows_no_more_than_the_key_that_made_it(doors: Doors, kind: str) -> None:
    job = await doors.job()
    link = (await doors.ask("GET", f"/q/{KEYS[kind]}/jobs/{job}")).json["link"]
    async with doors.socket(KEYS[kind]) as socket:
        await say(socket, {"type": "hello"})
        assert link == "/j/" + job_address(job, (await hear(socket, "welcome"))["links"])
    assert (await doors.ask("GET", f"{link}/outputs/out.txt")).text == "out"
    assert (await doors.ask("GET", f"{link}/run-logs.json")).json["data"][0][0] == "a line\n"
    shown = (await doors.ask("GET", link)).text + (await doors.ask("GET", f"{link}/definition.json")).text
    inputs = await doors.ask("GET", f"{link}/inputs/data.txt")
    copy = await doors.ask("POST", f"{link}/copy", {"queue": "mine"})
    assert ("a-secret" in shown) is sees_all(kind)
    if sees_all(kind):
        assert (inputs.text, copy.status) == ("a-secret-input", 200)
    else:
        assert inputs.status == copy.status == 403
        assert (await doors.ask("GET", "/q/mine/jobs")).json["jobs"] == [], "a copy would show all of it"


async def test_a_copy_goes_where_the_key_may_submit(doors: Doors) -> None:
    job = await doors.job()
    for kind, status in (("read", 403), ("work", 403), ("submit", 200), ("submit+read", 200)):
        said = await doors.ask("POST", f"/q/{QUEUE}/j/{job}/copy", {"queue": KEYS[kind]})
        assert said.status == status, (kind, said)


async def test_a_read_key_learns_no_secret_of_a_job_over_any_read(doors: Doors) -> None:
    job = await doors.job()
    place = KEYS["read"]
    for path in (
        f"/q/{place}/jobs", f"/q/{place}/jobs/{job}", f"/q/{place}/jobs/{job}/wait", f"/q/{place}/jobs/{job}/events",
        f"/q/{place}/jobs/{job}/summary", f"/q/{place}/jobs/{job}/log", f"/q/{place}/j", f"/q/{place}/status",
        f"/q/{place}/j/{job}", f"/q/{place}/j/{job}/definition.json", f"/q/{place}/j/{job}/result.json",
        f"/q/{place}/j/{job}/stream", f"/q/{place}/metrics",
    ):  # fmt: skip
        said = await doors.ask("GET", path)
        assert said.status == 200
        assert "a-secret" not in said.text, path


# ------------------------------------------------------------------------------------------------------------- MCP


async def tools_of(door: Door) -> set[str]:
    answer = await door.ask("tools/list")
    return {each["name"] for each in answer.result["tools"]}


@pytest.mark.parametrize("kind", KEYS)
async def test_an_agent_is_shown_and_may_call_the_tools_of_its_key(doors: Doors, kind: str) -> None:
    job = await doors.job()
    async with opened_door(doors.hub.queue(KEYS[kind])) as door:
        assert await tools_of(door) == {name for name, needs in MCP_TOOLS.items() if not lacks(kind, needs)}
        for name, needs in MCP_TOOLS.items():
            more: dict[str, Any] = {"submit": {"image": "alpine", "wait": 0}, "list": {}}.get(name, {"job": job})
            answer = (await door.tool(name, **more)).result
            text = answer["content"][0]["text"]
            lacking = lacks(kind, needs)
            assert answer.get("isError", False) is bool(lacking), (name, answer)
            assert not lacking or names_one_of(text, lacking)
            assert kind == "name" or QUEUE not in str(answer)
            assert sees_all(kind) or "a-secret" not in str(answer)


@pytest.mark.parametrize("kind", KEYS)
async def test_a_method_that_the_key_does_not_allow_is_forbidden(doors: Doors, kind: str) -> None:
    job = await doors.job()
    link = (await doors.ask("GET", f"/q/{QUEUE}/jobs/{job}")).json["link"]
    task = {"taskId": link.rpartition("/")[2]}
    params: dict[str, dict[str, Any]] = {
        "resources/read": {"uri": f"asman://jobs/{job}"},
        "tasks/get": task,
        "tasks/cancel": task,
        "tasks/update": task,
        "tools/call": {"name": "no-tool"},
    }
    async with opened_door(doors.hub.queue(KEYS[kind])) as door:
        door.capabilities = TASKS
        for method, needs in MCP_METHODS.items():
            answer = await door.ask(method, params.get(method))
            lacking = lacks(kind, needs)
            assert (answer.status == 403) is bool(lacking), (method, answer)
            assert answer.status == 200 or lacking or not method.startswith("tasks/"), (method, answer)
            if lacking:
                error = answer.messages[0]["error"]
                assert error["data"] == {"code": "forbidden"}
                assert names_one_of(error["message"], lacking)


async def test_a_key_of_no_queue_is_unknown_to_agents(doors: Doors) -> None:
    async with opened_door(doors.hub.queue(KEYS["read"])) as door:
        answer = await door.ask("tools/list")
        assert answer.status == 404
        assert answer.messages[0]["error"]["data"] == {"code": "not_found"}
