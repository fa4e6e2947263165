"""Checks and conversions of the arguments of public functions: a wrong one is an error that names the argument."""

from __future__ import annotations

import math
import os
import re
from collections.abc import Iterable, Mapping, Set
from datetime import timedelta
from difflib import get_close_matches
from numbers import Integral, Real
from operator import index
from pathlib import Path
from typing import Any, Final

import msgspec

from asman_shared.definition import SHA256, Build, DataRef, Definition, Requirements, Step
from asman_shared.errors import BadRequest, BadUnit, cut, misfit
from asman_shared.messages import Callback, Callbacks
from asman_shared.states import Reason, State
from asman_shared.units import DURATION_MAX

SHORTEST_PREFIX: Final = 4
"""Smallest number of digits of a job's id that name the job."""
MAX_SECONDS: Final = DURATION_MAX / 1000
"""Longest time that an argument may give, in seconds."""
MAX_NUMBER: Final = 2**53 - 1
"""Largest whole number, which all programs that read JSON can count."""
SHOWN: Final = 60
"""Number of characters of a wrong value that an error shows."""

_MEANT: Final = {
    "args": "command",
    "cmd": "command",
    "cwd": "workdir",
    "working_dir": "workdir",
    "environ": "env",
    "environment": "env",
    "cpu": "cpus",
    "gpu": "gpus",
    "ram": "memory",
    "mem": "memory",
    "keep": "outputs",
    "retries": "max_attempts",
    "retry": "max_attempts",
}
"""Names that other programs have for an argument, by which it is found although its own name is not near."""

_KINDS: Final[dict[str, dict[str, type[msgspec.Struct]]]] = {
    "definition": {
        "": Definition,
        "build": Build,
        "requirements": Requirements,
        "inputs": DataRef,
        "configFiles": DataRef,
        "steps": Step,
    },
    "callbacks": {"": Callbacks, "queued": Callback, "finished": Callback},
}
"""Classes of the objects in an argument, by the first part of their paths."""
_UNKNOWN: Final = re.compile(r"Object contains unknown field `(?P<name>.*)`", re.DOTALL)
_PATH: Final = re.compile(r"[.\[]")


def shown(value: object) -> str:
    """Returns a value as an error shows it."""
    try:
        return cut(repr(value), SHOWN)
    except Exception:  # an object whose repr fails, or a number with too many digits
        return f"this {type(value).__name__}"


def kind_of(value: object) -> str:
    """Returns the type of a value with its article, for sentences."""
    if value is None:
        return "None"
    kind = type(value).__name__
    return f"{'an' if kind[0] in 'aeiouAEIOU' else 'a'} {kind}"


def wrong(name: str, value: object, wanted: str) -> BadRequest:
    """Makes the error for an argument of a wrong type.

    Args:
        name: The argument.
        value: The value that was given.
        wanted: The values that are possible, as the object of "pass".
    """
    return BadRequest(f"{name} is {kind_of(value)}; pass {wanted}", field=name)


# ------------------------------------------------------------------------------------------------------------- names


def nearest(name: str, names: Iterable[str]) -> str:
    """Returns the end of a sentence that names the known name which is nearest to an unknown one; may be empty."""
    near = get_close_matches(name, sorted(names), 1)
    return f"; did you mean '{near[0]}'?" if near else ""


def known(names: Set[object], taken: Set[str], others: Iterable[str] = ()) -> None:
    """Checks the names of keyword arguments.

    Args:
        names: The names that were given.
        taken: The names that there are.
        others: Further arguments of the same function, which an unknown name may mean.

    Raises:
        BadRequest: One is unknown; the error has the nearest known one.
    """
    if not names <= taken:
        unknown = names - taken
        name = cut(min(map(str, unknown)), SHOWN)
        every = taken | set(others)
        meant = _MEANT.get(name.lower(), "")
        near = f"; did you mean '{meant}'?" if meant in every else nearest(name, every)
        raise BadRequest(f"unknown argument '{name}'{near}", field=name)


def unfit(error: msgspec.ValidationError, root: str) -> tuple[str, str]:
    """Describes why the mapping in an argument can't be read, with the nearest name for an unknown member.

    Args:
        error: The error of reading it.
        root: The argument: ``definition`` or ``callbacks``.

    Returns:
        The sentence, and the path of the member at fault.
    """
    sentence, path = misfit(error)
    where = f"{root}.{path}".rstrip(".")
    unknown = _UNKNOWN.fullmatch(sentence)
    if unknown is None:
        return f"{sentence} ({where})", where
    name = unknown["name"]
    kinds = _KINDS[root]
    kind = kinds.get(_PATH.split(path)[0])
    names = {each.encode_name for each in msgspec.structs.fields(kind)} if kind is not None else set()
    inner = next((part for part, each in kinds.items() if part and not path and name in each.__struct_fields__), "")
    hint = f"; did you mean '{inner}.{name}'?" if inner == "requirements" else nearest(name, names)
    return f"unknown member '{name}' of {where}{hint}", f"{where}.{name}"


# ------------------------------------------------------------------------------------------------------------ values


def text(name: str, value: object, wanted: str = "a string") -> str:
    """Returns a text.

    Raises:
        BadRequest: The value is something else.
    """
    if not isinstance(value, str):
        raise wrong(name, value, wanted)
    return value


