"""Jobs as resources."""

from __future__ import annotations

import base64
import json
from urllib.parse import quote

from asman_shared import limits
from devtools.asman_processes import AsmanProcess, HubProcess
from tests.integration.server.mcp.conftest import QUEUE
from tests.support.mcp_door import Door
from tests.support.plain_worker import plain_worker


async def test_results_logs_and_files_are_resources(door: Door, worker: AsmanProcess) -> None:
    script = 'echo one; echo two; cd "$JOB_OUTPUTS"; echo text > "ä b.txt"; printf "\\377" > c.bin'
    job = (await door.tool("submit", image="alpine", command=["sh", "-c", script])).told["job"]
    listed = (await door.ask("resources/list")).result["resources"]
    assert [(each["uri"], each["mimeType"]) for each in listed] == [(f"asman://jobs/{job}", "application/json")]
    assert "succeeded" in listed[0]["description"]

    templates = (await door.ask("resources/templates/list")).result["resourceTemplates"]
    assert [each["name"] for each in templates] == ["job", "log", "output"]
    (read,) = (await door.ask("resources/read", {"uri": f"asman://jobs/{job}"})).result["contents"]
    assert (read["uri"], json.loads(read["text"])["ok"]) == (f"asman://jobs/{job}", True)
    (log,) = (await door.ask("resources/read", {"uri": f"asman://jobs/{job}/log"})).result["contents"]
    assert (log["mimeType"], log["text"]) == ("text/plain", "one\ntwo\n")
    (text,) = (await door.ask("resources/read", {"uri": f"asman://jobs/{job}/outputs/{quote('ä b.txt')}"})).result[
        "contents"
    ]
    assert text["text"] == "text\n"
    (data,) = (await door.older("resources/read", {"uri": f"asman://jobs/{job}/outputs/c.bin"})).result["contents"]
    assert base64.b64decode(data["blob"]) == b"\xff"


async def test_what_is_no_resource_is_refused(door: Door) -> None:
    job = (await door.tool("submit", image="alpine", wait=0)).told["job"]
    for uri in (
        "asman://jobs/ä",
        f"asman://jobs/{job}/outputs/",
        f"asman://jobs/{job}/outputs/a",
        f"asman://jobs/{'0' * 64}",
        f"asman://jobs/{'0' * 64}/log",
        f"file:///jobs/{job}",
        "x" * 5000,
        "",
    ):
        answer = await door.older("resources/read", {"uri": uri})
        assert answer.error["code"] == -32602, uri
    assert (await door.older("resources/read", {})).error["code"] == -32602
    wrong = await door.older("resources/list", {"cursor": "x"})
    assert (wrong.error["code"], "nextCursor" in wrong.error["message"]) == (-32602, True)


async def test_the_list_has_pages(door: Door) -> None:
    jobs = []
    for i in range(51):
        jobs.append((await door.tool("submit", image=f"alpine:{i}", wait=0)).told["job"])
        await door.tool("cancel", job=jobs[-1])
    first = (await door.ask("resources/list")).result
    assert [each["uri"][-64:] for each in first["resources"]] == jobs[:0:-1]
    second = (await door.ask("resources/list", {"cursor": first["nextCursor"]})).result
    assert [each["uri"][-64:] for each in second["resources"]] == jobs[:1]
    assert "nextCursor" not in second


async def test_a_large_file_is_a_link_and_no_resource(door: Door, hub: HubProcess) -> None:
    sizes = (limits.TOOL_CONTENT_BYTES, limits.TOOL_CONTENT_BYTES + 1)
    outputs = {}
    for size in sizes:
        async with door.session.put(f"{hub.url}/f/large-{size}", data=b"a" * size) as answer:
            sha256 = (await answer.json())["sha256"]
        outputs[f"{size}.txt"] = {"ref": {"type": "key", "value": sha256}, "size": size, "sha256": sha256}
    job = (await door.tool("submit", image="alpine", wait=0)).told["job"]
    async with plain_worker(hub.url, QUEUE) as worker:
        await worker.finish(await worker.assigned(), outputs=outputs)
    fits = await door.ask("resources/read", {"uri": f"asman://jobs/{job}/outputs/{sizes[0]}.txt"})
    assert len(fits.result["contents"][0]["text"]) == sizes[0]
    beyond = await door.ask("resources/read", {"uri": f"asman://jobs/{job}/outputs/{sizes[1]}.txt"})
    assert (beyond.status, "fetch it at http" in beyond.error["message"]) == (400, True)
