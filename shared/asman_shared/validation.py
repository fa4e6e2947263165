"""Finds all faults of a definition, not only the first.

`definition_check.check` refuses a job at the first fault. Here each field is read and checked by itself, so that a
person who writes a job by hand sees all faults at once. A definition without faults here also passes that check.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import msgspec

from . import identity
from .definition import Definition, Requirements
from .definition_check import check
from .errors import AsmanError, BadDefinition, misfit, plainly
from .messages import Problem

_FILES = ("inputs", "configFiles")
PROBLEMS = 100
"""Largest number of reported problems."""


def inspect(value: dict[str, Any]) -> tuple[Definition | None, list[Problem]]:
    """Reads a definition from its JSON form.

    Args:
        value: The definition, as decoded from JSON.

    Returns:
        The definition, or None when there are problems; and the problems, each with the field at fault.
    """
    problems: list[Problem] = []
    for part in _parts(value):
        try:
            check(_read(part))
        except AsmanError as error:
            problems.append(Problem(error.field or "definition", error.message))
            if len(problems) == PROBLEMS:
                return None, problems
    if problems:
        return None, problems
    try:
        definition = _read(value)
        check(definition)
        identity.job_id(definition)
    except AsmanError as error:
        return None, [Problem(error.field or "definition", error.message)]
    return definition, []


def _parts(value: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Yields definitions with one field each, or one file, or one requirement."""
    for name, content in value.items():
        if name in _FILES and isinstance(content, dict):
            for key, ref in content.items():
                yield {name: {key: ref}}
        elif name == "requirements" and isinstance(content, dict):
            for key, need in content.items():
                yield {name: {key: need}}
        else:
            yield {name: content}


def _read(value: dict[str, Any]) -> Definition:
    for kind, part, where in (
        (Definition, value, "definition"),
        (Requirements, value.get("requirements"), "definition.requirements"),
    ):
        if isinstance(part, dict):
            for name in part.keys() - _names(kind):
                raise BadDefinition("a definition has no such field", field=f"{where}.{name[:80]}")
    try:
        return msgspec.convert(value, Definition)
    except (msgspec.ValidationError, RecursionError) as error:
        sentence, path = misfit(error)
        inner = path.replace("[...]", f".{_only_key(value)}") or next(iter(value), "")
        where = f"definition.{inner}".rstrip(".")
        raise BadDefinition(plainly(sentence), field=where) from None


def _names(kind: type[msgspec.Struct]) -> set[str]:
    return {field.encode_name for field in msgspec.structs.fields(kind)}


def _only_key(value: dict[str, Any]) -> str:
    """Returns the name in the map below the only field of a part, for the path of a fault."""
    content = next(iter(value.values()), None)
    return str(next(iter(content), ""))[:80] if isinstance(content, dict) else ""
