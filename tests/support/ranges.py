"""Values at the bounds of a member of a message, beyond them and of other types, and messages that hold one of them."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

from msgspec import inspect as shape

from asman_shared import limits
from asman_shared.definition import Definition
from devtools.bounded import taken_apart

JOB = "0" * 64
NUMBERS = (-1, 0, 1, -(2**53), 2**53 - 1, 2**53, 2**63, 2**64 - 1, 2**64, 10**30)
OTHERS: tuple[Any, ...] = (True, None, "", "\0", "a\0b", 0.5, 1e300, math.nan, math.inf, -math.inf, [], {}, "é" * 10)


def sample(info: Any) -> Any:
    """A value that fits a type."""
    info, bounds = taken_apart(info)
    match info:
        case shape.StructType():
            made = {each.encode_name: sample(each.type) for each in info.fields if each.required}
            return list(made.values()) if info.array_like else made
        case shape.UnionType():
            return sample(info.types[0])
        case shape.StrType():
            return JOB if "pattern" in bounds else "x" * max(1, bounds.get("min_length", 0))
        case shape.IntType() | shape.FloatType():
            return max(1, bounds.get("ge", 0))
        case shape.ListType():
            return []
        case shape.DictType():
            return {}
        case shape.TupleType():
            return [sample(each) for each in info.item_types]
        case shape.EnumType():
            return next(iter(info.cls)).value
        case shape.LiteralType():
            return info.values[0]
        case shape.BoolType():
            return True
    return "x"


def edges(info: Any) -> Iterator[tuple[Any, int | float | None]]:
    """Values at the bounds of a type and one beyond, each with the bound that it breaks (None: it breaks none)."""
    info, bounds = taken_apart(info)
    match info:
        case shape.UnionType():
            if len([each for each in info.types if not isinstance(each, shape.NoneType)]) == 1:
                yield from edges(next(each for each in info.types if not isinstance(each, shape.NoneType)))
        case shape.IntType() | shape.FloatType():
            for end, beyond in (("ge", -1), ("le", 1)):
                if end in bounds:
                    yield bounds[end], None
                    yield bounds[end] + beyond, bounds[end]
            for number in NUMBERS:
                if "le" in bounds and number > bounds["le"]:
                    yield number, bounds["le"]
        case shape.StrType() if "pattern" not in bounds:
            if bounds.get("min_length", 0):
                yield "x" * (bounds["min_length"] - 1), bounds["min_length"]
            if bounds.get("max_length", limits.FRAME_BYTES) < limits.FRAME_BYTES:
                yield "x" * bounds["max_length"], None
                yield "x" * (bounds["max_length"] + 1), bounds["max_length"]
        case shape.StrType() if bounds["pattern"] == "^[0-9a-f]{64}$":
            yield JOB, None
            yield f"{JOB}\n", 64
            yield f"{JOB}0", 64
        case shape.ListType() if "max_length" in bounds:
            item = sample(info.item_type)
            yield [item] * (bounds["max_length"] + 1), bounds["max_length"]
        case shape.DictType() if "max_length" in bounds:
            item = sample(info.value_type)
            yield {f"n{number}": item for number in range(bounds["max_length"] + 1)}, bounds["max_length"]


def places(info: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    """The members of a struct at any depth that are reached through structs alone."""
    bare, _ = taken_apart(info)
    if isinstance(bare, shape.UnionType):
        kinds = [each for each in bare.types if not isinstance(each, shape.NoneType)]
        if len(kinds) == 1 and isinstance(kinds[0], shape.StructType):
            bare = kinds[0]
    if isinstance(bare, shape.StructType) and not bare.array_like:
        for each in bare.fields:
            if bare.cls is not Definition or not path:
                yield from places(each.type, (*path, each.encode_name))
    if path:
        yield path, info


def with_value(kind: type[Any], path: tuple[str, ...], value: Any) -> dict[str, Any]:
    """A message that fits, but for one member."""
    made: dict[str, Any] = {"type": kind.__struct_config__.tag, **sample(shape.type_info(kind))}
    at: Any = made
    info: Any = shape.type_info(kind)
    for name in path[:-1]:
        info, _ = taken_apart(next(each for each in info.fields if each.encode_name == name).type)
        if isinstance(info, shape.UnionType):
            info = next(each for each in info.types if isinstance(each, shape.StructType))
        inner = at.get(name)
        at[name] = inner if isinstance(inner, dict) else sample(info)
        at = at[name]
    at[path[-1]] = value
    return made


def carried(value: Any, *, binary: bool) -> bool:
    """Whether the language has this value: msgpack has no huge integers, and JSON no numbers that are not finite."""
    if isinstance(value, float):
        return binary or math.isfinite(value)
    return not binary or not isinstance(value, int) or -(2**63) <= value < 2**64


Place = tuple[str | int, ...]
"""The names of members, and numbers of items of lists, that lead to a part of a message."""


def parts(info: Any, path: Place = ()) -> Iterator[tuple[Place, Any]]:
    """Yields the parts of a type at any depth: members of structs, the first item of lists, and a value of maps."""
    bare, _ = taken_apart(info)
    if path:
        yield path, info
    match bare:
        case shape.UnionType():
            for each in bare.types:
                if isinstance(taken_apart(each)[0], shape.StructType | shape.ListType | shape.DictType):
                    yield from (found for found in parts(each, path) if found[0] != path)
        case shape.StructType():
            for member in bare.fields:
                yield from parts(member.type, (*path, member.encode_name))
        case shape.ListType():
            yield from parts(bare.item_type, (*path, 0))
        case shape.DictType():
            yield from parts(bare.value_type, (*path, "N"))


def all_edges(info: Any) -> Iterator[tuple[Any, int | float | None]]:
    """Yields the edges of each of the types that a part may have; a bound is broken if no other type has any."""
    bare, _ = taken_apart(info)
    if not isinstance(bare, shape.UnionType):
        yield from edges(info)
        return
    for each in bare.types:
        for value, broken in edges(each):
            yield value, broken if sum(bool(list(edges(other))) for other in bare.types) == 1 else None


def replaced(message: Any, info: Any, path: Place, value: Any) -> Any:
    """Returns a message with another value at a place; what leads there and is not in the message fits its type."""
    if not path:
        return value
    bare, _ = taken_apart(info)
    name, *rest = path
    kind: Any = {str: shape.StructType | shape.DictType, int: shape.ListType}[type(name)]
    if isinstance(bare, shape.UnionType):
        bare = next(each for each in (taken_apart(one)[0] for one in bare.types) if isinstance(each, kind))
    if isinstance(bare, shape.ListType):
        items = list(message) if isinstance(message, list) and message else [sample(bare.item_type)]
        return [replaced(items[0], bare.item_type, tuple(rest), value), *items[1:]]
    made = dict(message) if isinstance(message, dict) else sample(bare)
    inner: Any
    if isinstance(bare, shape.DictType):
        inner = bare.value_type
    else:
        inner = next(each.type for each in bare.fields if each.encode_name == name)
    return {**made, name: replaced(made.get(name), inner, tuple(rest), value)}


def named(path: Place) -> str:
    """Returns a place as errors name it."""
    return "".join(f"[{each}]" if isinstance(each, int) else f".{each}" for each in path).removeprefix(".")
