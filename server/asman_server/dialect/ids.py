"""Definitions as the dialect sends them, and both generations of their ids.

A definition may have unknown members, nulls and empty maps. The first generation's id covers all of these. The second
generation's id covers known members only and is the native id (`asman_shared.identity`). A job that was submitted under
its first-generation id is known by both.
"""

from __future__ import annotations

import hashlib
import re
from typing import Any, Final

import msgspec
import rfc8785
from msgspec import Struct

from asman_shared import identity, limits, units
from asman_shared.definition import Build, DataRef, Definition, Requirements
from asman_shared.errors import AsmanError, BadDefinition, TooLarge, misfit

SAFE_INT: Final = 2**53 - 1
DEPTH: Final = limits.VALUE_DEPTH + 3
"""Maximum nesting depth of a definition: the value of a json ref is three levels down."""
RAW_BYTES: Final = 4 * limits.DEFINITION_BYTES
"""Largest size of a definition as it was sent, in bytes; its id leaves out some of it, such as signatures."""
_WHOLE_BYTES: Final = 4
"""Most bytes by which RFC 8785 writes a whole float shorter than msgspec does; other floats are never shorter."""
_FILES: Final = ("inputs", "configFiles")
_CHANNELS: Final = ("channel", "CHANNEL")
_PART: Final = re.compile(r"(\d{1,15}(?:\.\d{1,9})?|\.\d{1,9})\s*([a-z]*)[\s,]*", re.ASCII | re.IGNORECASE)
_UNITS: Final = {
    **dict.fromkeys(("", "ms", "msec", "millisecond"), 1),
    **dict.fromkeys(("s", "sec", "second"), 1000),
    **dict.fromkeys(("m", "min", "minute"), 60_000),
    **dict.fromkeys(("h", "hr", "hour"), 3_600_000),
    **dict.fromkeys(("d", "day"), 86_400_000),
    **dict.fromkeys(("w", "wk", "week"), 7 * 86_400_000),
}
"""Units of durations as earlier services read them, in milliseconds; a number without one is in milliseconds."""
_LEAST_BARE: Final = 1000
"""Smallest number without a unit that is taken for milliseconds: nobody who writes ``20`` means so few of them."""


class Identified(Struct, frozen=True):
    """A definition as read from a message.

    Attributes:
        definition: The definition that is run.
        job: Id of the job.
        key: The id by which the sender knows the job: ``job``, or its first-generation id.
    """

    definition: Definition
    job: str
    key: str

    @property
    def alias(self) -> str:
        """The other id of the job; empty when there is none."""
        return "" if self.key == self.job else self.key


def identify(sent: Any, supplied: str | None = None) -> Identified:
    """Reads a definition and finds its ids.

    Args:
        sent: The definition, as decoded from JSON.
        supplied: The id that was sent with the definition; it must be correct by either rule.

    Raises:
        BadDefinition: The definition can't be read, or the id is another definition's.
        TooLarge: The definition is over its limit.
    """
    if (raw := _size(sent)) > RAW_BYTES:
        raise TooLarge(
            f"the definition has {raw} bytes as it was sent; the maximum is {RAW_BYTES}, and of what counts for its id "
            f"{limits.DEFINITION_BYTES}; upload large inputs as blobs and name them by key",
            field="definition",
        )
    value = as_javascript(sent)
    definition = read(value)
    _check_size(identity.canonical_object(definition), _floats(value))
    job = identity.job_id(definition)
    if supplied in (None, "", job):
        return Identified(definition, job, job)
    first = first_id(value)
    if supplied not in (first, _second_as_sent(value, definition)):
        raise BadDefinition(
            f"the id {supplied!s:.12}… is not this definition's: it is {job[:12]}…, or {first[:12]}… by the older rule",
            field="id",
        )
    return Identified(definition, job, str(supplied))


