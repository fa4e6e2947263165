"""The format for plain values: what comes back as it was, and what is refused."""

from __future__ import annotations

import contextlib
import json
import math
import pickle
import sys
from collections import Counter, OrderedDict
from collections.abc import Callable
from datetime import UTC, date, datetime, time, timedelta, timezone
from decimal import Decimal
from enum import IntEnum
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asman.plain_values import DEPTH, ERRORS, FRACTION_BITS, NotPlain, decode, decode_error, encode, encode_error

ZONE = timezone(timedelta(hours=5, minutes=30), "IST")
ATOMS = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False)
    | st.text(st.characters())
    | st.binary()
    | st.complex_numbers(allow_nan=False)
    | st.decimals(allow_nan=False)
    | st.fractions()
    | st.dates()
    | st.times()
    | st.datetimes(timezones=st.none() | st.just(UTC) | st.just(ZONE))
    | st.timedeltas()
    | st.uuids()
)
VALUES = st.recursive(
    ATOMS,
    lambda inner: (
        st.lists(inner)
        | st.lists(inner).map(tuple)
        | st.dictionaries(st.text() | st.integers() | st.binary(), inner)
        | st.frozensets(ATOMS)
    ),
)


def same(one: Any, other: Any) -> None:
    """Checks that two values are equal down to their classes."""
    assert type(one) is type(other)
    assert one == other
    if isinstance(one, list | tuple):
        for each, there in zip(one, other, strict=True):
            same(each, there)
    if isinstance(one, dict):
        for pair, there in zip(one.items(), other.items(), strict=True):
            same(pair, there)


@given(VALUES)
def test_any_plain_value_comes_back_as_it_was(value: Any) -> None:
    same(decode(encode(value)), value)


@pytest.mark.parametrize(
    "value",
    [
        "\ud800 alone",
        math.inf,
        2**5000,
        -(2**256),
        bytearray(b"abc"),
        {b"a": bytearray(b"b"), "c": [b"", b"d"]},
        {1, "a", (2, frozenset({3}))},
        OrderedDict([("b", 1), ("a", 2)]),
        range(3, 10**30, 2),
        slice(1, None, "x"),
        Decimal("-0.10"),
        Decimal("Infinity"),
        Path("/a/b"),
        PurePosixPath("a"),
        PureWindowsPath("c:\\a"),
        UUID(int=5),
        date(2024, 2, 29),
        time(1, 2, 3, 4, tzinfo=ZONE, fold=1),
        datetime(2024, 2, 29, 1, 2, 3, 4, tzinfo=ZONE, fold=1),
        {},
        {"dict": []},
        ["list"],
    ],
)
def test_each_kind_of_plain_value_comes_back_as_it_was(value: Any) -> None:
    same(decode(encode(value)), value)


def test_not_a_number_comes_back_and_the_zone_of_utc_is_the_one_there_is() -> None:
    assert math.isnan(decode(encode(math.nan)))
    assert decode(encode(UTC)) is UTC


class Level(IntEnum):
    LOW = 1


class Name(str):
    pass


@pytest.mark.parametrize(
    ("value", "name"),
    [
        (Level.LOW, "Level"),
        (Name("a"), "Name"),
        (Counter("abc"), "collections.Counter"),
        ([{"deep": object()}], "builtins.object"),
        (len, "builtins.builtin_function_or_method"),
        (int, "builtins.type"),
        (ValueError("as a value"), "builtins.ValueError"),
    ],
)
def test_a_value_of_another_class_is_refused_with_its_name(value: Any, name: str) -> None:
    with pytest.raises(NotPlain, match=name):
        encode(value)


def nested(depth: int) -> list[Any]:
    value: list[Any] = []
    for _ in range(depth - 1):
        value = [value]
    return value


def test_containers_within_each_other_are_bounded_on_both_sides() -> None:
    same(decode(encode(nested(DEPTH))), nested(DEPTH))
    with pytest.raises(NotPlain, match="within each other"):
        encode(nested(DEPTH + 1))
    for depth in (DEPTH + 2, 100_000):
        with pytest.raises(NotPlain, match="within each other"):
            decode(framed('["list",' * depth + "1" + "]" * depth))


@pytest.mark.parametrize("make", [set, frozenset, dict.fromkeys, OrderedDict.fromkeys])
def test_keys_that_take_a_table_long_to_tell_apart_are_refused(make: Callable[[list[int]], Any]) -> None:
    same = [number * sys.hash_info.modulus for number in range(200)]
    with pytest.raises(NotPlain, match="the same hash"):
        decode(encode(make(same)))
    few = make(same[:10])
    assert decode(encode(few)) == few
    many = make(list(range(-5000, 5000)))
    assert decode(encode(many)) == many


def test_a_list_that_contains_itself_is_refused() -> None:
    value: list[Any] = []
    value.extend([value, value])
    with pytest.raises(NotPlain, match="contains itself"):
        encode(value)


