"""Serves the JSON Schema of definitions, for editors and for programs that make jobs."""

from __future__ import annotations

from functools import cache
from typing import Any, Final

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from asman_shared.definition import Definition

SCHEMA_JSON: Final = "application/schema+json"
_DIALECT: Final = "https://json-schema.org/draft/2020-12/schema"


async def definition(_request: Request) -> Response:
    """Returns the JSON Schema of a job's definition.

    The schema describes the fields and their types; `validate` checks the further rules for a definition.
    """
    return Response(definition_schema(), media_type=SCHEMA_JSON)


@cache
def definition_schema() -> bytes:
    """Returns the schema as JSON."""
    made: dict[str, Any] = {
        "$schema": _DIALECT,
        "$id": "/schemas/definition.json",
        "title": "A job's definition",
        **msgspec.json.schema(Definition),
    }
    return msgspec.json.encode(made)