def _second_as_sent(value: dict[str, Any], definition: Definition) -> str:
    """The id by the second generation's rule of a definition with members in older forms; empty if it has none."""
    kept = identity.canonical_object(definition)
    made = dict(kept)
    for member in ("maxDuration", "env", "requirements"):
        if member in kept:
            sent, names = value[member], kept[member]
            made[member] = {name: sent[name] for name in names} if isinstance(names, dict) else sent
    if made == kept:
        return ""
    return hashlib.sha256(identity.canonical_bytes(made, plain=not _floats(made))).hexdigest()


def first_id(value: Any) -> str:
    """The id by the first generation's rule.

    Args:
        value: A definition as `as_javascript` gives it.

    Raises:
        BadDefinition: The definition can't be written as JSON.
        TooLarge: The definition is over `limits.DEFINITION_BYTES`.
    """
    if not isinstance(value, dict):
        raise BadDefinition("a definition must be an object", field="definition")
    made = dict(value)
    for name in _FILES:
        files = made.get(name)
        if isinstance(files, dict):
            made[name] = {key: _first_ref(ref) for key, ref in files.items()}
    env = made.get("env")
    if isinstance(env, dict):
        made["env"] = {name: text for name, text in env.items() if name not in _CHANNELS or not text}
    floats = _floats(made)
    _check_size(made, floats)
    body = identity.canonical_bytes(made, plain=not floats)
    if len(body) > limits.DEFINITION_BYTES:
        raise TooLarge(f"the definition has {len(body)} bytes; the maximum is {limits.DEFINITION_BYTES}")
    return hashlib.sha256(body).hexdigest()


def is_of_both(sent: Any, job: str) -> bool:
    """Whether a job's own id is also that of the first generation's rule, for this definition as it was sent."""
    try:
        return first_id(as_javascript(sent)) == job
    except AsmanError:  # as it was sent, it is too large for an id
        return False


def _check_size(made: dict[str, Any], floats: list[float]) -> None:
    """Refuses a definition that is surely over its limit before it is written by RFC 8785, which takes long.

    Raises:
        TooLarge: The definition is over `limits.DEFINITION_BYTES`.
    """
    least = _least(made, floats)
    if least > limits.DEFINITION_BYTES:
        raise TooLarge(
            f"the definition has at least {least} bytes; the maximum is {limits.DEFINITION_BYTES}; "
            "upload large inputs as blobs and name them by key",
            field="definition",
        )


def _least(made: Any, floats: list[float]) -> int:
    """Returns a size that a value has at least by RFC 8785, in bytes."""
    return _size(made) - _WHOLE_BYTES * sum(map(float.is_integer, floats))


def _size(value: Any) -> int:
    """Returns the size of a value as JSON, in bytes; 0 if it can't be written, which is told with its reason later."""
    try:
        return len(msgspec.json.encode(value))
    except (UnicodeEncodeError, OverflowError, RecursionError):
        return 0


def _floats(value: Any) -> list[float]:
    """Returns the floats in a JSON value; only those are written in another way by RFC 8785."""
    found: list[float] = []
    rest = [value]
    while rest:
        one = rest.pop()
        if isinstance(one, dict):
            rest += one.values()
        elif isinstance(one, list):
            rest += one
        elif isinstance(one, float):
            found.append(one)
    return found


def _first_ref(ref: Any) -> Any:
    if not isinstance(ref, dict):
        return ref
    kept = {name: one for name, one in ref.items() if name != "hash"}
    value = kept.get("value")
    if kept.get("type") == "url" and isinstance(value, str):
        kept["value"] = identity.bare_url(value)
    return kept


def as_javascript(value: Any, depth: int = 0) -> Any:
    """Returns a JSON value with JavaScript's numbers: whole numbers beyond 2^53 become the nearest double.

    Raises:
        BadDefinition: The value is nested too deeply, or has a number beyond any double.
    """
    if depth > DEPTH:
        raise BadDefinition(f"values may be nested at most {limits.VALUE_DEPTH} levels deep", field="definition")
    if isinstance(value, dict):
        return {key: as_javascript(one, depth + 1) for key, one in value.items()}
    if isinstance(value, list):
        return [as_javascript(one, depth + 1) for one in value]
    if isinstance(value, int) and not isinstance(value, bool) and abs(value) > SAFE_INT:
        try:
            return float(value)
        except OverflowError:
            raise BadDefinition("a number is too large: the greatest is about 1.8e308", field="definition") from None
    return value