def words_of(name: str, value: object) -> list[str]:
    """Returns the words of a list; one alone is a list of it.

    Raises:
        BadRequest: The value is no list of words.
    """
    if isinstance(value, str):
        return [value]
    if not isinstance(value, Iterable) or isinstance(value, bytes | bytearray | memoryview | Mapping):
        raise wrong(name, value, "a word or a list of words")
    return [text(name, each, "a word or a list of words") for each in value]


def whole(name: str, value: object, *, least: int = -MAX_NUMBER, most: int = MAX_NUMBER) -> int:
    """Returns a whole number in a range.

    Raises:
        BadRequest: The value is no whole number, or out of range.
    """
    if type(value) is int:  # the usual case, without the cost of the others
        number = value
    elif isinstance(value, bool) or not isinstance(value, Integral):
        raise wrong(name, value, "a whole number")
    else:
        number = index(value)
    if not least <= number <= most:
        raise BadRequest(f"{name} must be from {least:,} to {most:,}, not {shown(number)}", field=name)
    return number


def seconds(name: str, value: object, wanted: str = "a number of seconds, or None for no limit") -> float:
    """Returns a time in seconds.

    Raises:
        BadUnit: The value is no number, or no time that can be waited for.
    """
    if isinstance(value, timedelta):
        value = value.total_seconds()
    if isinstance(value, bool) or not isinstance(value, Real):
        raise BadUnit(f"{name} is {kind_of(value)}; pass {wanted}", field=name)
    try:
        number = float(value)
    except OverflowError:
        number = math.inf
    if not abs(number) <= MAX_SECONDS:
        raise BadUnit(f"{name} is {shown(value)}; pass {wanted}, at most {MAX_SECONDS:.0f}", field=name)
    return number


def limit(name: str, value: object) -> float | None:
    """Returns a time limit in seconds, or None for no limit; see `seconds`."""
    return None if value is None else seconds(name, value)


def path(name: str, value: object) -> Path:
    """Returns the path of a file or folder; an empty one is refused, because it stands for the current folder.

    Raises:
        BadRequest: The value is no path, or empty.
    """
    given = os.fspath(value) if isinstance(value, os.PathLike) else value
    if not isinstance(given, str):
        raise wrong(name, value, "a path")
    if not given:
        raise BadRequest(f"{name} is empty; pass a path, '.' for the current folder", field=name)
    if "\0" in given:
        raise BadRequest(f"{name} has a zero character, which no path has", field=name)
    return Path(given)


def check_key(key: object, name: str = "key") -> str:
    """Returns the name of a blob after checking it.

    Raises:
        BadRequest: It is not the name of a blob.
    """
    wanted = "a blob's name, its sha256: 64 hex digits in lower case"
    if SHA256.fullmatch(text(name, key, wanted)) is None:
        raise BadRequest(f"{name} is {shown(key)}; pass {wanted}", field=name)
    return str(key)


# -------------------------------------------------------------------------------------------------------------- jobs


def read_callbacks(callbacks: Callbacks | Mapping[str, Any] | None) -> Callbacks | None:
    """Converts webhooks to the form that is sent.

    Raises:
        BadRequest: A field is unknown or has the wrong type.
    """
    if callbacks is None or isinstance(callbacks, Callbacks):
        return callbacks
    if not isinstance(callbacks, Mapping):
        raise wrong("callbacks", callbacks, 'a mapping such as {"finished": {"url": …}}')
    try:
        return msgspec.convert(dict(callbacks), Callbacks)
    except msgspec.ValidationError as error:
        sentence, field = unfit(error, "callbacks")
        raise BadRequest(sentence, field=field) from error


def job_named(named: object) -> str:
    """Returns the id, or the beginning of the id, of the job that a text names: by itself or in the job's URL.

    Raises:
        BadRequest: The text names no job.
    """
    wanted = f"the job's id, at least its first {SHORTEST_PREFIX} digits, or the job's URL"
    given = text("job", named, wanted)
    start = given.strip().partition("#")[0].partition("?")[0].rstrip("/").rpartition("/")[2].partition("~")[0].lower()
    if not SHORTEST_PREFIX <= len(start) <= 64 or set(start) - set("0123456789abcdef"):
        raise BadRequest(f"{shown(given)} is not a job: give {wanted}", field="job")
    return start


def read_states(states: object) -> tuple[list[State], frozenset[Reason]]:
    """Reads the states and reasons that a list of jobs shows, by their names in upper or lower case.

    Args:
        states: One name, or several. A reason, such as ``Failed``, means the finished jobs that ended so.

    Returns:
        The states to ask the hub for, and the reasons that finished jobs may have; none for any.

    Raises:
        BadRequest: A name is unknown, or the value is no list of names.
    """
    by_state = {each.value.lower(): each for each in State if each is not State.REMOVED}
    by_reason = {each.value.lower(): each for each in Reason}
    wanted: list[State] = []
    reasons: set[Reason] = set()
    for each in words_of("states", states):
        word = each.lower()
        if isinstance(each, State) or word in by_state:
            wanted.append(each if isinstance(each, State) else by_state[word])
        elif word in by_reason:
            reasons.add(by_reason[word])
        else:
            names = ", ".join(each.value for each in (*by_state.values(), *by_reason.values()))
            sentence = f"{shown(each)} is neither a state nor a reason{nearest(word, {*by_state, *by_reason})}"
            raise BadRequest(f"{sentence.rstrip('?')}: use one of {names}", field="states")
    if State.FINISHED in wanted:
        reasons.clear()
    elif reasons:
        wanted.append(State.FINISHED)
    return list(dict.fromkeys(wanted)), frozenset(reasons)
