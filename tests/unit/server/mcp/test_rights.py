"""The list of tools shows what a key may do, and nothing else."""

from __future__ import annotations

import pytest

from asman_server.access import ALL_RIGHTS, Access, Right
from asman_server.mcp.tools import TOOLS, listed

READING = {"status", "wait", "logs", "outputs", "explain", "list"}
SHOWN = {
    frozenset({Right.READ}): READING,
    frozenset({Right.SUBMIT}): {"submit", "cancel"},
    frozenset({Right.READ, Right.SUBMIT}): READING | {"submit", "cancel"},
    frozenset({Right.WORK}): set(),
    ALL_RIGHTS: set(TOOLS),
}


@pytest.mark.parametrize("rights", SHOWN, ids=lambda rights: "+".join(sorted(rights)))
def test_a_key_is_shown_the_tools_that_it_may_use(rights: frozenset[Right]) -> None:
    assert {each["name"] for each in listed(Access("q", rights))["tools"]} == SHOWN[rights]


def test_where_nothing_names_a_queue_every_tool_asks_for_it_first() -> None:
    plain = {each["name"]: each["inputSchema"] for each in listed(Access("q", ALL_RIGHTS))["tools"]}
    for each in listed(Access("", ALL_RIGHTS), names_queue=True)["tools"]:
        schema = each["inputSchema"]
        assert next(iter(schema["properties"])) == "queue"
        assert schema["required"] == ["queue", *plain[each["name"]].get("required", [])]
        assert "queue" not in plain[each["name"]]["properties"]
