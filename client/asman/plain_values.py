"""A format for plain values, which can be read from programs that are not trusted.

`asman.remote_call` writes it in a job and `asman.calls` reads it here, so this module needs only Python. Reading makes
objects of the listed classes alone, looks no name up and calls nothing that the bytes name. Each part is checked before
its object is made, and the memory of a value is bounded by a multiple of the bytes that were sent.

The bytes are the length of a JSON text (8 bytes), the JSON text, and the contents of all bytes objects in the order of
their appearance. JSON's text, numbers, true, false and null stand for themselves, and a JSON object for a dict with
keys of text. All else is a JSON array that begins with a tag: ``["tuple", 1, 2]``.
"""

from __future__ import annotations

import json
from collections import OrderedDict
from collections.abc import Callable, Iterable
from datetime import date, datetime, time, timedelta, timezone
from decimal import Decimal
from fractions import Fraction
from itertools import chain
from pathlib import PosixPath, PurePosixPath, PureWindowsPath, WindowsPath
from typing import Any, Final
from uuid import UUID

DEPTH: Final = 200
"""Maximum number of containers around a value."""
FRACTION_BITS: Final = 16_384
"""Maximum size of a fraction's parts: the time to reduce one grows with the square of it."""
_SHORT_BITS: Final = 256
"""Maximum size of an integer that is written in decimal, whose reading takes time with the square of its size."""
_FEW_KEYS: Final = 64
"""Number of keys of one table that may all have the same hash."""
_LENGTH: Final = 8

_AS_IS: Final = frozenset({str, float, bool, type(None)})
_ITEMS: Final[dict[type, str]] = {list: "list", tuple: "tuple", set: "set", frozenset: "frozenset"}
_PAIRS: Final[dict[type, str]] = {dict: "dict", OrderedDict: "OrderedDict"}
_BYTES: Final[dict[type, str]] = {bytes: "bytes", bytearray: "bytearray"}
_PATHS: Final = (PurePosixPath, PosixPath, PureWindowsPath, WindowsPath)

_PARTS: Final[dict[type, Callable[[Any], Iterable[Any]]]] = {
    complex: lambda value: (value.real, value.imag),
    range: lambda value: (value.start, value.stop, value.step),
    slice: lambda value: (value.start, value.stop, value.step),
    date: lambda value: (value.year, value.month, value.day),
    time: lambda value: (value.hour, value.minute, value.second, value.microsecond, value.tzinfo, value.fold),
    datetime: lambda value: (
        *(value.year, value.month, value.day, value.hour, value.minute, value.second, value.microsecond),
        *(value.tzinfo, value.fold),
    ),
    timedelta: lambda value: (value.days, value.seconds, value.microseconds),
    timezone: lambda value: value.__getinitargs__(),
    Decimal: lambda value: (str(value),),
    Fraction: lambda value: (value.numerator, value.denominator),
    UUID: lambda value: (value.hex,),
    **dict.fromkeys(_PATHS, lambda value: (str(value),)),
}
"""Parts of the objects that are made from others."""

ERRORS: Final[dict[str, type[Exception]]] = {
    each.__name__: each
    for each in (
        *(ArithmeticError, AssertionError, AttributeError, BlockingIOError, BrokenPipeError, BufferError, BytesWarning),
        *(ChildProcessError, ConnectionAbortedError, ConnectionError, ConnectionRefusedError, ConnectionResetError),
        *(DeprecationWarning, EOFError, EncodingWarning, Exception, FileExistsError, FileNotFoundError),
        *(FloatingPointError, FutureWarning, ImportError, ImportWarning, IndexError, InterruptedError),
        *(IsADirectoryError, KeyError, LookupError, MemoryError, ModuleNotFoundError, NameError, NotADirectoryError),
        *(NotImplementedError, OSError, OverflowError, PendingDeprecationWarning, PermissionError, ProcessLookupError),
        *(RecursionError, ReferenceError, ResourceWarning, RuntimeError, RuntimeWarning, StopAsyncIteration),
        *(StopIteration, SyntaxWarning, SystemError, TimeoutError, TypeError, UnboundLocalError, UnicodeDecodeError),
        *(UnicodeEncodeError, UnicodeError, UnicodeTranslateError, UnicodeWarning, UserWarning, ValueError, Warning),
        ZeroDivisionError,
    )
}
"""The exceptions that are read, by name. A SyntaxError is none: its offsets say how much is printed below its line."""


class NotPlain(Exception):
    """A value can't be written, or bytes are not what `encode` writes; the message says what was found."""