def read(value: Any) -> Definition:
    """Returns the definition that is run: the known members that are not null, in the forms that Asman has for them.

    Raises:
        BadDefinition: A member has the wrong type; the error names it.
    """
    if not isinstance(value, dict):
        raise BadDefinition("a definition must be an object", field="definition")
    made = _known(value, Definition)
    for name, kind in (("build", Build), ("requirements", Requirements)):
        part = made.get(name)
        if isinstance(part, dict):
            made[name] = _known(part, kind)
    for name in _FILES:
        files = made.get(name)
        if isinstance(files, dict):
            made[name] = {
                key: _known(ref, DataRef) if isinstance(ref, dict) else ref
                for key, ref in files.items()
                if ref is not None
            }
    _in_new_forms(made)
    try:
        return msgspec.convert(made, Definition)
    except (msgspec.ValidationError, RecursionError) as error:
        sentence, path = misfit(error)
        field = f"definition{path}" if path.startswith("[") or not path else f"definition.{path}"
        raise BadDefinition(sentence, field=field) from None


def _in_new_forms(made: dict[str, Any]) -> None:
    """Writes members as Asman does that earlier services took in other forms, too; what is in no form stays."""
    if isinstance(env := made.get("env"), dict):
        made["env"] = {name: _text(one) for name, one in env.items()}
    if "maxDuration" in made:
        made["maxDuration"] = duration(made["maxDuration"])
    if isinstance(needs := made.get("requirements"), dict):
        if "maxDuration" in needs:
            needs["maxDuration"] = duration(needs["maxDuration"])
        for name in ("cpus", "gpus"):
            if isinstance(needs.get(name), str) and len(needs[name]) <= limits.UNIT_LENGTH:
                needs[name] = _number(needs[name])


def _text(value: Any) -> Any:
    """Returns a number, true or false as the text that a container was given for it."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        try:
            return rfc8785.dumps(value).decode()
        except rfc8785.CanonicalizationError:
            return value
    return value


def _number(text: str) -> Any:
    """Returns the number that a text is; the text itself if it is none."""
    try:
        found = float(text)
    except ValueError:
        return text
    return int(found) if found.is_integer() else found if abs(found) <= SAFE_INT else text


def duration(given: Any) -> Any:
    """Returns a duration as Asman writes it: earlier services also took ``10 min``, ``1.5h``, ``2 days`` and numbers.

    What is none stays as it is, so that it is refused with its reason.
    """
    if isinstance(given, int | float) and not isinstance(given, bool):
        given = _text(given)
    if not isinstance(given, str) or len(given) > units.LENGTH:
        return given
    try:
        units.parse_duration(given)
    except AsmanError:
        parts = _PART.findall(given)
        known = [_UNITS.get(unit.lower(), _UNITS.get(unit.lower().removesuffix("s"))) for _, unit in parts]
        unclear = any(not unit and float(number) < _LEAST_BARE for number, unit in parts)
        if not parts or None in known or unclear or _PART.sub("", given.strip()):
            return given
        ms = int(0.5 + sum(float(number) * (unit or 0) for (number, _), unit in zip(parts, known, strict=True)))
        return f"{ms}ms" if 0 < ms < 10**12 else given
    return given


def _known(value: dict[str, Any], kind: type[Struct]) -> dict[str, Any]:
    names = {field.encode_name for field in msgspec.structs.fields(kind)}
    # The value of a json ref may be null; everywhere else null is the same as absent.
    return {name: one for name, one in value.items() if name in names and (one is not None or name == "value")}
