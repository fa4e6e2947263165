"""Checks a definition, and computes its shape, without running the job."""

from __future__ import annotations

import base64
import binascii
import re
from pathlib import PurePosixPath

from . import limits
from .definition import DEFAULT_SHAPE, SHA256, UPLOADED, Build, DataRef, Definition, Requirements, Shape
from .errors import BadDefinition
from .public_addresses import malformed
from .units import parse_duration, parse_size

_ENV_NAME = re.compile(rf"[^=\0]{{1,{limits.ENV_NAME_LENGTH}}}")
_PLATFORM = re.compile(r"[a-z0-9]+/[a-z0-9_]+(/[a-z0-9.]+)?")


def shape_of(definition: Definition) -> Shape:
    """Returns the requirement shape of a definition.

    Raises:
        BadUnit: A size or duration is unclear.
    """
    needs = definition.requirements
    build = definition.build
    if needs is None and not definition.tags and definition.max_duration is None and build is None:
        return DEFAULT_SHAPE
    needs = needs or Requirements()
    durations = [
        parse_duration(text, field=f"definition.{where}", least=1)
        for where, text in (
            ("maxDuration", definition.max_duration),
            ("requirements.maxDuration", needs.max_duration),
        )
        if text is not None
    ]
    return Shape(
        cpus=1000 if needs.cpus is None else round(needs.cpus * 1000),
        memory=0 if needs.memory is None else parse_size(needs.memory, field="definition.requirements.memory", least=1),
        gpus=needs.gpus or 0,
        tags=frozenset(definition.tags or ()),
        platform=(build.platform or "") if build else "",
        duration=min(durations) if durations else 0,
    )


def check_name(name: str, *, field: str, absolute: bool = False) -> str:
    """Returns the name of an input, output or config file, without a leading ``./``.

    A name is a relative path of plain parts; it can't leave the folder it is resolved in.

    Args:
        name: The name as given.
        field: The field that holds the name, for the error.
        absolute: Whether an absolute path is allowed (config files inside the container).

    Raises:
        BadDefinition: The name is empty, too long, or would escape.
    """

    def bad(why: str) -> BadDefinition:
        shown = name if len(name) <= 80 else name[:77] + "…"
        return BadDefinition(f"the name '{shown}' {why}", field=field)

    if not name or "\0" in name:
        raise bad("is empty" if not name else "has a NUL character")
    if len(name.encode("utf-8", "surrogatepass")) > limits.PATH_LENGTH:
        raise bad(f"is longer than {limits.PATH_LENGTH} bytes")
    if name.startswith("/") and not absolute:
        raise bad("is an absolute path: use a relative one")
    parts = name.removeprefix("/").split("/")
    while parts and parts[0] == ".":
        parts = parts[1:]
    for part in parts or [""]:
        if part in ("", ".", ".."):
            raise bad("has an empty, '.' or '..' part: write plain names joined by single slashes")
        if len(part.encode("utf-8", "surrogatepass")) > limits.NAME_LENGTH:
            raise bad(f"has a part longer than {limits.NAME_LENGTH} bytes")
        if any(ord(ch) < 32 for ch in part):
            raise bad("has a control character")
    clean = str(PurePosixPath(*parts))
    return f"/{clean}" if name.startswith("/") else clean


def base64_bytes(text: object, field: str) -> bytes:
    """Returns the bytes of a base64 text, which may have white space.

    Raises:
        BadDefinition: The text is not base64.
    """
    try:
        return base64.b64decode("".join(text.split()) if isinstance(text, str) else "?", validate=True)
    except (binascii.Error, ValueError):
        raise BadDefinition("the value of a base64 ref is not base64", field=field) from None


def check_ref(ref: DataRef, field: str) -> None:
    """Checks that a ref has bytes, or may name a place that has them.

    Raises:
        BadDefinition: The value does not fit the type.
    """
    if ref.hash is not None:
        _short(ref.hash, limits.NAME_LENGTH, f"{field}.hash")
    if ref.type == "json":
        return
    if not isinstance(ref.value, str):
        raise BadDefinition(f"the value of a {ref.type or 'utf8'} ref must be text", field=f"{field}.value")
    if ref.type == "key" and SHA256.fullmatch(ref.value) is None:
        raise BadDefinition(
            "the value of a key ref must be a sha256 in 64 lowercase hex digits", field=f"{field}.value"
        )
    if ref.type == "base64":
        base64_bytes(ref.value, f"{field}.value")
    if ref.type == "url":
        check_url_value(ref.value, f"{field}.value")


