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
from asman_shared.address import OLDER_NAME, QUEUE_KEY
from asman_shared.errors import (
    AsmanError,
    BadRequest,
    Forbidden,
    NotFound,
    Overloaded,
    TooLarge,
    TooSlow,
    Unavailable,
)

from .. import __version__
from ..blobs.named_files import name_pattern
from .operations import JSON, Answer, Operation, Parameter
from .types import Problems

PATH: Final = "/openapi.json"
_PART = re.compile(r"\{(\w+)(?::\w+)?\}")
_SHAPES: Final[dict[str, dict[str, Any]]] = {
    "id": {"type": "string", "pattern": "^[0-9a-f]{64}$"},
    "sha256": {"type": "string", "pattern": "^[0-9a-f]{64}$"},
    "queue": {"type": "string", "pattern": f"^({QUEUE_KEY}|{OLDER_NAME})$"},
    "path": {"type": "string", "maxLength": limits.PATH_LENGTH},
    "name": {"type": "string", "minLength": 1, "maxLength": limits.NAME_LENGTH, "pattern": name_pattern()},
    "namespace": {"type": "string", "minLength": 1, "maxLength": limits.LABEL_LENGTH},
    "worker": {"type": "string", "minLength": 1, "maxLength": limits.LABEL_LENGTH},
}
_SAYS: Final = {
    "id": "the job's id",
    "sha256": "the blob's name",
    "queue": "the queue's name, an older name of it, or a key to it; anyone who has it can use the queue",
    "path": "a path; it may contain slashes",
    "name": "a sha256 (a suffix such as `.png` may follow), or another plain name without slashes or a dot first",
    "worker": "the worker's id or name, as `/workers` shows them",
    "namespace": "the slot that holds the job; `*` for all",
}

_HEAD: Final = Answer(f"the request line and headers have more than {limits.HEADER_LENGTH} bytes; the body is empty")


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
        "parameters": [*_path_parameters(each), *map(_parameter, each.parameters)],
        "responses": {str(status): _answer(answer, refs) for status, answer in documented_answers(each).items()},
    }
    made["responses"]["default"] = _answer(Answer("what went wrong", Problems), refs)
    if each.body is not None:
        schema = {} if each.body is bytes else refs[each.body]
        made["requestBody"] = {"required": True, "content": {each.body_media: {"schema": schema}}}
    return made


def documented_answers(each: Operation) -> dict[int, Answer]:
    """Returns all answers of an operation by status: those of the table, then its errors.

    Any operation may also answer 500, for an error in the hub or in its set-up: `default` stands for it.
    """
    errors: list[type[AsmanError]] = [Forbidden, *each.errors]  # a hub on a user's own machine refuses strange pages
    in_path = _PART.findall(each.path)
    if in_path:
        errors.append(NotFound)
        if each.tag != "page":  # the parts of the path are read, and the database is asked
            errors += [BadRequest, Unavailable]
    if "queue" in in_path or each.body is not None or each.tag == "dialect":  # a queue is loaded, or bytes are kept
        errors.append(Overloaded)
    if each.body is not None:
        errors += [TooLarge, TooSlow]
    refused = {error.status: _refusal(error) for error in sorted(errors, key=lambda error: error.status)}
    return {**each.answers, **{status: it for status, it in refused.items() if status not in each.answers}, 431: _HEAD}


def _refusal(error: type[AsmanError]) -> Answer:
    headers = {"Retry-After": "seconds after which to try again"} if error.retry else {}
    return Answer((error.__doc__ or "").partition("\n")[0], Problems, headers=headers)


def _path_parameters(each: Operation) -> list[dict[str, Any]]:
    return [
        {
            "name": name,
            "in": "path",
            "required": True,
            "description": _SAYS[name],
            "schema": each.shapes.get(name) or _SHAPES[name],
        }
        for name in _PART.findall(each.path)
    ]


def _parameter(each: Parameter) -> dict[str, Any]:
    one = each.schema or {"type": "string"}
    schema = {"type": "array", "items": one} if each.many else one
    return {"name": each.name, "in": each.place, "description": each.says, "schema": schema}


def _answer(answer: Answer, refs: dict[type, dict[str, Any]]) -> dict[str, Any]:
    content: dict[str, Any] = {media: {} for media in answer.media}
    if answer.body is not None:
        content[JSON] = {"schema": refs[answer.body]}
    headers = {
        name: {"description": says, "required": True, "schema": {"type": "string"}}
        for name, says in answer.headers.items()
    }
    made: dict[str, Any] = {"description": answer.says, "headers": headers, "content": content}
    return {name: value for name, value in made.items() if value}
