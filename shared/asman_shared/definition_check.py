"""Checks a definition, and computes its shape, without running the job."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Final

from . import limits
from .definition import (
    BARE_SHAPE,
    DEFAULT_SHAPE,
    SHA256,
    UPLOADED,
    VOLUMES_TAG,
    Build,
    DataRef,
    Definition,
    Requirements,
    Shape,
    Step,
    source_of,
)
from .errors import BadDefinition
from .places.urls import OUTPUT_LENGTH, check_reached, is_place, output_of, place_of
from .public_addresses import malformed
from .units import parse_duration, parse_size

INPUTS: Final = "/inputs"
"""The folder of inputs in the container."""
OUTPUTS: Final = "/outputs"
"""The folder of outputs."""
CACHE: Final = "/job-cache"
"""The folder that jobs of a queue share."""
_RESERVED: Final = (INPUTS, OUTPUTS, CACHE, "/proc", "/sys", "/dev")
"""Folders in the container that are the worker's or the kernel's: no config file can be put over or into them."""
_INPUTS: Final = "definition.inputs"
_CONFIG_FILES: Final = "definition.configFiles"
_ENV_NAME = re.compile(rf"[^=\0]{{1,{limits.ENV_NAME_LENGTH}}}")
_PLATFORM = re.compile(r"[a-z0-9]+/[a-z0-9_]+(/[a-z0-9.]+)?")


def shape_of(definition: Definition) -> Shape:
    """Returns the requirement shape of a definition.

    Raises:
        BadUnit: A size or duration is unclear.
    """
    return _shape_of(definition, definition.needs_volumes)


def _shape_of(definition: Definition, own_volumes: bool) -> Shape:
    needs = definition.requirements
    build = definition.build
    if needs is None and build is None and not own_volumes and not definition.tags and definition.max_duration is None:
        return DEFAULT_SHAPE if definition.image else BARE_SHAPE
    own_tags = (VOLUMES_TAG,) if own_volumes else ()
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
        tags=frozenset((*(definition.tags or ()), *own_tags)),
        platform=(build.platform or "") if build else "",
        duration=min(durations) if durations else 0,
        source=source_of(definition.image, builds=build is not None),
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


def _check_depth(value: object, field: str) -> None:
    """Checks the nesting of a JSON value, level by level, because every writer of it later descends by itself."""
    level = [value]
    for _ in range(limits.VALUE_DEPTH):
        level = [
            inner
            for each in level
            if isinstance(each, (dict, list))
            for inner in (each.values() if isinstance(each, dict) else each)
            if isinstance(inner, (dict, list))
        ]
        if not level:
            return
    raise BadDefinition(f"values may be nested at most {limits.VALUE_DEPTH} levels deep", field=field)


def check_ref(ref: DataRef, field: str) -> None:
    """Checks that a ref has bytes, or may name a place that has them.

    Raises:
        BadDefinition: The value does not fit the type.
    """
    if ref.hash is not None:
        _short(ref.hash, limits.NAME_LENGTH, f"{field}.hash")
    if ref.type == "json":
        _check_depth(ref.value, f"{field}.value")
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
    """Checks the value of a url ref: an address, one on the hub if it begins with a slash, or a place of workers.

    Raises:
        BadDefinition: It can't be an address.
    """
    if is_place(value):
        place_of(value, field)
        return
    if not value.startswith(("http://", "https://", "/")) or value.startswith("//"):
        raise BadDefinition("the value of a url ref must start with https:// or http://", field=field)
    # The host that follows is the hub's own.
    why = malformed(f"http://hub{value}" if value.startswith("/") else value)
    if why is not None:
        raise BadDefinition(f"the value of a url ref is not an address that can be fetched: {why}", field=field)


@dataclass(frozen=True, slots=True)
class _Named:
    """A file of a definition: the map that holds it, its name there, and the words for it in a sentence."""

    map: str
    name: str

    @property
    def field(self) -> str:
        return f"{self.map}.{self.name}" if len(self.name) <= 80 else self.map

    def __str__(self) -> str:
        return f"{'input' if self.map == _INPUTS else 'config file'} '{self.name[:80]}'"


def in_inputs(name: str) -> str:
    """Returns the name of a config file in the folder of inputs; an absolute path that is elsewhere stays."""
    return name.removeprefix(f"{INPUTS}/")


def volume_of(path: str, volumes: Iterable[str] | None) -> str:
    """Returns the outermost of a job's volumes that is, or holds, an absolute path; empty if there is none."""
    return min((each for each in volumes or () if path == each or path.startswith(f"{each}/")), key=len, default="")