def check_url_value(value: str, field: str) -> None:
    """Checks the value of a url ref: an address, or one on the hub if it begins with a slash.

    Raises:
        BadDefinition: It can't be an address.
    """
    if not value.startswith(("http://", "https://", "/")):
        raise BadDefinition("the value of a url ref must start with https:// or http://", field=field)
    # The host that follows is the hub's own.
    why = malformed(f"http://hub{value}" if value.startswith("/") else value)
    if why is not None:
        raise BadDefinition(f"the value of a url ref is not an address that can be fetched: {why}", field=field)


def _check_files(refs: dict[str, DataRef] | None, field: str, *, absolute: bool) -> None:
    if not refs:
        return
    if len(refs) > limits.INPUTS:
        raise BadDefinition(f"at most {limits.INPUTS} files; pack more into an archive", field=field)
    known: dict[str, str] = {}
    for name, ref in refs.items():
        where = f"{field}.{name}" if len(name) <= 80 else field
        clean = check_name(name, field=where, absolute=absolute)
        if clean in known:
            raise BadDefinition(f"'{name[:80]}' and '{known[clean][:80]}' are the same file", field=where)
        known[clean] = name
        check_ref(ref, where)
    for clean, name in known.items():
        folder = clean.rpartition("/")[0]
        while folder:
            if folder in known:
                where = f"{field}.{name}" if len(name) <= 80 else field
                raise BadDefinition(f"'{known[folder][:80]}' can't be a file and the folder of this one", field=where)
            folder = folder.rpartition("/")[0]


def _bytes(text: str) -> int:
    """Returns the length of a text in UTF-8 bytes; at least its number of characters if it is short."""
    return len(text) if 4 * len(text) <= limits.ARGUMENT_BYTES else len(text.encode("utf-8", "surrogatepass"))


def _check_argv(words: str | list[str] | None, field: str) -> None:
    if isinstance(words, list) and len(words) > limits.ARGUMENTS:
        raise BadDefinition(f"at most {limits.ARGUMENTS} arguments", field=field)
    for word in [words] if isinstance(words, str) else words or ():
        if "\0" in word:
            raise BadDefinition("an argument must not contain a NUL character", field=field)
        if _bytes(word) > limits.ARGUMENT_BYTES:
            raise BadDefinition(
                f"an argument has at most {limits.ARGUMENT_BYTES} bytes: put longer text into an input", field=field
            )


def context_blob(definition: Definition) -> str | None:
    """Returns the sha256 of the uploaded archive that a definition is built from; None without one."""
    context = (definition.build.context or "").strip() if definition.build else ""
    return context.removeprefix(UPLOADED) if context.startswith(UPLOADED) else None


def _short(text: str, most: int, field: str) -> None:
    """Checks the length of a text, and that it has no NUL, which neither commands nor databases can hold."""
    if len(text) > most:
        raise BadDefinition(f"a text of {len(text)} characters is too long: at most {most} here", field=field)
    if "\0" in text:
        raise BadDefinition("a text here must not contain a NUL character", field=field)


def _check_build(build: Build) -> None:
    for name, text, most in (
        ("context", build.context, limits.CONTEXT_LENGTH),
        ("buildContext", build.build_context, limits.BUILD_PATH_LENGTH),
        ("filename", build.filename, limits.BUILD_PATH_LENGTH),
        ("target", build.target, limits.NAME_LENGTH),
        ("dockerfile", build.dockerfile, limits.DEFINITION_BYTES),
        ("platform", build.platform, limits.PLATFORM_LENGTH),
    ):
        if text is not None:
            _short(text, most, f"definition.build.{name}")
    if len(build.build_args or ()) > limits.ENV_ENTRIES:
        raise BadDefinition(f"at most {limits.ENV_ENTRIES} build arguments", field="definition.build.buildArgs")
    _check_argv(build.build_args, "definition.build.buildArgs")


