"""A job's id: the sha256 of its canonical definition.

Canonical means RFC 8785 (JCS) over known, non-empty fields, by the rule that existing clients follow, so that the
same job has the same id everywhere. `effective` gives the definition that is run: fields that the
rule leaves out of the hash do not reach the container either, so that one id never means two different runs.
"""

from __future__ import annotations

import hashlib
from typing import Any

import msgspec
import rfc8785

from . import limits
from .definition import DataRef, Definition, Step, is_injected_env
from .errors import BadDefinition, TooLarge
from .places.urls import is_place

_sorted = msgspec.json.Encoder(order="sorted").encode
_SAFE_INT = 2**53 - 1
_PRESIGNED = "/presignedurl/"
#: Addresses in this bucket are signed in their queries; existing clients leave these out of ids.
_SIGNED_BUCKET = "https://metaframe-asman-test.s3.us-west-1.amazonaws.com"
#: Fields that count whenever they are not null, even when they are empty.
_PLAIN = ("v", "image", "command", "entrypoint", "workdir", "shm_size", "max_duration", "tags")
#: What a file takes in a definition besides its name: ``"":{"type":"key","value":"<64 digits>"},``.
_KEY_REF_BYTES = 96
_STREAMS = ("stdin", "stdout", "stderr")
_WIRE_NAMES = {"shm_size": "shmSize", "max_duration": "maxDuration"}


def _members(part: msgspec.Struct | None) -> dict[str, Any]:
    """Returns the non-null members of a part such as ``build``, by their wire names."""
    return {} if part is None else dict(msgspec.to_builtins(part))


def bare_url(url: str) -> str:
    """Returns the part of an address that identifies the bytes, as existing clients find it; the rest signs it.

    That is all before ``/presignedurl/``, and in one bucket all before the query or fragment.
    """
    if is_place(url):
        return url  # nothing in it is a signature
    bare = url.partition(_PRESIGNED)[0]
    if url.startswith(_SIGNED_BUCKET):
        bare = bare.partition("#")[0].partition("?")[0]
    return bare


def _canonical_ref(ref: DataRef) -> dict[str, Any]:
    value = ref.value
    if ref.type == "url" and isinstance(value, str):
        value = bare_url(value)
    return {"value": value} if ref.type is None else {"type": ref.type, "value": value}


def canonical_object(definition: Definition) -> dict[str, Any]:
    """Returns the object that is hashed, before it is encoded."""
    made: dict[str, Any] = {}
    for name in _PLAIN:
        value = getattr(definition, name)
        if value is not None:
            made[_WIRE_NAMES.get(name, name)] = value
    if build := _members(definition.build):
        made["build"] = build
    if needs := _members(definition.requirements):
        made["requirements"] = needs
    if definition.env:
        env = {k: v for k, v in definition.env.items() if not is_injected_env(k)}
        if env:
            made["env"] = env
    if definition.inputs:
        made["inputs"] = {k: _canonical_ref(r) for k, r in definition.inputs.items()}
    if definition.config_files:
        made["configFiles"] = {k: _canonical_ref(r) for k, r in definition.config_files.items()}
    if definition.outputs:
        made["outputs"] = definition.outputs
    return made | _parts(definition)


def _parts(definition: Definition) -> dict[str, Any]:
    """Returns the members that only jobs with volumes, steps or files for standard streams have."""
    if not definition.needs_volumes:
        return {}
    made: dict[str, Any] = {name: getattr(definition, name) for name in _STREAMS if getattr(definition, name)}
    if definition.volumes:
        made["volumes"] = definition.volumes
    if definition.ignore_failure:
        made["ignoreFailure"] = True
    if definition.steps:
        made["steps"] = [_members(_effective_step(step)) for step in definition.steps]
    return made


def _effective_step(step: Step) -> Step:
    """Returns a step without the variables that never reach a container."""
    if step.env is None or not (any(map(is_injected_env, step.env)) or not step.env):
        return step
    env = {k: v for k, v in step.env.items() if not is_injected_env(k)}
    return msgspec.structs.replace(step, env=env or None)


def _is_plain(definition: Definition) -> bool:
    """Whether msgspec writes this definition as RFC 8785 does, keys aside.

    The two differ for floats, for integers beyond 2^53 (which RFC 8785 refuses) and for the order of keys outside
    the basic plane; json refs may hold any of these.
    """
    needs = definition.requirements
    if needs is not None and isinstance(needs.cpus, float):
        return False
    if isinstance(definition.v, int) and abs(definition.v) > _SAFE_INT:
        return False
    for refs in (definition.inputs, definition.config_files):
        if refs and not all(isinstance(r.value, str) for r in refs.values()):
            return False
    return True


def canonical_bytes(made: dict[str, Any], *, plain: bool = False) -> bytes:
    """Returns the RFC 8785 bytes of a canonical object.

    Args:
        made: The object.
        plain: Whether it has neither floats nor huge integers, which allows faster encoding.

    Raises:
        BadDefinition: It has a value that JSON can't express, such as a lone surrogate or NaN.
    """
    try:
        if plain and (body := _sorted(made)).isascii():
            return body
        return rfc8785.dumps(made)
    except (rfc8785.CanonicalizationError, UnicodeEncodeError) as error:
        raise BadDefinition(f"the definition can't be written as JSON: {_short(error)}", field="definition") from error


