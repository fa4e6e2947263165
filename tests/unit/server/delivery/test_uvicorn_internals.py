"""A canary for upgrades: the hub's transport builds on internals of uvicorn and websockets, and each is named here.

uvicorn promises nothing about these names, so ``pyproject.toml`` bounds its version. Raising that bound means: run this
file, read what it says is gone, and change the transport before anything else.
"""

from __future__ import annotations

import ast
import asyncio
import inspect
import re
import textwrap
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest
import uvicorn
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol, RequestResponseCycle
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from uvicorn.server import ServerState
from websockets.protocol import State
from websockets.server import ServerProtocol

from asman_server.delivery import http_transport, transport

ROOT = Path(__file__).parents[4]
WEBSOCKET_ATTRIBUTES = {
    "close_sent", "close_timer", "conn", "curr_msg_data_type", "disconnected", "frames", "handshake_complete",
    "initial_response", "loop", "pending_ping_payload", "pong_timer", "queue", "read_paused", "transport", "writable",
}  # fmt: skip
"""Attributes that an instance has from its making on."""
WEBSOCKET_LATER = {"request", "response", "scope"}
"""Attributes that ``handle_connect`` sets."""
WEBSOCKET_METHODS = {
    "connection_lost": ["exc"],
    "data_received": ["data"],
    "handle_close": ["event"],
    "handle_connect": ["event"],
    "handle_parser_exception": [],
    "keepalive_timeout": [],
    "pause_writing": [],
    "resume_writing": [],
    "schedule_ping": [],
    "send": ["message"],
    "send_receive_event_to_app": [],
    "shutdown": [],
    "stop_keepalive": [],
}
HTTP_ATTRIBUTES = {"client", "cycle", "flow", "loop", "parser", "pipeline", "server_state", "transport"}
"""Attributes that an instance has from its making on."""
HTTP_LATER = {"headers", "url"}
"""Attributes that ``on_message_begin`` sets."""
HTTP_METHODS = {
    "_unset_keepalive_if_required": [],
    "_start_asgi_task": ["cycle", "app"],
    "connection_lost": ["exc"],
    "connection_made": ["transport"],
    "data_received": ["data"],
    "handle_websocket_upgrade": [],
    "on_body": ["body"],
    "on_headers_complete": [],
    "on_message_begin": [],
    "on_message_complete": [],
    "on_response_complete": [],
}
CYCLE_NAMES = {
    "default_headers", "disconnected", "keep_alive", "on_response", "response_complete", "response_started", "scope",
}  # fmt: skip
"""Attributes of a request and its answer that the transport uses."""
CALLED_FROM_OUTSIDE = {
    "connection_lost", "connection_made", "data_received", "pause_writing", "resume_writing",  # asyncio
    "on_body", "on_headers_complete", "on_message_begin", "on_message_complete",  # httptools
    "shutdown",  # uvicorn's server
}  # fmt: skip
"""Overridden methods that no method of the same class calls."""
CONNECTION_NAMES = {"current_size", "reader", "close_sent", "data_to_send", "send_close", "state"}
"""Names that the transport uses of websockets' `ServerProtocol`, which is public."""


@pytest.fixture
def loop() -> Iterator[asyncio.AbstractEventLoop]:
    made = asyncio.new_event_loop()
    yield made
    made.close()


def made(kind: type[Any], loop: asyncio.AbstractEventLoop) -> Any:
    """An instance as uvicorn makes one, without a connection."""
    return kind(uvicorn.Config(_application, log_config=None, lifespan="off"), ServerState(), {}, loop)


async def _application(scope: Any, receive: Any, send: Any) -> None:
    raise AssertionError("no connection is made here")


def gone(thing: object, names: set[str]) -> list[str]:
    """One sentence for each attribute that an upgrade took away."""
    owner = type(thing).__name__
    return [
        f"{owner} has no attribute '{name}' any more, which asman_server.delivery.transport uses: change the transport"
        for name in sorted(names)
        if not hasattr(thing, name)
    ]


def changed(kind: type[Any], methods: dict[str, list[str]]) -> list[str]:
    """One sentence for each method that is gone or takes other parameters."""
    sentences = []
    for name, wanted in sorted(methods.items()):
        method = getattr(kind, name, None)
        found = None if method is None else list(inspect.signature(method).parameters)[1:]
        if found != wanted:
            sentences.append(
                f"{kind.__name__}.{name} takes {found} and not {wanted}; asman_server.delivery.transport overrides or "
                "calls it: change the transport"
            )
    return sentences


def used(kind: type[Any], *receivers: str) -> set[str]:
    """The names that the methods of a class use of any of these expressions."""
    tree = ast.parse(textwrap.dedent(inspect.getsource(kind)))
    return {
        node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute) and ast.unparse(node.value) in receivers
    }


def inherited(kind: type[Any]) -> set[str]:
    """The names that one of the transport's protocols uses or overrides of its base in uvicorn."""
    own = {name for name in {**vars(kind), **kind.__annotations__} if not hasattr(kind.__mro__[1], name)} | {"writer"}
    overridden = {name for name in vars(kind) if hasattr(kind.__mro__[1], name) and not name.startswith("__")}
    return (used(kind, "self") | overridden) - own


