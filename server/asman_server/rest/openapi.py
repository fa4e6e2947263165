"""Builds the OpenAPI document (3.1) from the table of addresses and the types of their bodies and answers."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterable
from typing import Any, Final

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from asman_shared import limits
from asman_shared.address import QUEUE_NAME

from .. import __version__
from .operations import JSON, Answer, Operation, Parameter
from .types import Problems

PATH: Final = "/openapi.json"
_PART = re.compile(r"\{(\w+)(?::\w+)?\}")
_SHAPES: Final[dict[str, dict[str, Any]]] = {
    "id": {"type": "string", "pattern": "^[0-9a-f]{64}([.]json)?$"},
    "sha256": {"type": "string", "pattern": "^[0-9a-f]{64}$"},
    "queue": {"type": "string", "pattern": f"^{QUEUE_NAME}$"},
    "path": {"type": "string", "maxLength": limits.PATH_LENGTH},
    "name": {"type": "string", "minLength": 1, "maxLength": limits.NAME_LENGTH},
    "namespace": {"type": "string", "minLength": 1, "maxLength": limits.LABEL_LENGTH},
}
_SAYS: Final = {
    "id": "the job's id",
    "sha256": "the blob's name",
    "queue": "the queue's name; anyone who has it can use the queue",
    "path": "a path; it may contain slashes",
    "name": "a sha256 (a suffix such as `.png` may follow), or another plain name without slashes or a dot first",
    "namespace": "the slot that holds the job; `*` for all",
}


async def openapi(request: Request) -> Response:
    """Returns this OpenAPI document."""
    return Response(request.app.state.openapi(), media_type=JSON)


def document(operations: Iterable[Operation]) -> bytes:
    """Returns the document of the given operations, and of its own address, as JSON."""
    operations = (
        *operations,
        Operation("GET", PATH, openapi, "openapi", "hub", {200: Answer("this document", media=(JSON,))}),
    )
    refs, schemas = _schemas(operations)
    paths: dict[str, dict[str, Any]] = {}
    for each in operations:
        paths.setdefault(_PART.sub(r"{\1}", each.path), {})[each.method.lower()] = _operation(each, refs)
    return msgspec.json.encode(
        {
            "openapi": "3.1.0",
            "info": {
                "title": "Asman hub",
                "version": __version__,
                "description": "Compute queues: a job is a URL, a queue is a URL, a worker is one command.",
                "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
            },
            "paths": paths,
            "components": {"schemas": schemas},
        }
    )


def _schemas(operations: Iterable[Operation]) -> tuple[dict[type, dict[str, Any]], dict[str, Any]]:
    """Returns a reference for each type of a body or answer, and the schemas of these types and their members."""
    types: dict[type, None] = {Problems: None}
    for each in operations:
        bodies = [each.body, *(answer.body for answer in each.answers.values())]
        types |= {body: None for body in bodies if body is not None and body is not bytes}
    found, schemas = msgspec.json.schema_components(types, ref_template="#/components/schemas/{name}")
    return dict(zip(types, found, strict=True)), schemas


def _operation(each: Operation, refs: dict[type, dict[str, Any]]) -> dict[str, Any]:
    text = inspect.getdoc(each.endpoint) or ""
    made: dict[str, Any] = {
        "operationId": each.name,
        "tags": [each.tag],
        "summary": text.partition("\n")[0],
        "description": text,
        "parameters": [*_path_parameters(each.path), *map(_parameter, each.parameters)],
        "responses": {str(status): _answer(answer, refs) for status, answer in each.answers.items()},
    }
    made["responses"]["default"] = _answer(Answer("what went wrong", Problems), refs)
    if each.body is not None:
        schema = {} if each.body is bytes else refs[each.body]
        made["requestBody"] = {"required": True, "content": {each.body_media: {"schema": schema}}}
    return made


def _path_parameters(path: str) -> list[dict[str, Any]]:
    return [
        {
            "name": name,
            "in": "path",
            "required": True,
            "description": _SAYS[name],
            "schema": _SHAPES.get(name, {"type": "string"}),
        }
        for name in _PART.findall(path)
    ]


def _parameter(each: Parameter) -> dict[str, Any]:
    one = each.schema or {"type": "string"}
    schema = {"type": "array", "items": one} if each.many else one
    return {"name": each.name, "in": each.place, "description": each.says, "schema": schema}


def _answer(answer: Answer, refs: dict[type, dict[str, Any]]) -> dict[str, Any]:
    content: dict[str, Any] = {media: {} for media in answer.media}
    if answer.body is not None:
        content[JSON] = {"schema": refs[answer.body]}
    return {"description": answer.says, **({"content": content} if content else {})}
