"""The doors of a hub, asked with the keys to a queue."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from typing import Any, Final, NamedTuple

import aiohttp
import msgpack
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed
from websockets.typing import Subprotocol

from asman_server.access import ALL_RIGHTS, Right
from asman_server.access.rights import DERIVED
from asman_server.access.table import Needs
from asman_shared.keys.derived import derived_keys
from devtools.asman_processes import HubProcess
from devtools.patience import PATIENCE
from tests.support.plain_worker import plain_worker

Message = dict[str, Any]

QUEUE: Final = "the-name-that-no-key-tells"
UNKNOWN: Final = "~" + "a" * 52
RIGHTS: Final[dict[str, frozenset[Right]]] = {
    "name": ALL_RIGHTS,
    **{kind.value: rights for kind, rights in DERIVED.items()},
}
"""The rights of the name and of each derived key."""
KEYS: Final[dict[str, str]] = {"name": QUEUE, **{kind.value: key for kind, key in derived_keys(QUEUE).items()}}
"""What stands for the queue in addresses."""
DEFINITION: Final[Message] = {
    "image": "alpine",
    "command": "echo hi",
    "env": {"TOKEN": "a-secret-value"},
    "inputs": {"data.txt": {"type": "utf8", "value": "a-secret-input"}},
}


class Said(NamedTuple):
    """An answer over HTTP."""

    status: int
    headers: str
    text: str

    @property
    def json(self) -> Any:
        return json.loads(self.text)


def lacks(kind: str, needs: Needs) -> set[str]:
    """The rights that a key does not grant."""
    return {str(right) for right in needs - RIGHTS[kind]}


class Doors:
    """A hub with a queue; made by `opened_doors`."""

    def __init__(self, hub: HubProcess, http: aiohttp.ClientSession) -> None:
        self.hub = hub
        self.http = http
        self._jobs = 0

    async def ask(self, method: str, path: str, body: Any = None, **headers: str) -> Said:
        """Sends a request, and follows no redirect."""
        data = None if body is None else json.dumps(body)
        async with self.http.request(
            method, f"{self.hub.url}{path}", data=data, headers=headers, allow_redirects=False
        ) as answer:
            raw = await answer.read()
            return Said(answer.status, str(answer.headers), raw.decode("utf-8", "replace"))

    async def job(self, queue: str = QUEUE) -> str:
        """Runs a job of a secret environment and input, with a line and an output; returns its id."""
        self._jobs += 1
        definition = {**DEFINITION, "command": f"echo {self._jobs}"}
        async with plain_worker(self.hub.url, queue, incarnation=f"worker-of-the-doors-{self._jobs}") as worker:
            said = await self.ask("POST", f"/q/{queue}/jobs", {"definition": definition})
            assert said.status == 201, said
            about = await worker.assigned()
            await worker.phase(about)
            await worker.log(about, worker.log_next, "a line")
            file = {"ref": {"type": "utf8", "value": "out"}, "size": 3, "sha256": ""}
            await worker.finish(about, lines=1, outputs={"out.txt": file})
        return str(said.json["job"]["id"])

    @asynccontextmanager
    async def socket(self, place: str, end: str = "client", *, native: bool = True) -> AsyncIterator[ClientConnection]:
        """A websocket of a queue, native or of the dialect."""
        address = f"{self.hub.url.replace('http', 'ws')}/q/{place}/{end}"
        spoken = [Subprotocol("asman.v1.msgpack")] if native else None
        async with connect(address, subprotocols=spoken, compression=None) as opened:
            yield opened


@asynccontextmanager
async def opened_doors(hub: HubProcess) -> AsyncIterator[Doors]:
    """The doors of a hub."""
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=PATIENCE)) as http:
        yield Doors(hub, http)


async def say(socket: ClientConnection, *messages: Message) -> None:
    await socket.send(msgpack.packb(messages))


async def hear(socket: ClientConnection, *kinds: str, ref: int | None = None) -> Message:
    """The next message of one of some types, or any answer to a request."""
    async with asyncio.timeout(PATIENCE):
        while True:
            frame = await socket.recv()
            assert isinstance(frame, bytes)
            for message in msgpack.unpackb(frame):
                if (ref is not None and message.get("ref") == ref) or (ref is None and message["type"] in kinds):
                    return dict(message)


async def closed(socket: ClientConnection) -> tuple[int, str]:
    """The code and the sentence with which the hub closes a websocket."""
    async with asyncio.timeout(PATIENCE):
        with contextlib.suppress(ConnectionClosed):
            while True:
                await socket.recv()
    return socket.close_code or 0, socket.close_reason or ""


def names_one_of(sentence: str, rights: Iterable[str]) -> bool:
    """Whether a sentence names a right that is missing."""
    return any(f"'{right}'" in sentence for right in rights)