def _short(error: Exception) -> str:
    """Returns an error's words, the end first: they may begin with a number of thousands of digits."""
    text = str(error)
    return text if len(text) <= 200 else f"…{text[-100:]}"


def json_bytes(value: object) -> bytes:
    """Returns the bytes of a json ref, the same wherever they are written: RFC 8785, which is also what the id covers.

    A value that RFC 8785 refuses can't be submitted; in the result of another program's worker it is written as JSON.
    """
    try:
        return rfc8785.dumps(value)  # type: ignore[arg-type]
    except (rfc8785.CanonicalizationError, UnicodeEncodeError):
        return msgspec.json.encode(value)


def _is_simple(definition: Definition) -> bool:
    """Whether a definition's members are its canonical object already, so that no copy is needed."""
    return (
        definition.inputs is None
        and definition.config_files is None
        and definition.build is None
        and definition.requirements is None
        and definition.v is None
        and not definition.ignore_failure
        and definition.volumes is None
        and definition.steps is None
        and definition.stdin is None
        and definition.stdout is None
        and definition.stderr is None
        and (definition.outputs is None or bool(definition.outputs))
        and (definition.env is None or (bool(definition.env) and not any(map(is_injected_env, definition.env))))
    )


def _canonical(definition: Definition, *, bare: bool) -> bytes:
    """Returns the RFC 8785 bytes of a definition, in one fast step for most definitions."""
    if bare or _is_simple(definition):
        try:
            body = _sorted(definition)
        except UnicodeEncodeError:
            pass
        else:
            if body.isascii():
                return body
    return canonical_bytes(canonical_object(definition), plain=_is_plain(definition))


def job_id(definition: Definition, *, bare: bool = False) -> str:
    """Returns the id of a job: 64 lowercase hex digits.

    Args:
        definition: The definition.
        bare: Whether it `is_bare`, if that is known already; then its id is found faster.

    Raises:
        BadDefinition: The definition can't be written as JSON.
        TooLarge: The definition is over `limits.DEFINITION_BYTES`.
    """
    body = _canonical(definition, bare=bare)
    if len(body) > limits.DEFINITION_BYTES:
        raise TooLarge(
            f"the definition has {len(body)} bytes; the maximum is {limits.DEFINITION_BYTES}; {_advice(definition)}",
            field="definition",
        )
    return hashlib.sha256(body).hexdigest()


def _advice(definition: Definition) -> str:
    """Advises how to make a definition smaller."""
    files = {**(definition.inputs or {}), **(definition.config_files or {})}
    named = sum(len(name.encode("utf-8", "surrogatepass")) + _KEY_REF_BYTES for name in files)
    if named > limits.DEFINITION_BYTES // 2:
        return (
            f"the names and hashes of its {len(files)} files alone take about {named}: pack them into one archive, "
            "and unpack it in the command"
        )
    return "upload large inputs as blobs and name them by key"


def names_urls(definition: Definition) -> bool:
    """Whether a file of a definition is named by an address, so that it may have a signature (`signatures`)."""
    for refs in (definition.inputs, definition.config_files):
        if refs and any(ref.type == "url" for ref in refs.values()):
            return True
    return False


Signatures = dict[str, str]
"""The ends of addresses that the id leaves out, by ``inputs/`` or ``configFiles/`` and the file's name."""


def signatures(definition: Definition) -> Signatures:
    """Returns the ends of addresses that are needed to fetch the bytes, but don't identify them.

    They belong to one submission. The definition without them (`unsigned`) belongs to all that submit it.
    """
    found: Signatures = {}
    for place, refs in (("inputs", definition.inputs), ("configFiles", definition.config_files)):
        for name, ref in (refs or {}).items():
            if ref.type == "url" and isinstance(ref.value, str) and (end := ref.value[len(bare_url(ref.value)) :]):
                found[f"{place}/{name}"] = end
    return found


def unsigned(definition: Definition) -> Definition:
    """Returns a definition without its `signatures`; its id is the same."""
    return signed(definition, {}) if names_urls(definition) else definition


def signed(definition: Definition, ends: Signatures) -> Definition:
    """Returns a definition with the given `signatures` and no others."""

    def whole(place: str, refs: dict[str, DataRef] | None) -> dict[str, DataRef] | None:
        return refs and {name: _signed(ref, ends.get(f"{place}/{name}", "")) for name, ref in refs.items()}

    return msgspec.structs.replace(
        definition,
        inputs=whole("inputs", definition.inputs),
        config_files=whole("configFiles", definition.config_files),
    )


def _signed(ref: DataRef, end: str) -> DataRef:
    if ref.type != "url" or not isinstance(ref.value, str):
        return ref
    value = bare_url(ref.value) + end
    return ref if value == ref.value else DataRef(value, "url")


def effective(definition: Definition) -> Definition:
    """Returns the definition as it is run: only fields that the id covers, and the `signatures` of addresses."""
    env = definition.env
    if env and any(is_injected_env(k) for k in env):
        env = {k: v for k, v in env.items() if not is_injected_env(k)}
        definition = msgspec.structs.replace(definition, env=env or None)
    if definition.steps:
        definition = msgspec.structs.replace(definition, steps=[_effective_step(step) for step in definition.steps])
    return definition
