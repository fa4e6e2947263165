"""A scripted client of the JSON dialect that reads nothing but whole lists (`JobStates`) and `result.json`.

usage: python scripted_client.py HUB QUEUE FOLDER < definitions.json       (needs the package `websockets`)

It submits each definition, waits until a list shows it as finished, and fetches its result. It prints a line of JSON
for each job, ``[name, finishedReason, StatusCode]``, and writes the texts of its log, joined with nothing between them,
into FOLDER: those of standard output as ``NAME.out``, those of standard error as ``NAME.err``. It imports nothing of
Asman.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import sys
import time
import urllib.request
from pathlib import Path
from typing import Any

from websockets.asyncio.client import ClientConnection, connect


def id_of(definition: Any) -> str:
    text = json.dumps(definition, ensure_ascii=False, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


def message(kind: str, payload: Any) -> str:
    return json.dumps({"type": kind, "payload": payload})


async def lists(socket: ClientConnection) -> Any:
    """The next whole list."""
    while True:
        text = str(await socket.recv())
        if text.startswith("{") and (told := json.loads(text))["type"] == "JobStates":
            return told["payload"]["state"]["jobs"]


def result_of(address: str) -> Any:
    with urllib.request.urlopen(f"{address}/result.json", timeout=60) as answer:
        return json.load(answer)["data"]["finished"]["result"]


async def main(hub: str, queue: str, folder: Path, definitions: dict[str, Any]) -> None:
    jobs = {id_of(definition): name for name, definition in definitions.items()}
    address = f"{hub}/q/{queue}"
    async with connect(f"{address.replace('http', 'ws', 1)}/client", max_size=None) as socket:
        for job, name in jobs.items():
            enqueued = {"id": job, "definition": definitions[name]}
            value = {"type": "Queued", "time": int(time.time() * 1000), "enqueued": enqueued}
            await socket.send(message("StateChange", {"tag": "", "state": "Queued", "job": job, "value": value}))
        while jobs:
            await socket.send(message("QueryJobStates", {}))
            for job, shown in (await lists(socket)).items():
                if job not in jobs or shown["state"] != "Finished":
                    continue
                name = jobs.pop(job)
                # As pages do: what is in the list already is not fetched.
                if "finished" in shown:
                    result = shown["finished"]["result"]
                else:
                    result = await asyncio.to_thread(result_of, f"{address}/j/{job}")
                logs = [(text, bool(rest)) for text, _, *rest in result["logs"]]
                for suffix, wanted in (("out", False), ("err", True)):
                    written = "".join(text for text, is_error in logs if is_error is wanted)
                    (folder / f"{name}.{suffix}").write_bytes(written.encode())
                print(json.dumps([name, shown["finishedReason"], result.get("StatusCode")]), flush=True)


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], sys.argv[2], Path(sys.argv[3]), json.load(sys.stdin)))
