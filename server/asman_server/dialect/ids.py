"""Definitions as the dialect sends them, and both generations of their ids.

A definition may have unknown members, nulls and empty maps. The first generation's id covers all of these. The second
generation's id covers known members only and is the native id (`asman_shared.identity`). A job that was submitted under
its first-generation id is known by both.
"""

from __future__ import annotations

import hashlib
from typing import Any, Final

import msgspec
import rfc8785
from msgspec import Struct

from asman_shared import identity, limits
from asman_shared.definition import Build, DataRef, Definition, Requirements
from asman_shared.errors import BadDefinition, TooLarge

SAFE_INT: Final = 2**53 - 1
DEPTH: Final = 100
"""Maximum nesting depth of the values of a definition."""
_PRESIGNED: Final = "/presignedurl/"
_FILES: Final = ("inputs", "configFiles")
_CHANNELS: Final = ("channel", "CHANNEL")


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
    value = as_javascript(sent)
    definition = read(value)
    job = identity.job_id(definition)
    if supplied in (None, "", job):
        return Identified(definition, job, job)
    first = first_id(value)
    if supplied != first:
        raise BadDefinition(
            f"the id {supplied!s:.12}… is not this definition's: it is {job[:12]}…, or {first[:12]}… by the older rule",
            field="id",
        )
    return Identified(definition, job, first)


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
    try:
        body = rfc8785.dumps(made)
    except (rfc8785.CanonicalizationError, UnicodeEncodeError) as error:
        raise BadDefinition(f"the definition can't be written as JSON: {error}", field="definition") from error
    if len(body) > limits.DEFINITION_BYTES:
        raise TooLarge(f"the definition has {len(body)} bytes; the maximum is {limits.DEFINITION_BYTES}")
    return hashlib.sha256(body).hexdigest()


def _first_ref(ref: Any) -> Any:
    if not isinstance(ref, dict):
        return ref
    kept = {name: ref[name] for name in ("type", "value") if name in ref}
    value = kept.get("value")
    if kept.get("type") == "url" and isinstance(value, str):
        kept["value"] = value.partition(_PRESIGNED)[0]
    return kept


def as_javascript(value: Any, depth: int = 0) -> Any:
    """Returns a JSON value with JavaScript's numbers: whole numbers beyond 2^53 become the nearest double.

    Raises:
        BadDefinition: The value is nested too deeply, or has a number beyond any double.
    """
    if depth > DEPTH:
        raise BadDefinition(f"a definition may be nested at most {DEPTH} levels deep", field="definition")
    if isinstance(value, dict):
        return {key: as_javascript(one, depth + 1) for key, one in value.items()}
    if isinstance(value, list):
        return [as_javascript(one, depth + 1) for one in value]
    if isinstance(value, int) and not isinstance(value, bool) and abs(value) > SAFE_INT:
        try:
            return float(value)
        except OverflowError:
            raise BadDefinition("a number in the definition is too large", field="definition") from None
    return value


def read(value: Any) -> Definition:
    """Returns the definition that is run: the known members that are not null.

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
    try:
        return msgspec.convert(made, Definition)
    except (msgspec.ValidationError, RecursionError) as error:
        sentence, _, path = str(error).partition(" - at `$")
        raise BadDefinition(sentence, field=f"definition{path.rstrip('`')}") from None


def _known(value: dict[str, Any], kind: type[Struct]) -> dict[str, Any]:
    names = {field.encode_name for field in msgspec.structs.fields(kind)}
    # The value of a json ref may be null; everywhere else null is the same as absent.
    return {name: one for name, one in value.items() if name in names and (one is not None or name == "value")}