# ----------------------------------------------------------------------------------------------------------- writing


def encode(value: Any) -> bytes:
    """Writes a plain value.

    An object that occurs twice in it is written twice.

    Raises:
        NotPlain: It is, or contains, an object of another class.
    """
    writer = _Writer()
    try:
        head = json.dumps(writer.tree(value, DEPTH), ensure_ascii=False, separators=(",", ":"), check_circular=False)
    except RecursionError:
        raise NotPlain(_DEEP) from None
    text = head.encode("utf-8", "surrogatepass")
    return b"".join([len(text).to_bytes(_LENGTH, "big"), text, *writer.contents])


def encode_error(error: BaseException) -> bytes:
    """Writes an exception: its class, arguments and notes.

    Raises:
        NotPlain: Its class is not one of `ERRORS`, or its arguments are not plain.
    """
    name = type(error).__name__
    if ERRORS.get(name) is not type(error):
        raise NotPlain(_object_of(type(error)))
    arguments = error.args
    if isinstance(error, OSError) and error.filename is not None and len(arguments) == 2:
        more = () if error.filename2 is None else (None, error.filename2)
        arguments = (*arguments, error.filename, *more)
    notes = [str(note) for note in getattr(error, "__notes__", ())]
    return encode((name, arguments, notes))


_DEEP: Final = f"more than {DEPTH} lists or dicts within each other"


def _object_of(kind: type) -> str:
    return f"an object of the class {kind.__module__}.{kind.__qualname__}"


class _Writer:
    """Turns a value into what JSON can write, and collects the contents of bytes objects."""

    def __init__(self) -> None:
        self.contents: list[bytes] = []
        self._around: set[int] = set()

    def tree(self, value: Any, room: int) -> Any:
        kind = type(value)
        if kind in _AS_IS:
            return value
        if kind is int:
            return value if value.bit_length() <= _SHORT_BITS else ["int", hex(value)]
        if kind in _BYTES:
            self.contents.append(bytes(value))
            return [_BYTES[kind], len(value)]
        if room == 0:
            raise NotPlain(_DEEP)
        if id(value) in self._around:
            raise NotPlain(f"a {kind.__name__} that contains itself")
        self._around.add(id(value))
        try:
            return self._container(kind, value, room - 1)
        finally:
            self._around.discard(id(value))

    def _container(self, kind: type, value: Any, room: int) -> Any:
        if kind is dict and all(type(key) is str for key in value):
            return {key: self.tree(each, room) for key, each in value.items()}
        if kind in _ITEMS:
            tag, parts = _ITEMS[kind], value
        elif kind in _PAIRS:
            tag, parts = _PAIRS[kind], chain.from_iterable(value.items())
        elif kind in _PARTS:
            tag, parts = kind.__name__, _PARTS[kind](value)
            if kind is Fraction and _bits(value.numerator, value.denominator) > FRACTION_BITS:
                raise NotPlain(f"a fraction of more than {FRACTION_BITS} bits")
        else:
            raise NotPlain(_object_of(kind))
        return [tag, *[part if type(part) in _AS_IS else self.tree(part, room) for part in parts]]


# ----------------------------------------------------------------------------------------------------------- reading


def decode(data: bytes) -> Any:
    """Reads a plain value.

    Raises:
        NotPlain: The bytes are not what `encode` writes.
    """
    size = int.from_bytes(data[:_LENGTH], "big")
    start = _LENGTH + size
    if len(data) < start:
        raise NotPlain(f"{len(data)} bytes where at least {start} were announced")
    try:
        reader = _Reader(memoryview(data)[start:])
        value = reader.value(json.loads(data[_LENGTH:start].decode("utf-8", "surrogatepass")), DEPTH)
    except RecursionError:
        raise NotPlain(_DEEP) from None
    except (ValueError, TypeError, ArithmeticError, NotImplementedError) as error:
        raise NotPlain(f"a part that can't be read ({type(error).__name__})") from error
    if reader.left:
        raise NotPlain(f"{reader.left} bytes that belong to nothing")
    return value


def decode_error(data: bytes) -> Exception:
    """Reads an exception.

    Raises:
        NotPlain: The bytes are not what `encode_error` writes.
    """
    name, arguments, notes = _exact(_exact([decode(data)], tuple)[0], str, tuple, list)
    if name not in ERRORS:
        raise NotPlain("an exception of an unknown class")
    try:
        error = ERRORS[name](*arguments)
        for note in notes:
            error.add_note(note)
    except (TypeError, ValueError, OverflowError):
        raise NotPlain(f"wrong arguments of {name}") from None
    return error


