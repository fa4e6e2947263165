"""A client and a worker that speak the JSON dialect, as plain as can be: text frames in, text frames out."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

from websockets.asyncio.client import ClientConnection, connect

from asman_server.dialect.ids import identify
from devtools.patience import PATIENCE

Message = dict[str, Any]


def now() -> int:
    return int(time.time() * 1000)


class Speaker:
    """One socket of the dialect.

    Attributes:
        heard: Every message that came, in order, while it was waited for.
        jobs: The jobs as a client keeps them: replaced by whole lists, merged with subsets.
    """

    def __init__(self, socket: ClientConnection) -> None:
        self.socket = socket
        self.heard: list[Message] = []
        self.jobs: dict[str, Message] = {}
        self._waiting: list[Message] = []

    async def send(self, kind: str, payload: Any = None) -> None:
        await self.raw(json.dumps({"type": kind} if payload is None else {"type": kind, "payload": payload}))

    async def raw(self, text: str) -> None:
        await self.socket.send(text)

    async def change(self, state: str, job: str, **value: Any) -> None:
        """A StateChange as the dialect's clients and workers write it."""
        value = {"type": state, "time": now(), **value}
        await self.send("StateChange", {"tag": "", "state": state, "job": job, "value": value})

    async def text(self) -> str:
        """The next frame that is no message, such as PONG."""
        async with asyncio.timeout(PATIENCE):
            while True:
                frame = await self.socket.recv()
                assert isinstance(frame, str)
                if not frame.startswith("{"):
                    return frame
                self._take(frame)

    def _take(self, frame: str) -> None:
        message = json.loads(frame)
        assert set(message) <= {"type", "payload"}
        self.heard.append(message)
        self._waiting.append(message)
        if message["type"] in ("JobStates", "JobStateUpdates"):
            state = message["payload"]["state"]["jobs"]
            self.jobs = state if message["type"] == "JobStates" else {**self.jobs, **state}

    async def next(self, kind: str, where: Callable[[Any], bool] = lambda _: True) -> Any:
        """The payload of the next message of a type; others are kept for later."""
        async with asyncio.timeout(PATIENCE):
            while True:
                for message in self._waiting:
                    if message["type"] == kind and where(message.get("payload")):
                        self._waiting.remove(message)
                        return message.get("payload")
                frame = await self.socket.recv()
                assert isinstance(frame, str)
                if frame.startswith("{"):
                    self._take(frame)

    async def until(self, happened: Callable[[dict[str, Message]], Any]) -> Any:
        """Reads until the jobs are as wished; returns what ``happened`` returned."""
        async with asyncio.timeout(PATIENCE):
            while not (found := happened(self.jobs)):
                frame = await self.socket.recv()
                assert isinstance(frame, str)
                if frame.startswith("{"):
                    self._take(frame)
            return found

    async def sees(self, job: str, state: str) -> Message:
        """The job, once it is listed in this state."""
        found: Message = await self.until(lambda jobs: jobs.get(job, {}).get("state") == state and jobs[job])
        return found


class JsonClient(Speaker):
    """A client of the dialect."""

    async def submit(self, job: str, definition: Message, **control: Any) -> None:
        enqueued: Message = {"id": job, "definition": definition}
        if control:
            enqueued["control"] = control
        await self.change("Queued", job, enqueued=enqueued)

    async def submit_new(self, definition: Message, **control: Any) -> str:
        """Submits a job by its second-generation id, which is returned once the job is listed."""
        job = identify(definition).job
        await self.submit(job, definition, **control)
        await self.until(lambda jobs: job in jobs)
        return job

    async def whole_list(self) -> dict[str, Message]:
        """The whole list, asked for now."""
        self._waiting = [message for message in self._waiting if message["type"] != "JobStates"]
        await self.send("QueryJobStates")
        told: dict[str, Message] = (await self.next("JobStates"))["state"]["jobs"]
        return told

    async def asked(self, job: str) -> Message | None:
        """The job as the hub shows it when it is asked for it alone; None if it shows none."""
        self._waiting = [message for message in self._waiting if message["type"] != "JobStateUpdates"]
        await self.send("QueryJob", {"jobId": job})
        told: dict[str, Message] = (await self.next("JobStateUpdates"))["state"]["jobs"]
        return told.get(job)

    async def end(self, job: str, reason: str, **more: Any) -> None:
        await self.change("Finished", job, reason=reason, **more)


class JsonWorker(Speaker):
    """A worker of the dialect, which does what a test says."""

    id = ""

    async def register(self, name: str, cpus: float = 1, gpus: int = 0, longest: str = "24h") -> None:
        self.id = name
        said = {"version": "0.54.0", "id": name, "cpus": cpus, "gpus": gpus, "time": now(), "maxJobDuration": longest}
        await self.send("WorkerRegistration", said)

    async def claim(self, job: str) -> None:
        await self.change("Running", job, worker=self.id)

    async def has(self, job: str) -> None:
        """Waits until the list says that this worker has the job."""
        await self.until(lambda jobs: jobs.get(job, {}).get("worker") == self.id and jobs[job]["state"] == "Running")

    async def log(self, job: str, *lines: list[Any], step: str = "Running") -> None:
        await self.send("JobStatusLogs", {"jobId": job, "step": step, "logs": list(lines)})

    async def finish(self, job: str, reason: str = "Success", **result: Any) -> None:
        made = {"logs": [], "outputs": {}, **result}
        await self.change("Finished", job, reason=reason, worker=self.id, result=made)


def _address(hub_url: str, queue: str, who: str, *, old: bool) -> str:
    return f"{hub_url.replace('http', 'ws', 1)}{'' if old else '/q'}/{queue}/{who}"


@asynccontextmanager
async def json_client(
    hub_url: str, queue: str, who: str = "client", *, old: bool = False, **more: Any
) -> AsyncIterator[JsonClient]:
    """A client; ``old`` for the addresses without ``/q``."""
    address = _address(hub_url, queue, who, old=old)
    async with connect(address, compression=None, max_size=None, **more) as socket:
        assert socket.subprotocol is None
        yield JsonClient(socket)


@asynccontextmanager
async def json_worker(
    hub_url: str, queue: str, name: str = "json-worker-1", *, old: bool = False, **more: Any
) -> AsyncIterator[JsonWorker]:
    """A worker that has registered."""
    async with connect(_address(hub_url, queue, "worker", old=old), compression=None, max_size=None) as socket:
        worker = JsonWorker(socket)
        await worker.register(name, **more)
        yield worker
