"""Jobs that the tests of the dialect's REST addresses ask about."""

from __future__ import annotations

from typing import Any

from devtools.asman_processes import HubProcess
from tests.support.api import Api
from tests.support.plain_worker import PlainWorker, plain_worker

DEFINITION = {
    "image": "alpine",
    "command": "echo hi",
    "inputs": {
        "a.txt": {"value": "one"},
        "b.json": {"type": "json", "value": {"n": 1}},
        "sub/c d.bin": {"type": "base64", "value": "AAE="},
        "u": {"type": "url", "value": "https://example.org/u"},
    },
    "tags": ["t"],
}


async def enqueue(api: Api, queue: str, **more: Any) -> str:
    answer = await api.post(f"/q/{queue}", {"definition": DEFINITION, **more})
    assert answer.status == 200
    assert answer.json == {"success": True, "jobId": answer.json["jobId"]}
    return str(answer.json["jobId"])


async def run(worker: PlainWorker, exit_code: int = 0) -> None:
    """The next job, with two lines of a build, three of its own, and an output."""
    about = await worker.assigned()
    first = worker.log_next
    build = [[first, 1, 2, "pulling", "pulling"], [first + 1, 2, 0, "layer", "pulling"]]
    own = [
        [first + 2, 3, 0, "one"],
        [first + 3, 4, 1, "two"],
        [first + 4, 5, 2, "uploading"],
        [first + 5, 6, 0, "three"],
    ]
    await worker.send({"type": "log_batch", "lines": build, **about})
    await worker.send({"type": "log_batch", "lines": own, **about})
    outputs = {"o/made.txt": {"ref": {"value": "made"}, "size": 4, "sha256": "x"}}
    await worker.finish(about, exit_code, lines=first + 6, outputs=outputs)


async def finished(api: Api, hub: HubProcess, queue: str) -> str:
    job = await enqueue(api, queue)
    async with plain_worker(hub.url, queue, tags=["t"]) as worker:
        await run(worker)
    return job
