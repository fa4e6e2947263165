"""Write docs/protocol.md: an introduction by hand, and the reference from the message classes themselves.

usage: python -m scripts.protocol_docs [--check]
"""

from __future__ import annotations

import ast
import inspect
import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final, get_args

import msgspec
from msgspec import inspect as shape

from asman_shared import definition, limits, log_messages, messages, records, worker_messages
from asman_shared.errors import CLOSE_REASONS, ERROR_CODES, CloseCode
from devtools.bounded import Bounds, taken_apart

from .generated_page import write_or_check

FILE: Final = Path(__file__).resolve().parent.parent / "docs" / "protocol.md"
MARK: Final = "<!-- From here on: made by `python -m scripts.protocol_docs`; a test says when it is not current. -->\n"
"""Divides the page: the text above is written by hand."""

_DIRECTIONS: Final = (
    ("From a client to the hub", messages.ClientMessage),
    ("From the hub to a client", messages.HubToClient),
    ("From a worker to the hub", messages.WorkerMessage),
    ("From the hub to a worker", messages.HubToWorker),
)
_RECORDS: Final = (definition, records, log_messages, messages, worker_messages)


def document() -> str:
    """Returns the whole page, with the present text by hand."""
    by_hand = FILE.read_text().partition(MARK)[0]
    return by_hand + MARK + "".join(_reference())


def tag_of(kind: type[Any]) -> str:
    """Returns the ``type`` of a message, or the name of a record."""
    tag = kind.__struct_config__.tag
    return str(tag) if tag is not None else kind.__name__


def _reference() -> Iterator[str]:
    told: set[type[Any]] = set()
    for title, union in _DIRECTIONS:
        kinds = get_args(union)
        yield f"\n## {title}\n\n{_index(kinds)}\n"
        for kind in kinds:
            if kind not in told:
                yield _section(kind)
                told.add(kind)
    yield "\n## Records\n\nThe maps that messages are made of.\n"
    for kind in _records(told):
        yield _section(kind)
    yield from _errors()
    yield "\n## Limits\n\n| name | value | |\n|---|---|---|\n"
    yield from _limits()


def _index(kinds: tuple[type[Any], ...]) -> str:
    return " · ".join(_link(kind) for kind in kinds)


def _records(told: set[type[Any]]) -> list[type[Any]]:
    """Returns the structs that messages hold, directly or through other structs, in the order of their names."""
    found: dict[str, type[Any]] = {}
    waiting = [part for kind in told for part in _parts(shape.type_info(kind))]
    while waiting:
        kind = waiting.pop()
        if kind not in told and kind.__name__ not in found:
            found[kind.__name__] = kind
            waiting += _parts(shape.type_info(kind))
    return [found[name] for name in sorted(found)]


def _parts(info: Any) -> Iterator[type[Any]]:
    """Yields the structs directly below a type, or the type itself when it is reached from outside."""
    if isinstance(info, shape.StructType):
        for each in info.fields:
            yield from _structs(each.type)


def _structs(info: Any) -> Iterator[type[Any]]:
    info, _ = taken_apart(info)
    if isinstance(info, shape.StructType):
        yield info.cls
    elif isinstance(info, shape.UnionType):
        for each in info.types:
            yield from _structs(each)
    elif isinstance(info, shape.TupleType):
        for each in info.item_types:
            yield from _structs(each)
    elif isinstance(info, (shape.ListType, shape.VarTupleType)):
        yield from _structs(info.item_type)
    elif isinstance(info, shape.DictType):
        yield from _structs(info.key_type)
        yield from _structs(info.value_type)


# ------------------------------------------------------------------------------------------------------ one section


def _section(kind: type[Any]) -> str:
    text, attributes = _documentation(kind)
    info = shape.type_info(kind)
    if not isinstance(info, shape.StructType):
        raise TypeError(f"{kind.__name__} is no struct")
    lines = [f"\n### {tag_of(kind)}\n\n{_prose(text)}\n"]
    if info.array_like:
        lines.append("\nIt is sent as an array of these members, in this order.\n")
    if info.fields:
        lines.append("\n| member | type | default | |\n|---|---|---|---|\n")
    for each in info.fields:
        told = _cell(_prose(attributes.get(each.name, "")))
        lines.append(f"| `{each.encode_name}` | {_cell(in_words(each.type))} | {_default(each)} | {told} |\n")
    return "".join(lines)


def _documentation(kind: type[Any]) -> tuple[str, dict[str, str]]:
    """Returns a class's text, and its text on each attribute (Google's form)."""
    whole = inspect.getdoc(kind) or ""
    text, _, listed = whole.partition("\nAttributes:\n")
    attributes: dict[str, str] = {}
    name = ""
    for line in inspect.cleandoc(listed).splitlines():
        begun = re.match(r"(\w+): (.*)", line)
        if begun is not None:
            name = begun[1]
            attributes[name] = begun[2]
        elif name:
            attributes[name] += " " + line.strip()
    return text.strip(), attributes


def _named() -> dict[str, type[Any]]:
    return {
        name: kind
        for module in _RECORDS
        for name, kind in vars(module).items()
        if isinstance(kind, type) and issubclass(kind, msgspec.Struct)
    }


