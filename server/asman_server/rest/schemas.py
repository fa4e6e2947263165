"""JSON Schemas of what people write by hand, for editors and for programs that make jobs."""

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
    """The JSON Schema of a job's definition.

    It says which fields there are and of which types; what more is asked of a definition, `validate` tells.
    """
    return Response(definition_schema(), media_type=SCHEMA_JSON)


@cache
def definition_schema() -> bytes:
    """The schema as JSON."""
    made: dict[str, Any] = {
        "$schema": _DIALECT,
        "$id": "/schemas/definition.json",
        "title": "A job's definition",
        **msgspec.json.schema(Definition),
    }
    return msgspec.json.encode(made)
