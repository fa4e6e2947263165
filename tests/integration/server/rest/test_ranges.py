"""Each member of a body and each part of a path is fed its bounds, what is beyond them, odd characters and other types;
each request is answered, the hub lives on and logs no traceback. The JSON dialect's addresses are among them."""

from __future__ import annotations

import asyncio
import io
import json
import re
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import aiohttp
import pytest
from msgspec import inspect as shape

from asman_server.dialect import operations as dialect
from asman_server.rest import operations as rest
from asman_server.rest.operations import Operation
from asman_shared import half_characters, limits
from asman_shared.definition import Definition
from devtools.asman_processes import HubProcess
from devtools.patience import PATIENCE
from tests.support.ranges import JOB, NUMBERS, OTHERS, carried, edges, places, with_value
from tests.support.unharmed import of_database, unharmed

OPERATIONS = (*rest.OPERATIONS, *dialect.OPERATIONS)
BODIES = {each.endpoint: each for each in OPERATIONS if each.body not in (None, bytes)}
ODD: tuple[Any, ...] = tuple(
    dict.fromkeys(value for value in (*NUMBERS, *OTHERS[:6], "x" * 300) if carried(value, binary=False))
)
NOT_JSON = (b"", b"{", b"\0", b"\xff", b"null", b"[]", b"5", b'"x"', b"[" * 100_000, b"{}", b'{"a":1}', b"NaN")
PART = re.compile(r"{(\w+)(?::path)?}")
PARTS = {
    "nothing": "",
    "a dot": ".",
    "two dots": "..",
    "escaped dots": "%2e%2e",
    "an escaped slash": "a%2Fb",
    "NUL": "%00",
    "NUL inside": "a%00b",
    "a line feed": "a%0Ab",
    "half a character": "%ED%A0%80",
    "half of UTF-8": "%C3",
    "a letter with an accent": "%C3%A9",
    "a wide character": "%F0%9F%98%80",
    "a bare percent sign": "%",
    "a wrong escape": "%zz",
    "a tilde": "~",
    "an id with a tilde": f"{JOB}~",
    "an id with a key": f"{JOB}~%00",
    "an id in capitals": "A" * 64,
    "a short id": JOB[:-1],
    "a long id": f"{JOB}0",
    "an id and a line feed": f"{JOB}%0A",
    "an id and NUL": f"{JOB}%00",
    "the longest label": "x" * limits.LABEL_LENGTH,
    "beyond the longest label": "x" * (limits.LABEL_LENGTH + 1),
    "beyond the longest name": "x" * (limits.NAME_LENGTH + 1),
    "beyond the longest path": "a/" * limits.PATH_LENGTH,
    "very long": "x" * 30_000,
}


REFUSED = ("beyond the longest name", "very long")
"""Parts that are no queue, id, file or namespace anywhere."""


@pytest.fixture(params=["sqlite", "postgres"])
async def hub(request: pytest.FixtureRequest, hub_process: Callable[..., HubProcess]) -> AsyncIterator[HubProcess]:
    more = ["--allow-private-webhooks", "--public-job-ids", *of_database(request)]
    async with unharmed(hub_process, *more) as started:
        yield started


async def asked(hub: HubProcess, method: str, path: str, body: bytes = b"") -> tuple[int, bytes]:
    """The status and the body of an answer; the path is sent as it is. A stream is not read."""
    reader, writer = await asyncio.open_connection("127.0.0.1", hub.port)
    try:
        async with asyncio.timeout(PATIENCE):
            # In one piece: a hub that refuses the first line closes, and would reset a connection that brings more.
            begin = f"{method} {path} HTTP/1.1\r\nHost: {hub.url[7:]}\r\nConnection: close\r\n".encode()
            writer.write(b"%bContent-Length: %d\r\n\r\n%b" % (begin, len(body), body))
            head = await reader.readuntil(b"\r\n\r\n")
            status = int(head.split(b" ", 2)[1])
            return status, b"" if b"text/event-stream" in head else await reader.read()
    finally:
        writer.close()


async def with_a_job(hub: HubProcess) -> str:
    """A stored job, of a queue that is asked about jobs that it does not have in memory."""
    status, body = await asked(hub, "POST", "/q/ranges/jobs", b'{"definition":{"image":"a"}}')
    assert status == 201
    await asyncio.to_thread(hub.restart)
    return str(json.loads(body)["job"]["id"])


def is_told(status: int, body: bytes) -> bool:
    """Whether an answer that refuses says why, as every error does; or it is no refusal."""
    if status < 400:
        return True
    said = json.loads(body)
    return status < 500 and ("exists" in said or bool(said["error"] and said["code"]))