def is_reserved(path: str) -> bool:
    """Whether no config file can be put at an absolute path in the container; false for a relative one.

    In a volume it can.
    """
    parted = ":" in path and path.startswith("/")  # an engine separates the parts of a mount by colons
    return parted or path == "/" or any(path == folder or path.startswith(f"{folder}/") for folder in _RESERVED)


def _check_files(definition: Definition) -> None:
    """Checks the names and refs of inputs and config files, and that each has a place of its own.

    Inputs, config files with a relative name and those under ``/inputs`` lie in one folder.
    """
    if not definition.inputs and not definition.config_files:
        return
    known: dict[str, _Named] = {}
    for field, refs in ((_INPUTS, definition.inputs), (_CONFIG_FILES, definition.config_files)):
        if refs is not None and len(refs) > limits.INPUTS:
            raise BadDefinition(f"at most {limits.INPUTS} files; pack more into an archive", field=field)
        for name, ref in (refs or {}).items():
            file = _Named(field, name)
            clean = check_name(name, field=file.field, absolute=field == _CONFIG_FILES)
            if field == _CONFIG_FILES:
                clean = check_name(in_inputs(clean), field=file.field, absolute=True)
            if clean == INPUTS:
                raise BadDefinition(f"the {file} can't be the folder of all inputs", field=file.field)
            if is_reserved(clean) and not volume_of(clean, definition.volumes):
                raise BadDefinition(f"the {file} can't be put there; choose another path", field=file.field)
            if clean in known:
                raise BadDefinition(f"the {file} and the {known[clean]} are the same file", field=file.field)
            known[clean] = file
            check_ref(ref, file.field)
            if ref.type == "url" and is_place(ref.value):
                if field == _INPUTS:
                    raise BadDefinition(
                        "only config files may be at such a place, not inputs", field=f"{file.field}.value"
                    )
                check_reached(ref.value, definition.tags, file.field)
    for clean, file in known.items():
        folder = clean.rpartition("/")[0]
        while folder:
            if folder in known:
                raise BadDefinition(
                    f"the {known[folder]} can't be a file and the folder of the {file}", field=file.field
                )
            folder = folder.rpartition("/")[0]


def _check_outputs(definition: Definition) -> None:
    patterns = definition.outputs or ()
    if len(patterns) > limits.OUTPUT_PATTERNS:
        raise BadDefinition(f"at most {limits.OUTPUT_PATTERNS} patterns of outputs", field="definition.outputs")
    for index, entry in enumerate(patterns):
        field = f"definition.outputs.{index}"
        pattern, url = output_of(entry)
        check_name(pattern, field=field)
        if url:
            _short(entry, OUTPUT_LENGTH, field)
            check_reached(url, definition.tags, field)


def _bytes(text: str) -> int:
    """Returns the length of a text in UTF-8 bytes; at least its number of characters if it is short."""
    return len(text) if 4 * len(text) <= limits.ARGUMENT_BYTES else len(text.encode("utf-8", "surrogatepass"))


def _check_argv(words: str | list[str] | None, place: str, name: str) -> None:
    """Checks a text or a list of arguments in the field ``name`` of the place."""
    if words is None:
        return
    if isinstance(words, str):
        _check_argument(words, place, name)
        return
    if len(words) > limits.ARGUMENTS:
        raise BadDefinition(f"at most {limits.ARGUMENTS} arguments", field=f"{place}.{name}")
    for word in words:
        _check_argument(word, place, name)


