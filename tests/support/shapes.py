"""Whether what ``--json`` writes is what the schema says that is published for the command."""

from __future__ import annotations

from typing import Any

from jsonschema import Draft202012Validator

from asman.cli.json_schemas import schema_of


def holds(value: Any, command: str) -> None:
    """Fails unless a value is as the command's schema says, with no field that it does not know."""
    schema = schema_of(command)
    Draft202012Validator.check_schema(schema)
    Draft202012Validator(_closed(schema)).validate(value)


def _closed(schema: Any) -> Any:
    if isinstance(schema, list):
        return [_closed(each) for each in schema]
    if not isinstance(schema, dict):
        return schema
    made = {name: _closed(each) for name, each in schema.items()}
    if made.get("type") == "object" and "properties" in made:
        made["additionalProperties"] = False
    return made