class _Reader:
    """Makes a value of what JSON gave."""

    def __init__(self, contents: memoryview) -> None:
        self._contents = contents
        self._at = 0

    @property
    def left(self) -> int:
        """Number of bytes that are not read yet."""
        return len(self._contents) - self._at

    def value(self, tree: Any, room: int) -> Any:
        kind = type(tree)
        if kind in _AS_IS or kind is int:
            return tree
        if room < 0:
            raise NotPlain(_DEEP)
        if kind is dict:
            return {key: self.value(each, room - 1) for key, each in tree.items()}
        if not tree or type(tree[0]) is not str:
            raise NotPlain("an array without a tag")
        tag = tree[0]
        parts = [part if type(part) in _AS_IS else self.value(part, room - 1) for part in tree[1:]]
        if tag in ("bytes", "bytearray"):
            return self._bytes(tag, *_exact(parts, int))
        if tag in _MAKERS:
            return _MAKERS[tag](parts)
        raise NotPlain("an unknown tag")

    def _bytes(self, tag: str, size: int) -> bytes | bytearray:
        if not 0 <= size <= self.left:
            raise NotPlain("more bytes than were sent")
        part = self._contents[self._at : self._at + size]
        self._at += size
        return bytes(part) if tag == "bytes" else bytearray(part)


def _exact(parts: Iterable[Any], *kinds: type) -> list[Any]:
    """Returns the parts, which must have exactly these types."""
    found = list(parts)
    if [type(part) for part in found] != list(kinds):
        raise NotPlain("parts of wrong types")
    return found


def _bits(*numbers: int) -> int:
    return max(number.bit_length() for number in numbers)


def _keys(keys: list[Any]) -> list[Any]:
    """Returns keys of which not too many have the same hash: a table takes the square of their number to find them."""
    if len(keys) > _FEW_KEYS and 2 * len(set(map(hash, keys))) < len(keys):
        raise NotPlain("too many keys with the same hash")
    return keys


def _pairs(parts: list[Any]) -> Iterable[tuple[Any, Any]]:
    return zip(_keys(parts[::2]), parts[1::2], strict=True)


def _zoned(kind: type, numbers: int, parts: list[Any]) -> Any:
    """Makes a time or datetime, whose last two parts are its zone and its fold."""
    zone = parts[-2] if len(parts) > 1 else None
    found = _exact(parts, *[int] * numbers, timezone if zone is not None else type(None), int)
    return kind(*found[:-1], fold=found[-1])


def _integer(parts: list[Any]) -> int:
    return int(_exact(parts, str)[0], 16)


def _fraction(parts: list[Any]) -> Fraction:
    numerator, denominator = _exact(parts, int, int)
    if _bits(numerator, denominator) > FRACTION_BITS:
        raise NotPlain(f"a fraction of more than {FRACTION_BITS} bits")
    return Fraction(numerator, denominator)


def _slice(parts: list[Any]) -> slice:
    start, stop, step = parts
    return slice(start, stop, step)


def _path(kind: Callable[[str], Any]) -> Callable[[list[Any]], Any]:
    return lambda parts: kind(*_exact(parts, str))


_MAKERS: Final[dict[str, Callable[[list[Any]], Any]]] = {
    "int": _integer,
    "list": lambda parts: parts,
    "tuple": tuple,
    "set": lambda parts: set(_keys(parts)),
    "frozenset": lambda parts: frozenset(_keys(parts)),
    "dict": lambda parts: dict(_pairs(parts)),
    "OrderedDict": lambda parts: OrderedDict(_pairs(parts)),
    "complex": lambda parts: complex(*_exact(parts, float, float)),
    "range": lambda parts: range(*_exact(parts, int, int, int)),
    "slice": _slice,
    "date": lambda parts: date(*_exact(parts, int, int, int)),
    "time": lambda parts: _zoned(time, 4, parts),
    "datetime": lambda parts: _zoned(datetime, 7, parts),
    "timedelta": lambda parts: timedelta(*_exact(parts, int, int, int)),
    "timezone": lambda parts: timezone(*_exact(parts, timedelta, *[str] * (len(parts) - 1))),
    "Decimal": lambda parts: Decimal(*_exact(parts, str)),
    "Fraction": _fraction,
    "UUID": lambda parts: UUID(*_exact(parts, str)),
    **{kind.__name__: _path(kind) for kind in _PATHS},
}
"""The maker of each tag's object, which checks the types of its parts. Bytes are made by the reader."""