def _check_argument(word: str, place: str, name: str) -> None:
    if "\0" in word:
        raise BadDefinition("an argument must not contain a NUL character", field=f"{place}.{name}")
    if _bytes(word) > limits.ARGUMENT_BYTES:
        raise BadDefinition(
            f"an argument has at most {limits.ARGUMENT_BYTES} bytes: put longer text into an input",
            field=f"{place}.{name}",
        )


def context_blob(definition: Definition) -> str | None:
    """Returns the sha256 of the uploaded archive that a definition is built from; None without one."""
    return _uploaded(definition.build) if definition.build else None


def _uploaded(build: Build) -> str | None:
    context = (build.context or "").strip()
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
    _check_argv(build.build_args, "definition.build", "buildArgs")
    uploaded = _uploaded(build)
    if uploaded is not None and SHA256.fullmatch(uploaded) is None:
        raise BadDefinition(
            f"after '{UPLOADED}' must come the sha256 of an uploaded archive, 64 lowercase hex digits",
            field="definition.build.context",
        )
    if build.platform and _PLATFORM.fullmatch(build.platform) is None:
        raise BadDefinition("a platform must look like linux/arm64", field="definition.build.platform")


def _check_volumes(definition: Definition) -> None:
    """Checks that each volume can be mounted, and that no file is in its place."""
    volumes = definition.volumes or ()
    if len(volumes) > limits.VOLUMES:
        raise BadDefinition(f"at most {limits.VOLUMES} volumes", field="definition.volumes")
    files = {check_name(name, field="definition.configFiles", absolute=True) for name in definition.config_files or ()}
    for index, path in enumerate(volumes):
        field = f"definition.volumes.{index}"
        if not path.startswith("/") or check_name(path, field=field, absolute=True) != path:
            raise BadDefinition("a volume is an absolute path without '.' parts, such as /data", field=field)
        if is_reserved(path) and path != OUTPUTS and not path.startswith(f"{OUTPUTS}/"):
            raise BadDefinition(f"the volume '{path[:80]}' can't be there; choose another path", field=field)
        if path in volumes[:index]:
            raise BadDefinition(f"the volume '{path[:80]}' is given twice", field=field)
        folder = path
        while folder:
            if folder in files:
                raise BadDefinition(f"the volume '{path[:80]}' can't be where a config file is", field=field)
            folder = folder.rpartition("/")[0]


def _check_streams(part: Definition | Step, volumes: list[str] | None, place: str) -> None:
    """Checks the files that take the place of a command's standard streams."""
    for name in ("stdin", "stdout", "stderr"):
        path = getattr(part, name)
        if path is None:
            continue
        field = f"{place}.{name}"
        if not path.startswith("/") or check_name(path, field=field, absolute=True) != path:
            raise BadDefinition(f"{name} is the absolute path of a file in the container", field=field)
        if name != "stdin" and volume_of(path, volumes) in ("", path):
            raise BadDefinition(f"{name} must be a file in one of the job's volumes", field=field)
    if (part.stdin or part.stdout or part.stderr) and not part.command and not part.entrypoint:
        raise BadDefinition(
            "name the command: it is run by a shell, which opens stdin, stdout and stderr", field=f"{place}.command"
        )


def _check_steps(definition: Definition) -> None:
    if len(definition.steps or ()) > limits.STEPS:
        raise BadDefinition(f"at most {limits.STEPS} steps", field="definition.steps")
    for index, step in enumerate(definition.steps or ()):
        place = f"definition.steps.{index}"
        _check_command(step, place)
        _check_streams(step, definition.volumes, place)


def _check_command(part: Definition | Step, place: str) -> None:
    """Checks a command with its image, environment and folder."""
    _check_image(part.image, place)
    env, workdir = part.env, part.workdir
    if env:
        _check_env(env, place)
    _check_argv(part.command, place, "command")
    _check_argv(part.entrypoint, place, "entrypoint")
    if workdir is not None:
        _short(workdir, limits.BUILD_PATH_LENGTH, f"{place}.workdir")


