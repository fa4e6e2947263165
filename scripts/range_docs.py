"""Write the ranges into docs/errors.md: the least and greatest of everything that comes from outside.

usage: python -m scripts.range_docs [--check]
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final, get_args

from msgspec import inspect as shape

from asman_server.mcp.tools import TOOLS
from asman_server.rest import types as rest_types
from asman_server.rest.operations import OPERATIONS
from asman_server.tes.operations import OPERATIONS as TES
from asman_server.tes.task import Task
from asman_shared import messages
from asman_shared.definition import Definition
from devtools.bounded import in_meta_words, taken_apart

from .generated_page import write_or_check
from .protocol_docs import in_words, number_in_words, tag_of, text_in_words

FILE: Final = Path(__file__).resolve().parent.parent / "docs" / "errors.md"
MARK: Final = "<!-- From here on: made by `python -m scripts.range_docs`; a test says when it is not current. -->\n"
"""Divides the page: the text above is written by hand."""

_PARTS: Final = (
    ("Job definitions", (Definition,)),
    ("Messages of clients", get_args(messages.ClientMessage)),
    ("Messages of workers", get_args(messages.WorkerMessage)),
    ("Bodies of requests over HTTP", (rest_types.SubmitBody, rest_types.SettingsBody)),
)
_TASK: Final = "Tasks of TES"
_TOOLS: Final = "Arguments of MCP tools"
_TYPE_LINK: Final = re.compile(r"\[(`\w+`)\]\(#\w+\)")
_ELSEWHERE: Final = (Definition,)
"""Types that have a table of their own."""


def document() -> str:
    """Returns the whole page, with the present text by hand."""
    by_hand = FILE.read_text().partition(MARK)[0]
    return by_hand + MARK + "".join(_tables()).replace("](#", "](protocol.md#")


def _tables() -> Iterator[str]:
    for title, kinds in _PARTS:
        yield f"\n### {title}\n\n| field | range |\n|---|---|\n"
        for kind in kinds:
            prefix = "" if kind in rest_types.__dict__.values() else f"{tag_of(kind)}."
            name = "definition." if kind is Definition else prefix
            yield from _rows(shape.type_info(kind), name, top=True)
    yield f"\n### {_TASK}\n\n| member | range |\n|---|---|\n"
    for row in _rows(shape.type_info(Task), "", top=True):
        yield _TYPE_LINK.sub(r"\1", row)
    yield f"\n### {_TOOLS}\n\n| argument | range |\n|---|---|\n"
    for tool in TOOLS.values():
        for row in _rows(shape.type_info(tool.arguments), f"{tool.name}.", top=True):
            yield row.replace("[`Bytes`](#bytes)", '`{"base64": "…"}`')
    yield "\n### Parameters of the query over HTTP\n\n| address | parameter | range |\n|---|---|---|\n"
    for each in (*OPERATIONS, *(each for each in TES if not each.name.startswith("older_"))):
        for parameter in each.parameters:
            if parameter.place == "query":
                yield f"| `{each.path}` | `{parameter.name}` | {_schema(parameter.schema or {})} |\n"


def _rows(info: Any, path: str, *, top: bool = False) -> Iterator[str]:
    """Yields a row for each member that has a range, at any depth."""
    bare, _ = taken_apart(info)
    match bare:
        case shape.StructType():
            if top or bare.cls not in _ELSEWHERE:
                for each in bare.fields:
                    yield from _rows(each.type, f"{path}{each.encode_name}" if top else f"{path}.{each.encode_name}")
        case shape.UnionType():
            if any(_ranged(kind) for kind in bare.types):
                yield f"| `{path}` | {in_words(info)} |\n"
            for kind in bare.types:
                yield from _deeper(kind, path)
        case _:
            if _ranged(info):
                yield f"| `{path}` | {in_words(info)} |\n"
            yield from _deeper(info, path)


def _deeper(info: Any, path: str) -> Iterator[str]:
    """Yields the rows of structs inside lists, maps and choices."""
    info, _ = taken_apart(info)
    match info:
        case shape.StructType():
            yield from _rows(info, path)
        case shape.ListType():
            yield from _deeper(info.item_type, f"{path}[]")
        case shape.DictType():
            yield from _deeper(info.value_type, f"{path}.*")


def _ranged(info: Any) -> bool:
    bare, bounds = taken_apart(info)
    return (bool(bounds) and not isinstance(bare, shape.StructType)) or _ranged_list(bare)


def _ranged_list(info: Any) -> bool:
    match info:
        case shape.ListType():
            return _ranged(info.item_type)
        case shape.DictType():
            return _ranged(info.key_type) or _ranged(info.value_type)
    return False


def _schema(schema: dict[str, Any]) -> str:
    """Returns the range of a parameter in words."""
    if "enum" in schema:
        return "one of " + ", ".join(f"`{word}`" for word in schema["enum"])
    known = in_meta_words(schema)
    return number_in_words("integer", known) if schema["type"] == "integer" else text_in_words(known)


if __name__ == "__main__":
    sys.exit(write_or_check(FILE, document, __doc__))
