"""Reads the whole log of a job in each of the dialect's forms."""

from __future__ import annotations

import asyncio
import json
from typing import Any

from tests.support.api import Api


def joined(logs: list[list[Any]]) -> str:
    return "".join(log[0] for log in logs)


async def slices(api: Api, path: str) -> list[list[Any]]:
    """All slices of a log."""
    found: list[list[Any]] = []
    since = 0
    while (page := (await api.get(f"{path}?since={since}")).json)["data"]:
        found += page["data"]
        since = page["nextCursor"]
    assert page["isFinal"]
    return found


async def streamed(api: Api, path: str, kind: str) -> list[list[Any]]:
    """The lines of a kind in a finished job's event stream."""
    return [line for told, data in await events(api, path) if told == kind for line in data["lines"]]


async def result_of(api: Api, base: str) -> dict[str, Any]:
    """The result of a finished job at an address."""
    result: dict[str, Any] = (await api.get(f"{base}/result.json")).json["data"]["finished"]["result"]
    return result


async def events(api: Api, path: str, until: asyncio.Event | None = None) -> list[tuple[str, Any]]:
    """The events of a job's stream until it ends; ``until`` is set once it has begun."""
    found: list[tuple[str, Any]] = []
    async with api.session.get(api.url + path) as answer:
        assert answer.status == 200
        assert answer.content_type == "text/event-stream"
        body = b""
        async for chunk in answer.content.iter_any():
            body += chunk
            assert b"\r" not in body
            if until is not None:
                until.set()
    for frame in body.decode().split("\n\n"):
        fields = dict(line.split(": ", 1) for line in frame.split("\n") if line and not line.startswith(":"))
        if "data" in fields:
            found.append((fields["event"], json.loads(fields["data"])))
    return found