def _check_image(image: str | None, place: str) -> None:
    if image is None:
        return
    if not image.strip():
        raise BadDefinition("the image has no name", field=f"{place}.image")
    if len(image.split()) > 1 or image[0].isspace() or image[-1].isspace():
        raise BadDefinition("an image name must not have spaces", field=f"{place}.image")
    if len(image) > limits.IMAGE_LENGTH or "\0" in image:
        _short(image, limits.IMAGE_LENGTH, f"{place}.image")


def _check_env(env: dict[str, str], place: str) -> None:
    if len(env) > limits.ENV_ENTRIES:
        raise BadDefinition(f"at most {limits.ENV_ENTRIES} environment variables", field=f"{place}.env")
    for name, value in env.items():
        if _ENV_NAME.fullmatch(name) is None or "\0" in value:
            raise BadDefinition(
                "an environment name must not be empty or contain '=', and neither it nor its value may contain a NUL",
                field=f"{place}.env",
            )
        if _bytes(f"{name}={value}") > limits.ARGUMENT_BYTES:
            raise BadDefinition(
                f"an environment name and its value have together at most {limits.ARGUMENT_BYTES - 1} bytes: "
                "put longer text into an input",
                field=f"{place}.env",
            )


def _check_version(version: str | int) -> None:
    if isinstance(version, str):
        _short(version, limits.LABEL_LENGTH, "definition.v")
    elif not -limits.WHOLE <= version <= limits.WHOLE:
        raise BadDefinition(f"a number here is from -{limits.WHOLE} to {limits.WHOLE}", field="definition.v")


def _only_platform(build: Build) -> bool:
    """Whether a build only names the platform of an image."""
    return build == Build(platform=build.platform)


def _check_tags(tags: list[str]) -> None:
    for index, tag in enumerate(tags):
        if not tag or len(tag) > limits.LABEL_LENGTH:
            raise BadDefinition(f"a tag has 1 to {limits.LABEL_LENGTH} characters", field=f"definition.tags.{index}")
    if len(tags) > limits.TAGS:
        raise BadDefinition(f"at most {limits.TAGS} tags", field="definition.tags")


def _check_requirements(needs: Requirements) -> None:
    if needs.cpus is not None and not limits.LEAST_CPUS <= needs.cpus <= limits.CPUS:
        raise BadDefinition(
            f"cpus must be a number from {limits.LEAST_CPUS} to {limits.CPUS}", field="definition.requirements.cpus"
        )
    if needs.gpus is not None and not 0 <= needs.gpus <= limits.GPUS:
        raise BadDefinition(
            f"gpus must be a whole number from 0 to {limits.GPUS}", field="definition.requirements.gpus"
        )


def check(definition: Definition, *, bare: bool = False) -> Shape:
    """Checks everything that depends on the definition alone, and returns its shape.

    Args:
        definition: The definition.
        bare: Whether it `is_bare`, if that is known already; then there is less to look at.

    Raises:
        BadDefinition: A field is wrong; the error names it.
        BadUnit: A size or duration is unclear.
    """
    if bare:
        _check_image(definition.image, "definition")
        _check_argv(definition.command, "definition", "command")
        return DEFAULT_SHAPE if definition.image else BARE_SHAPE
    build, needs = definition.build, definition.requirements
    if build is not None and definition.image is not None and not _only_platform(build):
        raise BadDefinition("give either an image or a build, not both", field="definition.build")
    _check_command(definition, "definition")
    if build is not None:
        _check_build(build)
    if definition.v is not None:
        _check_version(definition.v)
    if definition.tags:
        _check_tags(definition.tags)
    if needs is not None:
        _check_requirements(needs)
    if definition.shm_size is not None:
        parse_size(definition.shm_size, field="definition.shmSize", least=1)
    if definition.outputs:
        _check_outputs(definition)
    own_volumes = definition.needs_volumes
    if own_volumes:
        _check_volumes(definition)
        _check_streams(definition, definition.volumes, "definition")
        _check_steps(definition)
    _check_files(definition)
    return _shape_of(definition, own_volumes)
