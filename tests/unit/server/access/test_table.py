"""The table of rights has a row for every operation, message, method and tool there is, and none for any other."""

from __future__ import annotations

from pathlib import Path
from typing import Any, get_args

import pytest
from starlette.routing import Route

from asman_server.access import ALL_RIGHTS, Access, Right
from asman_server.access import table as t
from asman_server.access.rights import DERIVED
from asman_server.access.shown import shown
from asman_server.app import make_app
from asman_server.config import HubConfig
from asman_server.dialect.incoming import _PAYLOADS
from asman_server.dialect.operations import OPERATIONS as DIALECT
from asman_server.hub import Hub
from asman_server.mcp.methods import LEGACY_METHODS, MODERN_METHODS
from asman_server.mcp.operations import OPERATIONS as MCP
from asman_server.mcp.tools import TOOLS
from asman_server.rest.guard import guarded
from asman_server.rest.operations import OPERATIONS as REST
from asman_server.sessions import client, worker
from asman_server.tes.operations import OPERATIONS as TES
from asman_shared.definition import Build, DataRef, Definition, Requirements
from asman_shared.errors import Forbidden
from asman_shared.keys.derived import KeyKind
from asman_shared.messages import ClientMessage, WorkerMessage
from scripts import rights_docs

OPERATIONS = [*REST, *MCP, *TES, *DIALECT]


def tags(union: Any) -> set[str]:
    return {str(kind.__struct_config__.tag) for kind in get_args(union)}


def test_every_operation_has_a_row_and_every_row_an_operation() -> None:
    names = [each.name for each in OPERATIONS]
    assert len(set(names)) == len(names)
    assert {*names, "openapi"} == set(t.REQUESTS)


def test_every_route_of_the_hub_is_one_of_the_operations(tmp_path: Path) -> None:
    app = make_app(Hub(HubConfig(data_dir=tmp_path)))
    routes = [route for route in app.routes if isinstance(route, Route) and route.methods != {"OPTIONS"}]
    known = {(each.method, each.path) for each in OPERATIONS} | {("GET", "/openapi.json")}
    assert {(method, route.path) for route in routes for method in route.methods or () if method != "HEAD"} == known
    assert len(app.routes) == len(routes) + 1


def test_the_page_about_keys_has_the_table() -> None:
    assert rights_docs.FILE.read_text() == rights_docs.document(), "run: python -m scripts.rights_docs"


def test_an_operation_that_names_a_queue_needs_a_key_to_it() -> None:
    for each in OPERATIONS:
        assert ("{queue}" in each.path) is (t.REQUESTS[each.name] is not None), each.name


def test_an_operation_without_a_row_can_not_be_served() -> None:
    with pytest.raises(LookupError, match="'forgotten' has no row"):
        guarded("forgotten", lambda _request: None)  # type: ignore[arg-type,return-value]


def test_every_message_of_native_clients_and_workers_has_a_row_that_its_session_uses() -> None:
    assert tags(ClientMessage) == set(t.CLIENT_MESSAGES)
    assert tags(WorkerMessage) == set(t.WORKER_MESSAGES)
    for union, rows, needs in (
        (ClientMessage, t.CLIENT_MESSAGES, client.NEEDS),
        (WorkerMessage, t.WORKER_MESSAGES, worker.NEEDS),
    ):
        for kind in get_args(union):
            assert needs[kind] == rows[kind.__struct_config__.tag]
    assert set(client.NEEDS) == set(client._TAKES), "whatever a session takes is checked"
    assert set(worker.NEEDS) == set(worker._TAKES)


def test_a_message_without_a_row_can_not_be_taken() -> None:
    rows = {tag: needs for tag, needs in t.CLIENT_MESSAGES.items() if tag != "explain"}
    with pytest.raises(LookupError, match="explain"):
        t.needs_of(ClientMessage, rows)


def test_every_message_of_the_dialect_that_is_read_has_a_row() -> None:
    assert set(_PAYLOADS) <= {*t.DIALECT_CLIENT_MESSAGES, *t.DIALECT_WORKER_MESSAGES}


def test_every_method_and_tool_of_mcp_has_a_row() -> None:
    assert {*MODERN_METHODS, *LEGACY_METHODS} == set(t.MCP_METHODS)
    assert set(TOOLS) == set(t.MCP_TOOLS)


def test_only_the_name_of_a_queue_owns_it() -> None:
    assert set(DERIVED) == set(KeyKind)
    assert all(Right.OWN not in rights for rights in DERIVED.values())
    with pytest.raises(Forbidden, match="only the queue's name does"):
        Access("q", DERIVED[KeyKind.SUBMIT_READ]).need(Right.OWN)


def test_a_websocket_is_opened_by_any_of_its_rights() -> None:
    for kind, rights in t.SOCKETS.items():
        for right in Right:
            access = Access("q", frozenset({right}))
            if right in rights:
                t.open_socket(access, kind)
            else:
                with pytest.raises(Forbidden, match=f"'{rights[0]}'"):
                    t.open_socket(access, kind)


WHOLE = Definition(
    image="alpine",
    command="echo $TOKEN",
    env={"TOKEN": "secret", "MODE": "fast"},
    inputs={"a": DataRef("text")},
    entrypoint="sh",
    workdir="/here",
    tags=["gpu"],
    requirements=Requirements(cpus=2),
)


@pytest.mark.parametrize("rights", [ALL_RIGHTS, DERIVED[KeyKind.SUBMIT_READ]], ids=["name", "submit+read"])
def test_who_submits_and_reads_sees_whole_definitions(rights: frozenset[Right]) -> None:
    assert shown(WHOLE, Access("q", rights)) is WHOLE


def test_who_only_reads_sees_image_command_and_the_names_of_variables() -> None:
    seen = shown(WHOLE, Access("q", DERIVED[KeyKind.READ]))
    assert seen == Definition(image="alpine", command="echo $TOKEN", env={"TOKEN": "", "MODE": ""})
    built = Definition(build=Build(context="https://token@git.example/r"), command="x")
    assert shown(built, Access("q", DERIVED[KeyKind.READ])) == Definition(command="x")
