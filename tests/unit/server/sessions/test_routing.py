"""The session that each websocket path reaches."""

from __future__ import annotations

from typing import Any

import pytest
from starlette.types import Message, Receive, Scope, Send
from starlette.websockets import WebSocket

from asman_server.sessions.routing import WebSocketRouter


async def served(kind: str, path: str) -> list[tuple[str, Any]]:
    """Returns the handlers that a path calls, with their queues."""
    called: list[tuple[str, Any]] = []

    async def app(scope: Scope, _receive: Receive, _send: Send) -> None:
        called.append(("app", scope.get("path_params")))

    async def client(websocket: WebSocket) -> None:
        called.append(("client", websocket.path_params["queue"]))

    async def worker(websocket: WebSocket) -> None:
        called.append(("worker", websocket.path_params["queue"]))

    async def receive() -> Message:
        raise AssertionError("nothing is read here")

    async def send(_message: Message) -> None:
        raise AssertionError("nothing is said here")

    door = WebSocketRouter(app, {"client": client, "worker": worker})
    await door({"type": kind, "path": path}, receive, send)
    return called


@pytest.mark.parametrize(
    ("path", "goes_to"),
    [
        ("/q/abc/client", ("client", "abc")),
        ("/abc/client", ("client", "abc")),
        ("/q/a b/worker", ("worker", "a b")),
        ("/q/client", ("client", "q")),
        ("/q/q/worker", ("worker", "q")),
    ],
)
async def test_a_websocket_of_a_queue_goes_to_its_session(path: str, goes_to: tuple[str, str]) -> None:
    assert await served("websocket", path) == [goes_to]


@pytest.mark.parametrize(
    "path", ["/", "/client", "/q/a/b/client", "/q//client", "/q/a/client/", "/q/a/other", "q/a/client"]
)
async def test_any_other_websocket_goes_to_the_routes(path: str) -> None:
    assert [who for who, _ in await served("websocket", path)] == ["app"]


@pytest.mark.parametrize("kind", ["http", "lifespan"])
async def test_all_else_goes_to_the_routes(kind: str) -> None:
    assert await served(kind, "/q/abc/client") == [("app", None)]
