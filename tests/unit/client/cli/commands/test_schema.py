"""Schemas of ``--json`` from the command line."""

from __future__ import annotations

import json

from jsonschema import Draft202012Validator

from asman.cli.json_schemas import SHAPES
from tests.unit.client.cli.running import Run


async def test_the_schema_of_one_command_names_it(run: Run) -> None:
    ended = await run("schema", "job", "list")
    found = json.loads(ended.out)
    assert (ended.code, found["title"]) == (0, "asman job list --json")
    Draft202012Validator.check_schema(found)


async def test_without_a_command_they_are_all_there(run: Run) -> None:
    assert set(json.loads((await run("schema")).out)) == set(SHAPES)


async def test_a_command_without_a_schema_is_refused_with_those_that_have_one(run: Run) -> None:
    ended = await run("schema", "sing")
    assert ended.code != 0
    assert "no schema for 'sing'" in ended.err
    assert "job list" in ended.err
