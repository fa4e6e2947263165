"""Each field from outside is fed its bounds, what is beyond them and other types; the hub answers and lives on."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any, get_args

import aiohttp
import msgpack
import pytest
from msgspec import inspect as shape
from websockets.asyncio.client import ClientConnection, connect
from websockets.typing import Subprotocol

from asman_server.rest.operations import OPERATIONS, Parameter
from asman_shared import half_characters, limits, messages
from asman_shared.definition import Definition
from devtools.asman_processes import HubProcess
from devtools.bounded import taken_apart
from devtools.patience import PATIENCE
from tests.support.ranges import OTHERS, carried, edges, places, with_value
from tests.support.unharmed import unharmed

HALF = "half a \ud800 character"
REPORTS = (messages.PhaseReport, messages.LogBatch, messages.Finished, messages.Released)
REQUESTS = tuple(
    kind for kind in get_args(messages.ClientMessage) if kind not in (messages.Hello, messages.Ping, messages.Pong)
)


class Wire:
    """A native connection; each case is followed by a ping, whose answer says that the case was read."""

    def __init__(self, socket: ClientConnection, *, binary: bool) -> None:
        self.socket = socket
        self.binary = binary
        self.count = 0

    async def send(self, *said: Any) -> None:
        await self.socket.send(msgpack.packb(said) if self.binary else json.dumps(said))

    async def told(self, message: dict[str, Any]) -> list[dict[str, Any]]:
        """The errors that came for a message."""
        self.count += 1
        await self.send(message)
        await self.send({"type": "ping", "ref": self.count + 10**9})
        found: list[dict[str, Any]] = []
        async with asyncio.timeout(PATIENCE):
            while True:
                frame = await self.socket.recv()
                came = msgpack.unpackb(frame) if isinstance(frame, bytes) else json.loads(frame)
                found += [each for each in came if each["type"] == "error"]
                if any(each["type"] == "pong" and each.get("ref") == self.count + 10**9 for each in came):
                    return found


@pytest.fixture
async def hub(hub_process: Callable[..., HubProcess]) -> AsyncIterator[HubProcess]:
    async with unharmed(hub_process) as started:
        yield started


async def opened(hub: HubProcess, path: str, first: dict[str, Any], *, binary: bool) -> Wire:
    language = "asman.v1.msgpack" if binary else "asman.v1.json"
    address = f"{hub.url.replace('http', 'ws')}{path}"
    socket = await connect(address, subprotocols=[Subprotocol(language)], compression=None, max_size=None)
    wire = Wire(socket, binary=binary)
    await wire.send(first)
    return wire


async def feed(wire: Wire, kinds: tuple[type[Any], ...]) -> int:
    """Feeds every member of these messages; returns the number of refused values."""
    refused = halves = 0
    for kind in kinds:
        for path, info in places(shape.type_info(kind)):
            if path[0] == "definition" or path == ("ref",):
                continue
            for value, broken in edges(info):
                if not carried(value, binary=wire.binary):
                    continue
                errors = await wire.told(with_value(kind, path, value))
                case = f"{kind.__name__}.{'.'.join(path)} = {str(value)[:60]}"
                if broken is None:
                    assert not any(each["message"].startswith("Expected") for each in errors), (case, errors)
                    continue
                refused += 1
                said = next((each for each in errors if each.get("field", "").startswith(".".join(path))), None)
                assert said is not None, (case, errors)
                assert str(broken).removesuffix(".0") in said["message"] or value == "", said
            for value in OTHERS:
                if carried(value, binary=wire.binary):
                    await wire.told(with_value(kind, path, value))
            if not wire.binary:
                errors = await wire.told(with_value(kind, path, HALF))
                assert errors, (kind, path)
                if errors[0]["message"] == half_characters.SAYS:
                    halves += 1
                    assert errors[0]["field"] == ".".join(path)
    assert bool(halves) is not wire.binary
    return refused


REGISTER = {"type": "register", "incarnation": "0123456789abcdef", "name": "plain", "cpus": 1}


@pytest.mark.parametrize("binary", [True, False], ids=["msgpack", "json"])
async def test_every_member_of_a_request_is_held_to_its_range(hub: HubProcess, binary: bool) -> None:
    wire = await opened(hub, "/q/ranges/client", {"type": "hello"}, binary=binary)
    assert await feed(wire, REQUESTS) > 100
    await wire.socket.close()


@pytest.mark.parametrize("binary", [True, False], ids=["msgpack", "json"])
async def test_every_member_of_a_report_is_held_to_its_range(hub: HubProcess, binary: bool) -> None:
    wire = await opened(hub, "/q/ranges/worker", REGISTER, binary=binary)
    assert await feed(wire, REPORTS) > 40
    await wire.socket.close()


async def test_every_member_of_a_first_message_is_held_to_its_range(hub: HubProcess) -> None:
    for kind, door in ((messages.Register, "worker"), (messages.Hello, "client")):
        for path, info in places(shape.type_info(kind)):
            for value, broken in edges(info):
                wire = await opened(hub, f"/q/ranges/{door}", with_value(kind, path, value), binary=False)
                if broken is not None:
                    async with asyncio.timeout(PATIENCE):
                        came = json.loads(await wire.socket.recv())
                    assert came[0]["type"] == "error", (path, value)
                    if came[0]["code"] == "too_large":  # That many attempts fit into no frame.
                        assert path == ("holding",)
                    else:
                        assert came[0].get("field", "").startswith(".".join(path)), (path, value, came)
                await wire.socket.close()


def cases_of_definitions() -> Iterator[tuple[str, Any, int | float | None]]:
    """Each member of a definition with each value at its bounds or beyond."""
    for path, info in places(shape.type_info(Definition)):
        bare, _ = taken_apart(info)
        kinds = bare.types if isinstance(bare, shape.UnionType) else (info,)
        for kind in kinds:
            for value, broken in edges(kind):
                yield ".".join(path), value, broken


async def test_every_member_of_a_definition_is_held_to_its_range(hub: HubProcess) -> None:
    wire = await opened(hub, "/q/ranges/client", {"type": "hello"}, binary=False)
    refused = 0
    for path, value, broken in cases_of_definitions():
        name, _, inner = path.partition(".")
        definition = {name: {inner: value} if inner else value}
        errors = await wire.told({"type": "submit", "ref": 1, "definition": definition})
        if broken is not None and not (path.endswith("cpus") and value == 0):
            refused += 1
            assert errors, (path, str(value)[:60])
            assert errors[0]["field"].startswith(f"definition.{path}"), (path, errors)
        for other in OTHERS:
            if not carried(other, binary=False):
                continue
            await wire.told({"type": "submit", "ref": 1, "definition": {name: {inner: other} if inner else other}})
    assert refused > 30
    await wire.socket.close()


def beyond(parameter: Parameter) -> Iterator[str]:
    """Values of a parameter that are outside of its range."""
    schema = parameter.schema or {}
    if "maximum" in schema:
        yield from (str(schema["maximum"] + 1), str(schema["minimum"] - 1), str(10**30), "1e3", "NaN", "", "\0")
    if "enum" in schema:
        yield from ("x", "\0")
    if "minLength" in schema:
        yield ""
    if "maxLength" in schema and schema["maxLength"] < limits.HEADER_LENGTH:
        yield "1" * (schema["maxLength"] + 1)


async def test_every_parameter_of_the_query_is_held_to_its_range(hub: HubProcess) -> None:
    refused = 0
    async with aiohttp.ClientSession(hub.url) as session:
        async with session.post("/q/ranges/jobs", json={"definition": {"image": "b"}}) as answer:
            job = (await answer.json())["job"]["id"]
        for each in OPERATIONS:
            path = each.path.replace("{queue}", "ranges").replace("{id}", job)
            for parameter in each.parameters:
                if parameter.place != "query" or "{" in path:
                    continue
                for value in beyond(parameter):
                    refused += 1
                    body: Any = {"definition": {}} if each.name == "submit" else None
                    async with session.request(each.method, path, params={parameter.name: value}, json=body) as answer:
                        assert answer.status == 400, (each.name, parameter.name, value)
                        assert (await answer.json())["field"] == parameter.name
    assert refused > 80
