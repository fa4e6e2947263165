"""The tools, called as an agent calls them, with a worker that runs what it is given."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import Callable
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from asman_server.mcp.contents import LINKS, TEXTS
from asman_server.mcp.tools import TOOLS
from asman_shared import limits, ranges
from devtools.asman_processes import AsmanProcess, HubProcess
from devtools.patience import PATIENCE
from tests.integration.server.mcp.conftest import QUEUE
from tests.support.mcp_door import Door
from tests.support.plain_worker import plain_worker

UNKNOWN = "0" * 64


def shell(script: str) -> dict[str, Any]:
    return {"image": "alpine", "command": ["sh", "-c", script]}


async def test_a_job_from_its_files_to_its_outputs(door: Door, worker: AsmanProcess) -> None:
    long = "a line of text\n" * 1000
    files = {
        "name.txt": "Ada\n",
        "deep/down.bin": {"base64": base64.b64encode(b"\xff\x00").decode()},
        "long.txt": long,
    }
    script = (
        'cd "$JOB_INPUTS"; cat name.txt; echo "to $WHO" >&2; wc -l < long.txt | tr -d " "; '
        'cp deep/down.bin "$JOB_OUTPUTS/copy.bin"; mkdir "$JOB_OUTPUTS/sub"; echo made > "$JOB_OUTPUTS/sub/ä b.txt"'
    )
    answer = await door.tool("submit", **shell(script), files=files, env={"WHO": "you"}, cpus=1, memory="64MiB")
    told = answer.told
    assert (told["answer"], told["state"], told["ok"], told["exit_code"]) == ("queued", "Finished", True, 0)
    assert sorted(told["log_tail"]) == ["1000", "Ada", "to you"]
    assert [each["path"] for each in told["outputs"]] == ["copy.bin", "sub/ä b.txt"]
    assert told["outputs"][1]["text"] == "made\n"
    assert "succeeded with exit code 0" in answer.text
    assert "--- sub/ä b.txt ---\nmade" in answer.text
    links = [each for each in answer.result["content"] if each["type"] == "resource_link"]
    assert [(each["name"], each["size"]) for each in links] == [("copy.bin", 2)]
    for address, content in ((links[0]["uri"], b"\xff\x00"), (told["outputs"][1]["url"], b"made\n")):
        async with door.session.get(address) as file:
            assert await file.read() == content
        assert QUEUE not in address

    again = await door.tool("submit", **shell(script), files=files, env={"WHO": "you"}, cpus=1, memory="64MiB")
    assert again.told == {**told, "answer": "cached"}
    anew = await door.tool(
        "submit", **shell(script), files=files, env={"WHO": "you"}, cpus=1, memory="64MiB", reuse="never"
    )
    assert (anew.told["answer"], anew.told["job"]) == ("queued", told["job"])

    job = told["job"]
    assert (await door.tool("status", job=job)).told["ok"] is True
    assert (await door.tool("wait", job=job)).told["ok"] is True
    assert "Finished: it succeeded" in (await door.tool("explain", job=job)).text
    listed = (await door.tool("list")).told
    assert [(each["job"], each["end"]) for each in listed["jobs"]] == [(job, "Success (exit code 0)")]
    assert (listed["finished"], listed["workers"]) == (1, 1)


async def test_a_failed_job_shows_why(door: Door, worker: AsmanProcess) -> None:
    answer = await door.tool("submit", **shell("echo begin; echo 'Error: no such thing' >&2; echo end; exit 3"))
    told = answer.told
    assert (told["ok"], told["reason"], told["exit_code"]) == (False, "Failed", 3)
    assert "isError" not in answer.result  # the tool did what it was asked to do
    assert "Error: no such thing" in told["first_error"]
    assert "did not succeed (Failed) with exit code 3" in answer.text
    around = await door.tool("logs", job=told["job"], around_first_error=True, context=0)
    (line,) = around.text.splitlines()[1:]
    assert line.endswith(" stderr: Error: no such thing")


async def test_a_dockerfile_becomes_a_build(door: Door, hub: HubProcess) -> None:
    text = "FROM alpine\nRUN apk add jq\n"
    told = (await door.tool("submit", dockerfile=text, command="jq --version", wait=0)).told
    async with door.session.get(f"{hub.queue(QUEUE)}/jobs/{told['job']}") as answer:
        definition = (await answer.json())["definition"]
    assert definition == {"build": {"dockerfile": text}, "command": "jq --version"}


async def test_the_ids_of_jobs_are_those_of_other_doors(door: Door, hub: HubProcess) -> None:
    told = (await door.tool("submit", image="alpine", command=["cat"], files={"a.txt": "hi"}, wait=0)).told
    definition = {"image": "alpine", "command": ["cat"], "inputs": {"a.txt": {"value": "hi", "type": "utf8"}}}
    async with door.session.post(f"{hub.queue(QUEUE)}/jobs", json={"definition": definition}) as answer:
        submitted = await answer.json()
    assert (submitted["answer"], submitted["job"]["id"]) == ("joined", told["job"])


async def test_a_job_that_waits_is_explained_and_can_be_cancelled(door: Door) -> None:
    answer = await door.tool("submit", image="alpine", gpus=2, wait=0)
    told = answer.told
    assert (told["answer"], told["state"]) == ("queued", "Queued")
    assert told["why"] == "no worker is connected to this queue"
    assert "Call wait with this id" in answer.text
    waited = await door.tool("wait", job=told["job"], seconds=1)
    assert waited.told["state"] == "Queued"
    explained = await door.tool("explain", job=told["job"])
    assert (explained.told["position"], explained.told["workers"]) == (0, 0)
    assert "no worker is connected" in explained.text
    cancelled = await door.tool("cancel", job=told["job"])
    assert (cancelled.told["released"], "is cancelled" in cancelled.text) == (True, True)
    again = await door.tool("cancel", job=told["job"])
    assert (again.told["released"], "it is finished" in again.text) == (False, True)
    assert (await door.tool("status", job=told["job"])).told["reason"] == "Cancelled"


async def test_wait_ends_with_the_job(door: Door, hub: HubProcess) -> None:
    job = (await door.tool("submit", image="alpine", wait=0)).told["job"]
    waiting = asyncio.create_task(door.tool("wait", job=job, seconds=limits.WAIT_SECONDS))
    async with plain_worker(hub.url, QUEUE) as worker:
        about = await worker.assigned()
        await worker.finish(about, exit_code=7)
        assert (await waiting).told["exit_code"] == 7


async def test_parts_of_a_log(door: Door, hub: HubProcess) -> None:
    job = (await door.tool("submit", image="alpine", wait=0)).told["job"]
    async with plain_worker(hub.url, QUEUE) as worker:
        about = await worker.assigned()
        await worker.phase(about)
        await worker.log(about, 0, *(f"line {i}" for i in range(300)))
        await worker.log(about, 300, "ERROR: broken", stream=1)
        await worker.log(about, 301, *(f"after {i}" for i in range(50)))
        async with asyncio.timeout(PATIENCE):
            while "after 49" not in (await door.tool("logs", job=job)).text:
                await asyncio.sleep(0.02)
        running = (await door.tool("logs", job=job)).text.splitlines()
        assert running[0] == "[100 lines, from 251 to 350; the job is not finished]"
        assert running[-1] == "after 49"
        await worker.finish(about, lines=351)
    assert (await door.tool("logs", job=job, tail=2)).text == "[2 lines, from 349 to 350]\nafter 48\nafter 49"
    assert (await door.tool("logs", job=job, head=1)).text.splitlines()[1:] == ["line 0"]
    assert (await door.tool("logs", job=job, grep="^line 2.$")).text.splitlines()[1] == "20 stdout: line 20"
    assert (await door.tool("logs", job=job, grep="^LINE 29.$")).text == "[no such lines]"
    assert len((await door.tool("logs", job=job, grep="^LINE 29.$", ignore_case=True)).text.splitlines()) == 11
    around = (await door.tool("logs", job=job, around_first_error=True, context=1)).text.splitlines()
    assert around[1:] == ["299 stdout: line 299", "300 stderr: ERROR: broken", "301 stdout: after 0"]
    assert (await door.tool("logs", job=job, stream="stderr")).text.splitlines()[1:] == ["ERROR: broken"]
    both = (await door.tool("logs", job=job, head=2, tail=3)).text.splitlines()
    assert both == ["[5 lines, from 0 to 350]", "line 0", "line 1", "[…]", "after 47", "after 48", "after 49"]
    assert "[…]" not in (await door.tool("logs", job=job, head=200, tail=200)).text
    surrounded = (await door.tool("logs", job=job, grep="^line [1-4]0$", tail=2, context=1)).text.splitlines()
    assert surrounded[0] == "[6 lines, from 29 to 41]"  # a number of matches, each with its context
    page = (await door.tool("logs", job=job, since=340)).text.splitlines()
    assert page[0] == "[11 lines, from 340 to 350]"
    cut = (await door.tool("logs", job=job, since=0, max_bytes=16)).text.splitlines()
    assert cut == ["[3 lines, from 0 to 2; max_bytes left out a part of them]", "line 0", "line 1", "l"]
    for wrong, why in (
        ({"grep": "("}, "RE2 syntax"),
        ({"context": 1}, "'context' needs 'grep' or 'around_first_error'"),
    ):
        refused = await door.tool("logs", job=job, **wrong)
        assert refused.result["isError"] is True
        assert why in refused.text


async def test_files_come_as_text_within_the_limit_and_as_links_beyond(door: Door, worker: AsmanProcess) -> None:
    script = (
        'cd "$JOB_OUTPUTS"; head -c 1000 /dev/zero | tr "\\0" a > a.txt; head -c 3000 /dev/zero | tr "\\0" b > b.txt; '
        'printf "\\377" > c.bin; printf "\\033[31m" > d.txt; for i in $(seq 60); do : > "e$i"; done'
    )
    job = (await door.tool("submit", **shell(script))).told["job"]
    answer = await door.tool("outputs", job=job, max_bytes=2000)
    assert "a" * 1000 in answer.text
    assert "b" * 1000 not in answer.text
    assert "Output files: 64" in answer.text
    assert "and 14 more" in answer.text
    links = [each["name"] for each in answer.result["content"] if each["type"] == "resource_link"]
    assert (links[:3], len(links)) == (["b.txt", "c.bin", "d.txt"], LINKS - TEXTS)
    assert (await door.tool("outputs", job=job, path="b.txt")).text == "b" * 3000
    too_long = await door.tool("outputs", job=job, path="b.txt", max_bytes=2999)
    assert "fetch it at http" in too_long.text
    assert [each["type"] for each in too_long.result["content"]] == ["text", "resource_link"]
    assert "is not text" in (await door.tool("outputs", job=job, path="c.bin")).text
    assert "is not text" in (await door.tool("outputs", job=job, path="d.txt")).text
    missing = await door.tool("outputs", job=job, path="f.txt")
    assert missing.result["isError"] is True
    assert "it has a.txt, b.txt" in missing.text


async def test_a_list_goes_on_where_it_stopped(door: Door) -> None:
    jobs = [(await door.tool("submit", image=f"alpine:{i}", wait=0)).told["job"] for i in range(5)]
    await door.tool("cancel", job=jobs[0])
    first = (await door.tool("list", limit=3)).told
    assert [each["job"] for each in first["jobs"]] == jobs[:1:-1]
    assert first["jobs"][0]["what"] == "alpine:4"
    second = (await door.tool("list", limit=3, before=first["next"])).told
    assert [each["job"] for each in second["jobs"]] == jobs[1::-1]
    assert "next" not in second
    assert [each["job"] for each in (await door.tool("list", states=["Finished"])).told["jobs"]] == jobs[:1]


WRONG: list[tuple[str, dict[str, Any], str]] = [
    ("submit", {}, "there is nothing to run: name an image"),
    ("submit", {"command": " "}, "there is nothing to run: name an image"),
    ("submit", {"command": []}, "there is nothing to run: name an image"),
    ("submit", {"dockerfile": " ", "command": "true"}, "is empty: it begins with FROM (argument: dockerfile)"),
    ("submit", {"imge": "alpine"}, "there is no argument 'imge'; this tool has image, dockerfile, command"),
    ("submit", {"image": 5}, "it must be text, and is a whole number (argument: image)"),
    ("submit", {"image": ""}, "the image has no name (argument: image)"),
    ("submit", {"image": "alpine", "dockerfile": "FROM x"}, "give either an image or a build"),
    ("submit", {"image": "alpine", "memory": "2"}, "is not a size: write a number and a unit"),
    ("submit", {"image": "alpine", "memory": "2"}, "(argument: memory)"),
    ("submit", {"image": "alpine", "max_duration": "soon"}, "(argument: max_duration)"),
    ("submit", {"image": "alpine", "files": {"../a": "x"}}, "(argument: files"),
    ("submit", {"image": "alpine", "files": {"a": {"base64": "?"}}}, "is not base64 (argument: files.a.base64)"),
    ("submit", {"image": "alpine", "files": {"a": 5}}, "(argument: files[...])"),
    ("submit", {"image": "alpine", "wait": limits.WAIT_SECONDS + 1}, "(argument: wait)"),
    ("submit", {"image": "alpine", "cpus": 0}, "(argument: cpus)"),
    ("submit", {"image": "alpine", "priority": 101}, "(argument: priority)"),
    ("submit", {"image": "alpine", "env": {"A": "x" * limits.ARGUMENT_BYTES}}, "(argument: env)"),
    ("wait", {"job": UNKNOWN, "seconds": -1}, "(argument: seconds)"),
    ("submit", {"image": "alpine", "files": {"a": {"base46": ""}}}, "(argument: files[...])"),
    ("status", {}, "the argument 'job' is missing"),
    ("status", {"job": "abc"}, "(argument: job)"),
    ("logs", {"job": UNKNOWN, "tail": 0}, "(argument: tail)"),
    ("logs", {"job": UNKNOWN, "tail": limits.LOG_PAGE_LINES + 1}, "(argument: tail)"),
    ("logs", {"job": UNKNOWN, "grep": "x" * (limits.LOG_PATTERN_LENGTH + 1)}, "(argument: grep)"),
    ("logs", {"job": UNKNOWN, "max_bytes": limits.TOOL_TEXT_BYTES + 1}, "(argument: max_bytes)"),
    ("outputs", {"job": UNKNOWN, "max_bytes": limits.TOOL_TEXT_BYTES + 1}, "(argument: max_bytes)"),
    ("list", {"limit": 0}, "(argument: limit)"),
    ("list", {"limit": limits.LIST_PAGE + 1}, "(argument: limit)"),
    ("list", {"states": ["Removed"]}, "(argument: states[0])"),
    ("list", {"states": ["Queued"] * 5}, "(argument: states)"),
    *(
        (tool, {"job": UNKNOWN}, "this queue has no job 000000000000…")
        for tool in ("status", "wait", "logs", "outputs")
    ),
    *((tool, {"job": UNKNOWN}, "this queue has no job 000000000000…") for tool in ("cancel", "explain")),
]


async def test_what_is_wrong_is_said_with_its_place_and_a_remedy(door: Door, hub: HubProcess) -> None:
    await door.tool("submit", image="alpine", wait=0)
    for tool, arguments, why in WRONG:
        answer = await door.tool(tool, **arguments)
        assert (answer.status, answer.result.get("isError")) == (200, True), (tool, arguments)
        assert why in answer.text, (tool, arguments, answer.text)
        assert "Traceback" not in answer.text
    several: list[Any] = [[], "x", 5]
    for odd in several:
        answer = await door.ask("tools/call", {"name": "list", "arguments": odd})
        assert "'arguments' is an object" in answer.text
    nameless: list[Any] = [None, 5, [[]], {"name": "list"}]
    for odd in nameless:
        answer = await door.older("tools/call", {"name": odd})
        assert "'name' names the tool, which is one of submit, status" in answer.error["message"]
    assert "Traceback" not in hub.output()


@pytest.mark.parametrize("tool", sorted(set(TOOLS) - {"submit", "list"}))
async def test_a_queue_that_has_no_jobs_is_not_made_by_asking(door: Door, tool: str) -> None:
    answer = await door.tool(tool, job=UNKNOWN)
    assert answer.result["isError"] is True
    assert answer.text == "this queue has no jobs"
    assert (await door.tool("list")).told["jobs"] == []


async def test_schemas_are_valid_and_have_the_hubs_ranges(door: Door) -> None:
    schemas = {each["name"]: each["inputSchema"] for each in (await door.ask("tools/list")).result["tools"]}
    for schema in schemas.values():
        Draft202012Validator.check_schema(schema)
        assert schema["type"] == "object"
        assert schema["additionalProperties"] is False
        assert all("description" in each for each in schema["properties"].values())
    submit, logs = schemas["submit"]["properties"], schemas["logs"]["properties"]
    assert (submit["priority"]["minimum"], submit["priority"]["maximum"]) == (-limits.PRIORITY, limits.PRIORITY)
    assert submit["image"]["maxLength"] == limits.IMAGE_LENGTH
    assert submit["files"]["maxProperties"] == limits.INPUTS
    assert submit["wait"]["maximum"] == limits.WAIT_SECONDS
    assert logs["grep"]["maxLength"] == limits.LOG_PATTERN_LENGTH
    assert ranges.DURATION_PATTERN  # the table is the one that all other doors use


async def test_every_tool_says_what_clients_may_assume(door: Door) -> None:
    for each in (await door.ask("tools/list")).result["tools"]:
        assert len(each["description"]) < 700
        assert each["annotations"]["readOnlyHint"] is (each["name"] not in ("submit", "cancel"))


async def test_the_queues_name_is_in_no_answer_and_in_no_log(
    hub_process: Callable[..., HubProcess], door: Door, hub: HubProcess, worker: AsmanProcess
) -> None:
    answer = await door.tool("submit", **shell('echo x > "$JOB_OUTPUTS/x.txt"'))
    texts = [answer.result, (await door.tool("list")).result, (await door.ask("resources/list")).result]
    texts += [(await door.tool("status", job=UNKNOWN)).result, (await door.ask("server/discover")).result]
    assert QUEUE not in str(texts)
    assert QUEUE not in hub.output()


async def test_32_a_call_that_arrives_twice_is_one_job(door: Door) -> None:
    arguments = {"name": "submit", "arguments": {"image": "alpine", "wait": 0}}
    first = await door.ask("tools/call", arguments)
    again = await door.ask("tools/call", {"inputResponses": {}, "requestState": "x", **arguments})
    assert (first.told["answer"], again.told["answer"]) == ("queued", "joined")
    assert again.result["resultType"] == "complete"  # this hub asks for no input
    assert len((await door.tool("list")).told["jobs"]) == 1