def _check_version(version: str | int) -> None:
    if isinstance(version, str):
        _short(version, limits.LABEL_LENGTH, "definition.v")
    elif not -limits.WHOLE <= version <= limits.WHOLE:
        raise BadDefinition(f"a number here is from -{limits.WHOLE} to {limits.WHOLE}", field="definition.v")


def _only_platform(build: Build) -> bool:
    """Whether a build only names the platform of an image."""
    return build == Build(platform=build.platform)


def check(definition: Definition) -> Shape:
    """Checks everything that depends on the definition alone, and returns its shape.

    Raises:
        BadDefinition: A field is wrong; the error names it.
        BadUnit: A size or duration is unclear.
    """
    if definition.image is not None and definition.build is not None and not _only_platform(definition.build):
        raise BadDefinition("give either an image or a build, not both", field="definition.build")
    if definition.image is not None and not definition.image.strip():
        raise BadDefinition("the image has no name", field="definition.image")
    if definition.image and any(ch.isspace() for ch in definition.image):
        raise BadDefinition("an image name must not have spaces", field="definition.image")
    if definition.image is not None:
        _short(definition.image, limits.IMAGE_LENGTH, "definition.image")
    if definition.build is not None:
        _check_build(definition.build)
    if definition.v is not None:
        _check_version(definition.v)
    for index, tag in enumerate(definition.tags or ()):
        if not tag or len(tag) > limits.LABEL_LENGTH:
            raise BadDefinition(f"a tag has 1 to {limits.LABEL_LENGTH} characters", field=f"definition.tags.{index}")
    if len(definition.tags or ()) > limits.TAGS:
        raise BadDefinition(f"at most {limits.TAGS} tags", field="definition.tags")
    env = definition.env or {}
    if len(env) > limits.ENV_ENTRIES:
        raise BadDefinition(f"at most {limits.ENV_ENTRIES} environment variables", field="definition.env")
    for name, value in env.items():
        if _ENV_NAME.fullmatch(name) is None or "\0" in value:
            raise BadDefinition(
                "an environment name must not be empty or contain '=', and neither it nor its value may contain a NUL",
                field="definition.env",
            )
        if _bytes(f"{name}={value}") > limits.ARGUMENT_BYTES:
            raise BadDefinition(
                f"an environment name and its value have together at most {limits.ARGUMENT_BYTES - 1} bytes: "
                "put longer text into an input",
                field="definition.env",
            )
    _check_argv(definition.command, "definition.command")
    _check_argv(definition.entrypoint, "definition.entrypoint")
    if definition.workdir is not None:
        _short(definition.workdir, limits.BUILD_PATH_LENGTH, "definition.workdir")
    needs = definition.requirements
    if needs is not None:
        if needs.cpus is not None and not limits.LEAST_CPUS <= needs.cpus <= limits.CPUS:
            raise BadDefinition(
                f"cpus must be a number from {limits.LEAST_CPUS} to {limits.CPUS}",
                field="definition.requirements.cpus",
            )
        if needs.gpus is not None and not 0 <= needs.gpus <= limits.GPUS:
            raise BadDefinition(
                f"gpus must be a whole number from 0 to {limits.GPUS}", field="definition.requirements.gpus"
            )
    uploaded = context_blob(definition)
    if uploaded is not None and SHA256.fullmatch(uploaded) is None:
        raise BadDefinition(
            f"after '{UPLOADED}' must come the sha256 of an uploaded archive, 64 lowercase hex digits",
            field="definition.build.context",
        )
    if definition.shm_size is not None:
        parse_size(definition.shm_size, field="definition.shmSize", least=1)
    platform = definition.build.platform if definition.build else None
    if platform and _PLATFORM.fullmatch(platform) is None:
        raise BadDefinition("a platform must look like linux/arm64", field="definition.build.platform")
    patterns = definition.outputs or ()
    if len(patterns) > limits.OUTPUT_PATTERNS:
        raise BadDefinition(f"at most {limits.OUTPUT_PATTERNS} patterns of outputs", field="definition.outputs")
    for index, pattern in enumerate(patterns):
        check_name(pattern, field=f"definition.outputs.{index}")
    _check_files(definition.inputs, "definition.inputs", absolute=False)
    _check_files(definition.config_files, "definition.configFiles", absolute=True)
    return shape_of(definition)
