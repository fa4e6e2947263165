"""A client of the JSON dialect: submits a job, follows it, reads its outputs; submits another and cancels it.

usage: python client.py http://localhost:8000 my-queue       (needs the package `websockets`)
"""

import asyncio
import hashlib
import json
import sys
import time
import urllib.request
from collections.abc import Callable
from typing import Any

from websockets.asyncio.client import ClientConnection, connect

Job = dict[str, Any]


def id_of(definition: Job) -> str:
    """A job's id: the sha256 of its definition with sorted keys and without empty parts (docs/dialect.md)."""
    text = json.dumps(definition, ensure_ascii=False, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


class Queue:
    """A queue over one websocket."""

    def __init__(self, socket: ClientConnection) -> None:
        self.socket = socket
        self.jobs: dict[str, Job] = {}

    async def change(self, state: str, job: str, **value: Any) -> None:
        """Tells the hub what this client wants of a job."""
        value = {"type": state, "time": int(time.time() * 1000), **value}
        payload = {"tag": "", "state": state, "job": job, "value": value}
        await self.socket.send(json.dumps({"type": "StateChange", "payload": payload}))

    async def until(self, job: str, wanted: Callable[[Job | None], Any]) -> Any:
        """Reads until the job is as wanted."""
        while not wanted(self.jobs.get(job)):
            text = str(await self.socket.recv())
            if not text.startswith("{"):
                continue
            message = json.loads(text)
            kind, payload = message["type"], message.get("payload")
            if kind == "JobStatusPayload":
                for line in payload["logs"]:
                    print(f"log: {line[0]}", end="")  # a line has its own end
            elif kind in ("JobStates", "JobStateUpdates"):
                told = payload["state"]["jobs"]
                self.jobs = {**self.jobs, **told} if payload["isSubset"] else told
        return self.jobs.get(job)

    async def submit(self, definition: Job) -> str:
        """Submits a job; sent again it would be taken once."""
        job = id_of(definition)
        await self.change("Queued", job, enqueued={"id": job, "definition": definition})
        await self.until(job, lambda seen: seen)
        return job


def get(url: str) -> bytes:
    """The answer of an address."""
    with urllib.request.urlopen(url, timeout=30) as answer:  # noqa: S310 - the hub's address is the caller's
        return bytes(answer.read())


async def main(hub: str, name: str) -> None:
    """Submits, follows, reads and cancels."""
    async with connect(f"{hub.replace('http', 'ws', 1)}/q/{name}/client", max_size=None) as socket:
        queue = Queue(socket)
        script = "echo counting; wc -w < $JOB_INPUTS/text.txt | tr -d ' ' > $JOB_OUTPUTS/words.txt"
        job = await queue.submit({"command": ["sh", "-c", script], "inputs": {"text.txt": {"value": "one two"}}})
        print(f"submitted {job}")
        finished = await queue.until(job, lambda seen: seen and seen["state"] == "Finished")
        result = json.loads(await asyncio.to_thread(get, f"{hub}/q/{name}/j/{job}/result.json"))["data"]["finished"][
            "result"
        ]
        print(f"finished: {finished['finishedReason']}, exit code {result['StatusCode']}")
        for output in result["outputs"]:
            body = await asyncio.to_thread(get, f"{hub}/q/{name}/j/{job}/outputs/{output}")
            print(f"output {output}: {body.decode().strip()}")

        long = await queue.submit({"command": ["sh", "-c", f"sleep 60 # {time.time()}"]})
        await queue.change("Finished", long, reason="Cancelled")
        await queue.until(long, lambda seen: seen is None)  # a cancelled job is simply absent
        print(f"cancelled {long}")


if __name__ == "__main__":
    asyncio.run(asyncio.wait_for(main(*sys.argv[1:3]), 60))