def framed(text: str, contents: bytes = b"") -> bytes:
    data = text.encode()
    return len(data).to_bytes(8, "big") + data + contents


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"short",
        (2**62).to_bytes(8, "big") + b"1",
        framed("1", b"more"),
        framed('["bytes", 5]', b"four"),
        framed('["bytearray", 1000000000000]'),
        framed('["bytes", -1]', b"a"),
        framed('["bytes", true]', b"a"),
        framed('["list", ["bytes", 4], ["bytes", 4]]', b"once"),
        framed("[]"),
        framed("[1]"),
        framed('[["list"]]'),
        framed('["getattr", "a", "b"]'),
        framed('["builtins.eval", "1"]'),
        framed('["Counter"]'),
        framed('["dict", "a"]'),
        framed('["dict", ["list"], 1]'),
        framed('["set", ["list"]]'),
        framed('["int", 5]'),
        framed('["int", "xyz"]'),
        framed('["complex", "1", "2"]'),
        framed('["range", 1]'),
        framed('["range", 0, 1, 0]'),
        framed('["slice", 1]'),
        framed('["date", 2024, 13, 1]'),
        framed('["date", "AAAAAAAAAA"]'),
        framed('["time", 1, 2, 3, 4, "zone", 0]'),
        framed('["datetime"]'),
        framed('["timedelta", 1e99, 0, 0]'),
        framed('["timedelta", 10000000000, 0, 0]'),
        framed('["timezone"]'),
        framed('["timezone", ["timedelta", 5, 0, 0]]'),
        framed('["Decimal", 5]'),
        framed('["Decimal", "five"]'),
        framed('["Fraction", 1, 0]'),
        framed('["Fraction", 1, ["int", "0x' + "f" * FRACTION_BITS + '"]]'),
        framed('["UUID", "5"]'),
        framed('["PosixPath", 5]'),
        framed('["WindowsPath", "a"]'),
        framed("9" * 10_000),
        framed("not JSON"),
        framed("\xff"),
        b"\0\0\0\0\0\0\0\1\xff",
        pickle.dumps([1, 2]),
    ],
)
def test_bytes_that_are_not_of_the_format_are_refused_and_make_nothing(data: bytes) -> None:
    with pytest.raises(NotPlain):
        decode(data)


@given(st.binary() | st.text().map(framed))
def test_any_bytes_are_read_or_refused(data: bytes) -> None:
    with contextlib.suppress(NotPlain):
        decode(data)


@pytest.mark.parametrize(
    ("make", "text"),
    [
        (lambda: KeyError("a", 5), "('a', 5)"),
        (lambda: FileNotFoundError(2, "No such file", "a.txt"), "[Errno 2] No such file: 'a.txt'"),
        (lambda: OSError(18, "Cross-device", "a", None, "b"), "[Errno 18] Cross-device: 'a' -> 'b'"),
        (lambda: UnicodeDecodeError("utf-8", b"\xff", 0, 1, "bad"), "'utf-8' codec can't decode byte 0xff"),
        (lambda: ZeroDivisionError(), ""),
    ],
)
def test_a_built_in_exception_comes_back_with_its_arguments_and_notes(make: Callable[[], Exception], text: str) -> None:
    error = make()
    error.add_note("a note")
    found = decode_error(encode_error(error))
    assert type(found) is type(error)
    assert found.args == error.args
    assert str(found).startswith(text)
    assert found.__notes__ == ["a note"]


class Own(ValueError):
    pass


ValueErrorToo = type("ValueError", (Exception,), {})


@pytest.mark.parametrize(
    "error",
    [Own("a"), ValueErrorToo("a"), SystemExit(1), KeyboardInterrupt(), SyntaxError("a"), ValueError(object())],
    ids=lambda each: type(each).__name__,
)
def test_another_exception_is_refused(error: BaseException) -> None:
    with pytest.raises(NotPlain):
        encode_error(error)


@pytest.mark.parametrize(
    "value",
    [
        5,
        ("ValueError", (), ()),
        ("ValueError", []),
        ("SystemExit", (), []),
        ("KeyboardInterrupt", (), []),
        ("SyntaxError", (), []),
        ("eval", ("1",), []),
        ("UnicodeDecodeError", ("too few",), []),
        ("ValueError", (), [5]),
    ],
)
def test_what_is_no_exception_of_the_list_is_refused(value: Any) -> None:
    with pytest.raises(NotPlain):
        decode_error(encode(value))


def test_exceptions_end_calls_and_never_programs() -> None:
    assert {each.__module__ for each in ERRORS.values()} == {"builtins"}
    assert not any(issubclass(each, ExceptionGroup | SyntaxError) for each in ERRORS.values())
    assert ERRORS.keys() == {each.__name__ for each in ERRORS.values()}


def test_a_value_of_many_numbers_is_written_as_they_are() -> None:
    data = encode([1, 2.5, "a"])
    assert json.loads(data[8:]) == ["list", 1, 2.5, "a"]
