"""Everything that comes from outside has a least and a greatest value (`asman_shared.ranges`)."""

from __future__ import annotations

from typing import Any, get_args

import pytest
from msgspec import Struct
from msgspec import inspect as shape

from asman_server.dialect import incoming
from asman_server.dialect import operations as dialect
from asman_server.mcp.tools import TOOLS
from asman_server.rest import operations as rest
from asman_server.tes import operations as tes
from asman_shared import messages
from asman_shared.definition import Definition
from devtools.bounded import unbounded

FREE = {
    ("Validate", "definition"): "its faults are the answer; the frame is its bound",
    ("ValidateBody", "definition"): "its faults are the answer; the body is its bound",
}
"""Members that may hold any object."""

OPERATIONS = (*rest.OPERATIONS, *tes.OPERATIONS, *dialect.OPERATIONS)
BODIES = {each.body for each in OPERATIONS if each.body is not None and each.body is not bytes}
TYPES: set[type[Any]] = {
    *get_args(messages.ClientMessage),
    *get_args(messages.WorkerMessage),
    *BODIES,
    *(tool.arguments for tool in TOOLS.values()),
    Definition,
    incoming.StateChange,
    incoming.Query,
    incoming.Registration,
    incoming.Logs,
    incoming.Wanted,
    incoming.Envelope,
}


class Loose(Struct):
    number: int
    text: str
    several: list[bool]


def places(kind: type[Any]) -> list[str]:
    found = sorted(set(unbounded(shape.type_info(kind))))
    return [place for place in found if (kind.__name__, place.removesuffix(".keys()")) not in FREE]


@pytest.mark.parametrize("kind", sorted(TYPES, key=str))
def test_every_number_text_and_list_from_outside_has_bounds(kind: type[Any]) -> None:
    assert places(kind) == []


def test_a_member_without_bounds_is_found() -> None:
    assert places(Loose) == ["number", "several", "text"]


@pytest.mark.parametrize("each", OPERATIONS, ids=lambda each: f"{each.method} {each.path}")
def test_every_parameter_of_the_query_has_bounds(each: rest.Operation) -> None:
    for parameter in each.parameters:
        schema = parameter.schema or {}
        bounds = {"minimum", "maximum"} if schema.get("type") == "integer" else {"maxLength"}
        assert "enum" in schema or schema.keys() >= bounds, parameter.name
