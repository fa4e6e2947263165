"""A client of the native protocol in plain msgpack and websockets: submits a job, follows its log, prints the outcome.

usage: python client.py http://localhost:8000/q/my-queue       (needs msgpack and websockets; see docs/protocol.md)
"""

import asyncio
import itertools
import sys
from typing import Any

import msgpack
from websockets import ClientConnection, Subprotocol, WebSocketException, connect

Message = dict[str, Any]
SCRIPT = "echo counting; wc -w < $JOB_INPUTS/text.txt | tr -d ' ' > $JOB_OUTPUTS/words.txt"
DEFINITION: Message = {"command": ["sh", "-c", SCRIPT], "inputs": {"text.txt": {"value": "one two three four"}}}


class Queue:
    """A queue over one websocket: requests and their answers, and the log lines and changes that the hub pushes."""

    def __init__(self, socket: ClientConnection) -> None:
        self.socket, self.refs = socket, itertools.count(1)
        self.jobs: dict[str, Message] = {}
        self.lines = 0

    async def read(self) -> list[Message]:
        """Reads one frame, notes what it says of jobs and prints the log lines in it."""
        messages: list[Message] = msgpack.unpackb(await self.socket.recv(decode=False))
        for message in messages:
            if message["type"] == "log":
                for seq, _time, stream, text, *_phase in message["lines"]:
                    print(text, file=sys.stderr if stream == 1 else sys.stdout)
                    self.lines = seq + 1
            elif message["type"] in ("changed", "following"):
                job = message["job"]  # a newer state has a greater ``rev`` and replaces the whole of the older
                if job["rev"] >= self.jobs.get(job["id"], job)["rev"]:
                    self.jobs[job["id"]] = job
        return messages

    async def ask(self, kind: str, **fields: Any) -> Message:
        """Sends a request and returns the answer, which has the same ``ref``."""
        ref = next(self.refs)
        await self.socket.send(msgpack.packb([{"type": kind, "ref": ref, **fields}]))
        while True:
            for message in await self.read():
                if message["type"] == "error":
                    raise SystemExit(f"error: {message['message']}")
                if message.get("ref") == ref:
                    return message


async def main(url: str) -> int:
    """Submits the job, follows it to its end, prints how it ended, and returns the exit code."""
    address, subprotocol = f"{url.replace('http', 'ws', 1)}/client", Subprotocol("asman.v1.msgpack")
    async with connect(address, subprotocols=[subprotocol], max_size=None) as socket:
        queue = Queue(socket)
        await socket.send(msgpack.packb([{"type": "hello", "agent": "scripted-client"}]))
        print("hub", (await queue.read())[0]["hub"])
        accepted = await queue.ask("submit", definition=DEFINITION)
        print(accepted["answer"], job := accepted["job"]["id"])
        await queue.ask("follow", job=job, logs=True)
        while queue.jobs[job]["state"] != "Finished" or queue.lines < queue.jobs[job]["verdict"].get("lines", 0):
            await queue.read()  # a member that has its default value, such as no lines, is left out
        verdict = queue.jobs[job]["verdict"]
        message = verdict.get("message", "")
        print(f"finished: {verdict['reason']}, exit code {verdict.get('exit_code')}\n{message}".strip())
        print("outputs:", *((await queue.ask("get", job=job)).get("result") or {}).get("outputs", {}))
        return 0 if verdict["ok"] else 1


if __name__ == "__main__":
    if len(sys.argv) != 2:
        print("usage: python client.py http://localhost:8000/q/my-queue", file=sys.stderr)
        sys.exit(2)
    try:
        sys.exit(asyncio.run(asyncio.wait_for(main(sys.argv[1]), 60)))
    except (OSError, ValueError, WebSocketException) as error:
        sys.exit(f"error: no hub answers at this address, or no worker in time: {error or 'a minute is over'}")
