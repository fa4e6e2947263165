"""The wire as it is, read and written with the plain ``msgpack`` and ``websockets`` packages, without our client."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from typing import Any

import msgpack
import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed
from websockets.typing import Subprotocol

from devtools.asman_processes import HubProcess
from devtools.patience import PATIENCE

Message = dict[str, Any]


class Wire:
    """One websocket with arrays of messages on it."""

    def __init__(self, socket: ClientConnection) -> None:
        self.socket = socket
        self.waiting: list[Message] = []
        self.binary = socket.subprotocol == "asman.v1.msgpack"

    async def send(self, *messages: Message) -> None:
        await self.socket.send(msgpack.packb(messages) if self.binary else json.dumps(messages))

    async def next(self, **wanted: Any) -> Message:
        """The next message that has these members; those before it are kept for later."""
        async with asyncio.timeout(PATIENCE):
            while True:
                for message in self.waiting:
                    if all(message.get(name) == value for name, value in wanted.items()):
                        self.waiting.remove(message)
                        return message
                frame = await self.socket.recv()
                self.waiting += msgpack.unpackb(frame) if isinstance(frame, bytes) else json.loads(frame)


OpenWire = Callable[..., Awaitable[Wire]]


@pytest.fixture
async def open_wire() -> AsyncIterator[OpenWire]:
    """Opens websockets that are closed when the test is over."""
    async with AsyncExitStack() as stack:

        async def opened(hub: HubProcess, path: str, first: Message, language: str = "asman.v1.msgpack") -> Wire:
            address = f"{hub.url.replace('http', 'ws')}{path}"
            socket = await stack.enter_async_context(
                connect(address, subprotocols=[Subprotocol(language)], compression=None)
            )
            wire = Wire(socket)
            await wire.send(first)
            return wire

        yield opened


def register(**more: Any) -> Message:
    return {"type": "register", "incarnation": "0123456789abcdef", "name": "plain", "cpus": 1, **more}


@pytest.mark.parametrize("language", ["asman.v1.msgpack", "asman.v1.json"])
async def test_a_job_from_submit_to_finished_on_the_plain_wire(
    hub_process: Callable[..., HubProcess], open_wire: OpenWire, language: str
) -> None:
    hub = await asyncio.to_thread(hub_process)
    worker = await open_wire(hub, "/q/wire-test/worker", register(), language)
    registered = await worker.next(type="registered")
    assert registered["protocol"] == 1
    client = await open_wire(hub, "/q/wire-test/client", {"type": "hello"}, language)
    welcome = await client.next(type="welcome")
    assert welcome["counts"] == {"workers": 1}

    await client.send({"type": "submit", "ref": 7, "definition": {"image": "alpine", "command": "echo hi"}})
    assign = await worker.next(type="assign")
    assert assign["definition"] == {"image": "alpine", "command": "echo hi"}
    accepted = await client.next(type="accepted", ref=7)
    assert accepted["answer"] == "queued"
    assert accepted["able"] == 1
    job = accepted["job"]["id"]
    assert assign["job"] == job

    await client.send({"type": "follow", "ref": 8, "job": job, "logs": True})
    await client.next(type="following", ref=8)
    about = {"job": job, "attempt": assign["attempt"]}
    await worker.send(
        {"type": "phase", "phase": "running", **about},
        {"type": "log_batch", "lines": [[0, 1000, 0, "hi"], [1, 1001, 1, "oh"]], **about},
        {"type": "finished", "outcome": {"kind": "exited", "exit_code": 3, "lines": 2}, **about},
    )
    acknowledged = await worker.next(type="acknowledged")
    assert acknowledged.get("accepted", True)
    lines = await client.next(type="log", job=job)
    assert [line[3] for line in lines["lines"]] == ["hi", "oh"]
    while True:
        state = (await client.next(type="changed"))["job"]
        if state["state"] == "Finished":
            break
    verdict = state["verdict"]
    assert (verdict["ok"], verdict["reason"], verdict["exit_code"], verdict["lines"]) == (False, "Failed", 3, 2)

    again = {"type": "submit", "ref": 9, "definition": {"command": "echo hi", "image": "alpine", "env": {}}}
    await client.send({**again, "reuse": "any"})
    cached = await client.next(type="accepted", ref=9)
    assert cached["answer"] == "cached"
    assert cached["job"]["verdict"]["exit_code"] == 3
    await client.send({**again, "ref": 10})
    anew = await client.next(type="accepted", ref=10)
    assert (anew["answer"], anew["earlier"]["exit_code"]) == ("queued", 3)


async def test_every_request_gets_exactly_one_answer_and_errors_name_the_field(
    hub_process: Callable[..., HubProcess],
    open_wire: OpenWire,
) -> None:
    hub = await asyncio.to_thread(hub_process)
    client = await open_wire(hub, "/q/errors/client", {"type": "hello"})
    await client.next(type="welcome")
    await client.send(
        {"type": "submit", "ref": 1, "definition": {"image": "a", "requirements": {"memory": "2"}}},
        {"type": "submit", "ref": 2, "definition": {"image": "a", "inputs": {"../x": {"value": ""}}}},
        {"type": "submit", "ref": 3, "definition": {"image": "a"}, "id": "0" * 64},
        {"type": "get", "ref": 4, "job": "0" * 64},
        {"type": "get", "ref": 5, "job": "short"},
        {"type": "dance", "ref": 6},
        {"type": "ping", "ref": 7},
        {"type": "submit", "ref": 8, "definition": {"image": "a"}, "time_limit": 0},
        {"type": "submit", "ref": 9, "definition": {"image": "a"}, "phase_limits": {"pulling": 0}},
    )
    errors = {n: await client.next(type="error", ref=n) for n in (1, 2, 3, 4, 5, 6, 8, 9)}
    assert errors[1]["field"] == "definition.requirements.memory"
    assert "512MiB" in errors[1]["message"]
    assert errors[2]["field"] == "definition.inputs.../x"
    assert errors[3]["field"] == "id"
    assert errors[4]["code"] == "not_found"
    assert errors[5]["field"] == "job"
    assert errors[8]["field"] == "time_limit"
    assert "leave it out for no limit" in errors[8]["message"]
    assert errors[9]["field"] == "phase_limits.pulling"
    assert await client.next(type="pong", ref=7)
    assert client.waiting == []


@pytest.mark.parametrize(
    ("first", "code"),
    [
        ({"type": "ping"}, 4000),
        ({"type": "hello", "protocol": 99}, 4001),
        ({"type": "hello", "follow": 3}, 4000),
    ],
)
async def test_a_wrong_first_message_gets_a_close_code_that_says_so(
    hub_process: Callable[..., HubProcess], open_wire: OpenWire, first: Message, code: int
) -> None:
    hub = await asyncio.to_thread(hub_process)
    wire = await open_wire(hub, "/q/x/client", first)
    with pytest.raises(ConnectionClosed) as caught:
        while True:
            async with asyncio.timeout(PATIENCE):
                await wire.socket.recv()
    assert caught.value.rcvd is not None
    assert caught.value.rcvd.code == code
    assert caught.value.rcvd.reason


async def test_bad_queue_names_and_unknown_languages_are_told(hub_process: Callable[..., HubProcess]) -> None:
    hub = await asyncio.to_thread(hub_process)
    for path, offered, code in (("/q/a%23b/client", "asman.v1.json", 4008), ("/q/x/client", "soap", 4000)):
        address = f"{hub.url.replace('http', 'ws')}{path}"
        async with connect(address, subprotocols=[Subprotocol(offered)]) as socket:
            with pytest.raises(ConnectionClosed) as caught:
                async with asyncio.timeout(PATIENCE):
                    await socket.recv()
        assert caught.value.rcvd is not None
        assert caught.value.rcvd.code == code


async def test_what_was_missed_is_recovered_after_a_reconnect(
    hub_process: Callable[..., HubProcess], open_wire: OpenWire
) -> None:
    hub = await asyncio.to_thread(hub_process)
    watcher = await open_wire(hub, "/q/r/client", {"type": "hello", "follow": "queue"})
    welcome = await watcher.next(type="welcome")
    client = await open_wire(hub, "/q/r/client", {"type": "hello"})
    await client.next(type="welcome")
    await client.send({"type": "submit", "ref": 1, "definition": {"image": "a"}})
    first = await watcher.next(type="changed")
    await watcher.socket.close()
    for ref in (2, 3):
        await client.send({"type": "submit", "ref": ref, "definition": {"image": f"a{ref}"}})
        await client.next(type="accepted", ref=ref)
    resume = {"epoch": welcome["epoch"], "seq": first["seq"]}
    again = await open_wire(hub, "/q/r/client", {"type": "hello", "follow": "queue", "resume": resume})
    assert (await again.next(type="welcome"))["recovered"] is True
    missed = [await again.next(type="changed"), await again.next(type="changed")]
    assert [m["seq"] for m in missed] == [first["seq"] + 1, first["seq"] + 2]
    assert [m["job"]["summary"]["image"] for m in missed] == ["a2", "a3"]


async def test_a_restarted_hub_has_everything_it_acknowledged(
    hub_process: Callable[..., HubProcess], open_wire: OpenWire
) -> None:
    hub = await asyncio.to_thread(hub_process)
    client = await open_wire(hub, "/q/d/client", {"type": "hello"})
    await client.next(type="welcome")
    ids = []
    for ref in range(20):
        await client.send({"type": "submit", "ref": ref, "definition": {"image": "a", "command": str(ref)}})
        ids.append((await client.next(type="accepted", ref=ref))["job"]["id"])
    await asyncio.to_thread(hub.restart)
    client = await open_wire(hub, "/q/d/client", {"type": "hello"})
    assert (await client.next(type="welcome"))["counts"] == {"queued": 20}
    await client.send({"type": "list", "ref": 1, "limit": 15})
    page = await client.next(type="jobs", ref=1)
    await client.send({"type": "list", "ref": 2, "before": page["next"]})
    rest = await client.next(type="jobs", ref=2)
    assert [j["id"] for j in page["jobs"] + rest["jobs"]] == ids[::-1]
    worker = await open_wire(hub, "/q/d/worker", register(cpus=20))
    assert {(await worker.next(type="assign"))["job"] for _ in ids} == set(ids)