def _prose(text: str) -> str:
    """Returns text for the page: references to classes become links to their names on the wire."""
    named = _named()

    def refer(found: re.Match[str]) -> str:
        name, _, member = found[1].partition(".")
        if name == "limits" and hasattr(limits, member):
            return f"{getattr(limits, member):,}"
        if found[1] == "asman_shared.errors":
            return "[error codes](#error-codes)"
        if name in named:
            return _link(named[name], member)
        return f"`{found[1]}`"

    paragraphs = re.split(r"\n\s*\n", text)
    referred = [re.sub(r"(?<!`)`([\w.]+)`(?!`)", refer, " ".join(each.split())) for each in paragraphs]
    return "\n\n".join(referred).replace("``", "`")


def _link(kind: type[Any], member: str = "") -> str:
    name = tag_of(kind)
    return f"[`{name}{'.' if member else ''}{member}`](#{name.lower()})"


# ------------------------------------------------------------------------------------------------------------ types


def in_words(info: Any) -> str:
    """Returns a type in words."""
    info, bounds = taken_apart(info)
    match info:
        case shape.StructType():
            return _link(info.cls)
        case shape.UnionType():
            return " or ".join(in_words(each) for each in info.types if not isinstance(each, shape.NoneType))
        case shape.ListType() | shape.VarTupleType():
            bound = f" of at most {bounds['max_length']:,}" if bounds.get("max_length") else " of"
            return f"list{bound} {in_words(info.item_type)}"
        case shape.TupleType():
            return f"array of {' and '.join(in_words(each) for each in info.item_types)}"
        case shape.DictType():
            most = f"at most {bounds['max_length']:,} " if "max_length" in bounds else ""
            return f"map of {most}{in_words(info.key_type)} to {in_words(info.value_type)}"
        case shape.EnumType():
            return _choice([each.value for each in info.cls])
        case shape.LiteralType():
            return _choice(list(info.values))
        case shape.StrType():
            return text_in_words(bounds)
        case shape.IntType() | shape.FloatType():
            return number_in_words("integer" if isinstance(info, shape.IntType) else "number", bounds)
        case shape.BoolType():
            return "boolean"
        case shape.AnyType():
            return "any value"
    raise TypeError(f"no words for {info!r}")


def _choice(values: list[Any]) -> str:
    return "one of " + ", ".join(f"`{value}`" if isinstance(value, str) and value else '`""`' for value in values)


def text_in_words(bounds: Bounds) -> str:
    """Returns the range of a text in words."""
    if bounds.get("pattern") == "^[0-9a-f]{64}$":
        return "64 hex digits"
    if "min_length" in bounds and "max_length" in bounds:
        return f"text of {bounds['min_length']} to {bounds['max_length']:,} characters"
    if "max_length" in bounds:
        return f"text of at most {bounds['max_length']:,} characters"
    return "text"


def number_in_words(name: str, bounds: Bounds) -> str:
    """Returns the range of a number in words."""
    if "gt" in bounds:
        return f"{name} above {bounds['gt']:,}, at most {bounds['le']:,}"
    if "ge" not in bounds:
        return name
    least, most = ("2^53 - 1" if bounds[end] == limits.WHOLE else f"{bounds[end]:,}" for end in ("ge", "le"))
    if bounds["ge"] == -limits.WHOLE:
        least = "-2^53 + 1"
    return f"{name} from {least} to {most}"


def _default(field: shape.Field) -> str:
    if field.required:
        return "required"
    if field.default_factory is not msgspec.NODEFAULT:
        made = field.default_factory()
        return "its defaults" if isinstance(made, msgspec.Struct) else "empty"
    if field.default is None:
        return "none"
    return f"`{json.dumps(field.default)}`"


def _cell(text: str) -> str:
    return " ".join(text.replace("|", "\\|").split())


# ----------------------------------------------------------------------------------------------- errors and limits


def _errors() -> Iterator[str]:
    yield "\n## Error codes\n\n[errors.md](errors.md) has the same with the HTTP statuses.\n"
    yield "\n| code | retry | meaning |\n|---|---|---|\n"
    for code, kind in sorted(ERROR_CODES.items()):
        yield f"| `{code}` | {'yes' if kind.retry else 'no'} | {(inspect.getdoc(kind) or '').splitlines()[0]} |\n"
    yield "\n## Close codes\n\n| code | name | reason |\n|---|---|---|\n"
    for close in CloseCode:
        yield f"| {close.value} | {close.name} | {CLOSE_REASONS.get(close, '')} |\n"


def _limits() -> Iterator[str]:
    """Yields the numbers of the limits, each with the text that stands below it in the source."""
    body = ast.parse(inspect.getsource(limits)).body
    for at, node in enumerate(body[:-1]):
        below = body[at + 1]
        if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name) and isinstance(below, ast.Expr):
            text = ast.literal_eval(below.value)
            yield f"| `{node.target.id}` | {getattr(limits, node.target.id):,} | {_cell(_prose(text))} |\n"


if __name__ == "__main__":
    sys.exit(write_or_check(FILE, document, __doc__))