def test_no_attribute_of_uvicorns_websocket_protocol_is_gone(loop: asyncio.AbstractEventLoop) -> None:
    protocol = made(WebSocketsSansIOProtocol, loop)
    assert gone(protocol, WEBSOCKET_ATTRIBUTES) == []
    assert gone(protocol.conn, CONNECTION_NAMES) == []
    assert isinstance(protocol.conn, ServerProtocol)
    assert protocol.conn.state is State.CONNECTING


def stored(method: Any) -> set[str]:
    """The names of the attributes that a method sets."""
    source = ast.parse(textwrap.dedent(inspect.getsource(method)))
    return {
        node.attr for node in ast.walk(source) if isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store)
    }


def test_connecting_sets_what_the_transport_forgets_later() -> None:
    found = stored(WebSocketsSansIOProtocol.handle_connect)
    assert found >= WEBSOCKET_LATER, f"handle_connect of uvicorn sets {sorted(found)}: change the transport"


def test_a_request_begins_with_what_the_transport_measures() -> None:
    found = stored(HttpToolsProtocol.on_message_begin)
    assert found >= HTTP_LATER, f"on_message_begin of uvicorn sets {sorted(found)}: change the transport"


def test_no_attribute_of_uvicorns_http_protocol_is_gone(loop: asyncio.AbstractEventLoop) -> None:
    assert gone(made(HttpToolsProtocol, loop), HTTP_ATTRIBUTES) == []


def test_a_request_has_all_that_an_answer_at_once_needs() -> None:
    assert stored(RequestResponseCycle.__init__) >= CYCLE_NAMES
    assert used(http_transport.HubHttpProtocol, "cycle") == CYCLE_NAMES
    assert STATUS_LINE[200] == b"HTTP/1.1 200 OK\r\n"


@pytest.mark.parametrize(
    ("kind", "methods"), [(WebSocketsSansIOProtocol, WEBSOCKET_METHODS), (HttpToolsProtocol, HTTP_METHODS)]
)
def test_every_method_is_there_takes_the_same_and_is_called(kind: type[Any], methods: dict[str, list[str]]) -> None:
    assert changed(kind, methods) == []
    calls = used(kind, "self")
    for name in methods.keys() - CALLED_FROM_OUTSIDE:
        assert name in calls, f"uvicorn's {kind.__name__} no longer calls {name}: what overrides it is dead"


@pytest.mark.parametrize("name", ["queue", "writable"])
def test_the_small_stand_ins_have_all_that_uvicorn_calls(name: str, loop: asyncio.AbstractEventLoop) -> None:
    stand_in = getattr(made(transport.HubWebSocketProtocol, loop), name)
    original = getattr(made(WebSocketsSansIOProtocol, loop), name)
    assert type(stand_in) is not type(original)
    calls = used(WebSocketsSansIOProtocol, f"self.{name}")
    assert calls, f"uvicorn no longer uses self.{name}"
    assert gone(stand_in, calls) == []


def test_the_lists_above_name_all_that_the_transport_uses() -> None:
    websocket = inherited(transport.HubWebSocketProtocol) | used(transport.FrameWriter, "protocol", "self._protocol")
    assert websocket == WEBSOCKET_ATTRIBUTES | WEBSOCKET_LATER | WEBSOCKET_METHODS.keys()
    assert inherited(http_transport.HubHttpProtocol) == HTTP_ATTRIBUTES | HTTP_LATER | HTTP_METHODS.keys()
    connection = used(transport.HubWebSocketProtocol, "self.conn") | used(transport.FrameWriter, "protocol.conn")
    assert connection == CONNECTION_NAMES


class _Renamed:
    """A protocol after an upgrade that renamed everything."""

    def keepalive_timeout(self, seconds: float) -> None:
        raise AssertionError(seconds)


def test_what_an_upgrade_takes_away_is_said_in_a_sentence() -> None:
    (sentence,) = gone(_Renamed(), {"read_paused"})
    assert sentence.startswith("_Renamed has no attribute 'read_paused' any more")
    both = changed(_Renamed, {"keepalive_timeout": [], "schedule_ping": []})
    assert [text.split(";")[0] for text in both] == [
        "_Renamed.keepalive_timeout takes ['seconds'] and not []",
        "_Renamed.schedule_ping takes None and not []",
    ]


@pytest.mark.parametrize("package", ["uvicorn", "websockets"])
def test_the_version_that_is_installed_is_within_the_bounds_that_are_declared(package: str) -> None:
    declared = re.search(rf'"{package}>=([\d.]+),<([\d.]+)"', (ROOT / "pyproject.toml").read_text())
    assert declared is not None, f"pyproject.toml does not bound {package} above"
    lower, upper = (tuple(map(int, bound.split("."))) for bound in declared.groups())
    assert lower <= tuple(map(int, version(package).split(".")))[: len(upper)] < upper