@pytest.mark.parametrize("number", range(4))
async def test_every_part_of_a_path_is_held_to_its_range(hub: HubProcess, number: int) -> None:
    job = await with_a_job(hub)
    fits = {
        "queue": "ranges",
        "id": job,
        "sha256": JOB,
        "name": "a.txt",
        "path": "a.txt",
        "namespace": "_",
        "worker": "w",
    }
    for each in OPERATIONS[number::4]:
        for name in PART.findall(each.path):
            for kind, part in PARTS.items():
                path = PART.sub(lambda found: ({**fits, name: part})[found[1]], each.path)  # noqa: B023
                body = b'{"queue":"other","definition":{"image":"b"},"retention":"1h"}' if each.method != "GET" else b""
                status, said = await asked(hub, each.method, path, body)
                assert is_told(status, said), (each.name, name, kind, status, said[:300])
                if name != "path" and kind in REFUSED and each.name not in ("show", "job", "job_metaframe"):
                    assert status in (400, 404), (each.name, name, kind, status)


def cases(kind: type[Any]) -> Iterator[tuple[tuple[str, ...], Any, int | float | None]]:
    """Each member of a body with values at its bounds, beyond (and the bound that it breaks), and of other types."""
    for path, info in places(shape.type_info(kind)):
        inside = shape.type_info(Definition) if path == ("definition",) else None
        found = [(path, info)] if inside is None else [((*path, *inner), each) for inner, each in places(inside)]
        for place, each in found:
            options = each.types if isinstance(each, shape.UnionType) else (each,)
            edge = [pair for option in options for pair in edges(option)]
            yield from ((place, value, broken) for value, broken in edge if carried(value, binary=False))
            yield from ((place, value, None) for value in ODD)


def filled(each: Operation, place: tuple[str, ...], value: Any) -> dict[str, Any]:
    """A body that fits, but for one member."""
    if place[0] != "definition":
        made = with_value(each.body, place, value)  # type: ignore[arg-type]
        del made["type"]
        return {**made, "definition": {"image": "a"}} if "definition" in members(each) else made
    made = {"definition": {}}
    at: Any = made
    for name in place[:-1]:
        at = at.setdefault(name, {})
    at[place[-1]] = value
    return made


def members(each: Operation) -> set[str]:
    """The members of a body."""
    return {path[0] for path, _ in places(shape.type_info(each.body))}


@pytest.mark.parametrize("each", BODIES.values(), ids=lambda each: each.name)
async def test_every_member_of_a_body_is_held_to_its_range(hub: HubProcess, each: Operation) -> None:
    job = await with_a_job(hub)
    path = each.path.replace("{queue}", "ranges").replace("{id}", job)
    refused = 0
    async with aiohttp.ClientSession(hub.url) as session:
        for place, value, broken in cases(each.body):  # type: ignore[arg-type]
            async with session.request(
                each.method, path, data=io.BytesIO(json.dumps(filled(each, place, value)).encode())
            ) as answer:
                case = (".".join(place), str(value)[:60], answer.status, (await answer.text())[:300])
                assert is_told(answer.status, await answer.read()), case
                if broken is not None and not (place[-1] == "cpus" and value == 0) and "payload" not in place:
                    refused += 1
                    assert answer.status in (400, 413) or each.name == "validate", case
        for body in NOT_JSON:
            if body == b"{}" and each.name == "purge":
                continue  # it means all that has ended
            async with session.request(each.method, path, data=body) as answer:
                assert answer.status in (400, 413), (body[:20], await answer.text())
                assert (await answer.json())["error"]
        for half in (rb"\ud800", rb"x\udc00y", b"\xed\xa0\x80"):
            texts = {"queue": b'"%b"', "retention": b'"%b"', "definition": b'{"image":"%b"}', "older_than": b'"%b"'}
            name = next(name for name in texts if name in members(each))
            body = b'{"%b":%b}' % (name.encode(), texts[name] % half)
            async with session.request(each.method, path, data=body) as answer:
                assert answer.status == 400
                told = await answer.json()
                member = "definition.image" if name == "definition" else name
                assert (told["error"], told["field"]) == (half_characters.SAYS, member)
    assert refused


async def test_a_path_of_bytes_that_no_address_has_is_refused(hub: HubProcess) -> None:
    for part in ("é", "\ud800".encode("utf-8", "surrogatepass").decode("latin-1"), "\x01", "\x7f"):
        status, said = await asked(hub, "GET", f"/f/{part}")
        assert status == 400, part
        assert said
