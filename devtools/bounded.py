"""Finds the bounds of every part of a message type: those that decoding enforces, and those that are only shown."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from msgspec import inspect as shape

_WORDS: Final = {
    "minimum": "ge",
    "maximum": "le",
    "minLength": "min_length",
    "maxLength": "max_length",
    "maxItems": "max_length",
    "maxProperties": "max_length",
}
Bounds = dict[str, Any]


def in_meta_words(schema: Mapping[str, Any] | None) -> Bounds:
    """Returns the bounds of a JSON Schema by the names that `msgspec.Meta` gives them."""
    return {_WORDS[name]: value for name, value in (schema or {}).items() if name in _WORDS}


def taken_apart(info: Any) -> tuple[Any, Bounds]:
    """Returns a type without its metadata, and its bounds by the names that `msgspec.Meta` gives them."""
    shown: Bounds = {}
    if isinstance(info, shape.Metadata):
        shown = in_meta_words(info.extra_json_schema)
        info = info.type
    names = ("gt", "ge", "lt", "le", "min_length", "max_length", "pattern")
    enforced = {name: getattr(info, name) for name in names if getattr(info, name, None) is not None}
    return info, {**shown, **enforced}


def unbounded(info: Any, path: str = "") -> Iterator[str]:
    """Yields the place of each number, text, list or map without both ends of a range, at any depth.

    Values of any type are left out: the size of the frame, the body or the definition is their bound.
    """
    info, bounds = taken_apart(info)
    match info:
        case shape.StructType():
            for each in info.fields:
                yield from unbounded(each.type, f"{path}.{each.encode_name}" if path else each.encode_name)
        case shape.UnionType():
            for kind in info.types:
                yield from unbounded(kind, path)
        case shape.IntType() | shape.FloatType():
            if not (bounds.keys() & {"ge", "gt"} and bounds.keys() & {"le", "lt"}):
                yield path
        case shape.StrType():
            if "max_length" not in bounds and "pattern" not in bounds:
                yield path
        case shape.ListType() | shape.VarTupleType():
            if "max_length" not in bounds:
                yield path
            yield from unbounded(info.item_type, f"{path}[]")
        case shape.TupleType():
            for at, kind in enumerate(info.item_types):
                yield from unbounded(kind, f"{path}[{at}]")
        case shape.DictType():
            key, _ = taken_apart(info.key_type)
            if "max_length" not in bounds and not isinstance(key, shape.EnumType):
                yield path
            yield from unbounded(info.key_type, f"{path}.keys()")
            yield from unbounded(info.value_type, f"{path}{{}}")
