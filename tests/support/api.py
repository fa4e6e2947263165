"""Requests to a hub over plain HTTP, each answer held against the hub's own OpenAPI document."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import aiohttp
from jsonschema import Draft202012Validator

PATIENCE = aiohttp.ClientTimeout(total=30)


@dataclass
class Answered:
    """An answer: its status, headers, body, and the body as JSON when it is some."""

    status: int
    headers: dict[str, str]
    body: bytes
    json: Any

    @property
    def text(self) -> str:
        return self.body.decode()


class Api:
    """Requests to a hub over plain HTTP, each answer held against the hub's own OpenAPI document.

    Made by `opened_api`.

    Attributes:
        document: The OpenAPI document.
        called: The operations that were called, as (method, path of the document).
    """

    def __init__(self, url: str, session: aiohttp.ClientSession, document: dict[str, Any]) -> None:
        self.url = url
        self.session = session
        self.document = document
        self.called: set[tuple[str, str]] = set()

    def operation(self, method: str, path: str) -> tuple[str, dict[str, Any]]:
        """The documented path that a request's path is one of, and what is documented of the method."""
        for template, methods in self.document["paths"].items():
            pattern = re.sub(r"\\\{path\\\}", ".+", re.escape(template))
            pattern = re.sub(r"\\\{\w+\\\}", "[^/]+", pattern)
            if re.fullmatch(pattern, path) and method.lower() in methods:
                return template, methods[method.lower()]
        raise AssertionError(f"{method} {path} is not in the document")

    def check(self, method: str, path: str, status: int, media: str, value: Any) -> None:
        """Holds an answer against the document."""
        template, operation = self.operation(method, path)
        self.called.add((method, template))
        answer = operation["responses"].get(str(status))
        if answer is None:
            assert status >= 400, f"{method} {template} answered {status}, which is not documented"
            answer = operation["responses"]["default"]
        content = answer.get("content", {})
        if media and "*/*" not in content:
            assert media in [known.partition(";")[0] for known in content], f"{media} is not documented for {template}"
        schema = content.get("application/json", {}).get("schema")
        if schema is not None and media == "application/json":
            Draft202012Validator({**schema, "components": self.document["components"]}).validate(value)

    async def call(self, method: str, path: str, json: Any = None, **more: Any) -> Answered:
        """Makes a request and checks what is answered."""
        async with self.session.request(method, self.url + path, json=json, **more) as response:
            body = await response.read()
            media = response.content_type if body else ""
            value = await response.json() if media == "application/json" else None
            self.check(method, path.partition("?")[0], response.status, media, value)
            open_to_pages = None if path == "/metrics" else "*"
            assert response.headers.get("Access-Control-Allow-Origin") == open_to_pages
            return Answered(response.status, dict(response.headers), body, value)

    async def get(self, path: str, **more: Any) -> Answered:
        return await self.call("GET", path, **more)

    async def post(self, path: str, json: Any = None, **more: Any) -> Answered:
        return await self.call("POST", path, json, **more)

    async def short_name(self, queue: str) -> str:
        """Returns the name by which metrics show a queue."""
        found = re.search(
            r'asman_queue_jobs_queued{queue="(q-[0-9a-f]{8})"}', (await self.get(f"/q/{queue}/metrics")).text
        )
        assert found
        return found[1]

    async def submit(self, queue: str, image: str = "alpine", **more: Any) -> str:
        """Submits a job and returns its id."""
        answer = await self.post(f"/q/{queue}/jobs", {"definition": {"image": image}, **more})
        assert answer.status in (200, 201), answer.text
        return str(answer.json["job"]["id"])


@asynccontextmanager
async def opened_api(url: str) -> AsyncIterator[Api]:
    """Requests to the hub at a URL."""
    async with aiohttp.ClientSession(timeout=PATIENCE) as session:
        async with session.get(url + "/openapi.json") as response:
            document = await response.json()
        yield Api(url, session, document)
