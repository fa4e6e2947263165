"""An MCP client that is nothing but HTTP: it sends what a test says, in either era, and shows what came."""

from __future__ import annotations

import io
import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import aiohttp

from devtools.patience import PATIENCE

BOTH = "application/json, text/event-stream"
VERSION = "2026-07-28"
OLDER = "2025-11-25"
TASKS: dict[str, Any] = {"extensions": {"io.modelcontextprotocol/tasks": {}}}
NAMED = {"tools/call": "name", "prompts/get": "name", "resources/read": "uri"}


@dataclass
class Answer:
    """An HTTP answer: its status, headers, media type and messages, and the comments of its stream."""

    status: int
    headers: Mapping[str, str]
    media: str
    messages: list[dict[str, Any]]
    comments: list[str] = field(default_factory=list)

    @property
    def result(self) -> dict[str, Any]:
        assert "result" in self.messages[-1], self.messages[-1]
        found: dict[str, Any] = self.messages[-1]["result"]
        return found

    @property
    def error(self) -> dict[str, Any]:
        assert "error" in self.messages[-1], self.messages[-1]
        found: dict[str, Any] = self.messages[-1]["error"]
        return found

    @property
    def text(self) -> str:
        """The text that an agent reads."""
        return "\n".join(each["text"] for each in self.result["content"] if each["type"] == "text")

    @property
    def told(self) -> dict[str, Any]:
        found: dict[str, Any] = self.result["structuredContent"]
        return found


def read_events(text: str) -> tuple[list[dict[str, Any]], list[str]]:
    """The messages and the comments of a stream of server-sent events."""
    messages, comments = [], []
    for block in text.split("\n\n"):
        data = "\n".join(line[6:] for line in block.splitlines() if line.startswith("data: "))
        comments += [line[1:].strip() for line in block.splitlines() if line.startswith(":")]
        if data:
            messages.append(json.loads(data))
    return messages, comments


class Door:
    """The address of a queue's MCP server. Made by `opened_door`.

    Attributes:
        capabilities: The capabilities that every modern request states.
    """

    def __init__(self, session: aiohttp.ClientSession, url: str) -> None:
        self.session = session
        self.url = url
        self.capabilities: dict[str, Any] = {}
        self._ids = 0

    def message(self, method: str, params: dict[str, Any] | None = None, **meta: Any) -> dict[str, Any]:
        """A modern request; ``meta`` goes into its ``_meta``."""
        self._ids += 1
        own = {
            "io.modelcontextprotocol/protocolVersion": VERSION,
            "io.modelcontextprotocol/clientCapabilities": self.capabilities,
            **meta,
        }
        return {"jsonrpc": "2.0", "id": self._ids, "method": method, "params": {**(params or {}), "_meta": own}}

    @staticmethod
    def headers(message: dict[str, Any]) -> dict[str, str]:
        """The headers that go with a modern request."""
        made = {"MCP-Protocol-Version": VERSION, "Mcp-Method": message["method"], "Accept": BOTH}
        key = NAMED.get(message["method"])
        if key is not None:
            made["Mcp-Name"] = message["params"][key]
        return made

    async def send(self, body: Any, headers: dict[str, str]) -> Answer:
        """Sends a body as it is."""
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        async with self.session.post(self.url, data=io.BytesIO(data), headers=headers) as response:
            text = (await response.read()).decode()
            media = response.content_type
            if media == "text/event-stream":
                messages, comments = read_events(text)
            else:
                messages, comments = ([json.loads(text)] if text else []), []
            return Answer(response.status, response.headers, media, messages, comments)

    async def ask(self, method: str, params: dict[str, Any] | None = None, **meta: Any) -> Answer:
        """Sends a modern request."""
        message = self.message(method, params, **meta)
        return await self.send(message, self.headers(message))

    async def tool(self, name: str, meta: dict[str, Any] | None = None, **arguments: Any) -> Answer:
        """Calls a tool in the modern era."""
        return await self.ask("tools/call", {"name": name, "arguments": arguments}, **(meta or {}))

    async def older(
        self, method: str, params: dict[str, Any] | None = None, *, call_id: Any = 1, session: str = "", **more: str
    ) -> Answer:
        """Sends a request of the older era."""
        message = {"jsonrpc": "2.0", "id": call_id, "method": method, "params": params or {}}
        headers = {"Accept": BOTH, **more}
        if method != "initialize":
            headers["MCP-Protocol-Version"] = OLDER
        if session:
            headers["Mcp-Session-Id"] = session
        return await self.send(message, headers)

    async def begun(self) -> str:
        """Begins a session of the older era and returns its id."""
        client = {"name": "test", "version": "1"}
        answer = await self.older(
            "initialize", {"protocolVersion": OLDER, "capabilities": {}, "clientInfo": client}, call_id=0
        )
        assert answer.status == 200
        return answer.headers["Mcp-Session-Id"]


@asynccontextmanager
async def opened_door(queue_url: str) -> AsyncIterator[Door]:
    """The door of a queue."""
    timeout = aiohttp.ClientTimeout(total=PATIENCE)
    async with aiohttp.ClientSession(
        timeout=timeout, connector=aiohttp.TCPConnector(limit=0, force_close=True)
    ) as session:
        yield Door(session, f"{queue_url}/mcp")
