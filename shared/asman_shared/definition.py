"""The definition of a job, whose hash is the job's id.

The field names are the ones in links and existing clients, so that one definition has one id everywhere. A
definition holds only what reaches the container. A submission gives the waiting clients, the number of tries and the
priority beside the definition.
"""

from __future__ import annotations

import re
from typing import Annotated, Any, Final, Literal

from msgspec import Struct

from . import limits, ranges

RefType = Literal["utf8", "json", "base64", "url", "key"]
Source = Literal["image", "build", "machine"]
"""Source of a job's programs: the image that it names, one that is built first, or the machine of the worker."""

#: Environment names that pages inject; they never reach the id nor the container.
INJECTED_ENV: Final = frozenset({"channel", "CHANNEL", "readonly", "edit", "parent-metapage-id", "fs-path"})
INJECTED_PREFIXES: Final = ("mp-", "mp_")

SHA256: Final = re.compile(r"[0-9a-f]{64}")
OWN_TAGS: Final = "asman:"
"""Beginning of the tags that workers give themselves, which lists of workers leave out."""
VOLUMES_TAG: Final = "asman:volumes"
"""Tag of workers that run jobs with volumes, steps and files for standard streams."""
UPLOADED: Final = "key:"
"""Prefix of a build's context that is an uploaded archive."""


class DataRef(Struct, omit_defaults=True, forbid_unknown_fields=True):
    """A value, or the place of its bytes.

    Attributes:
        value: Text for ``utf8``, any JSON value for ``json``, base64 text, a URL, or the sha256 of a blob.
        type: How to read ``value``; absent means ``utf8``.
        hash: A checksum that some clients add; it is neither hashed into the id nor used.
    """

    value: Any
    type: RefType | None = None
    hash: ranges.Checksum | None = None


Files = Annotated[dict[ranges.FileName, DataRef], ranges.shown(maxProperties=limits.INPUTS)]


class Build(Struct, rename="camel", omit_defaults=True, forbid_unknown_fields=True):
    """An image to build instead of one to pull.

    Beside an image it may only name the platform.

    Attributes:
        context: The source of its files: a git repository, an archive, or ``key:<sha256>`` of an uploaded archive.
        build_context: The folder in these files to build.
        filename: The Dockerfile's path, in that folder or from the root of the files.
        target: The stage to build.
        dockerfile: The Dockerfile itself, as text.
        build_args: ``NAME=value``, or ``NAME`` alone for a secret that the worker holds under that name.
        platform: Platform such as ``linux/arm64``.
    """

    context: ranges.Context | None = None
    build_context: ranges.Path | None = None
    filename: ranges.Path | None = None
    target: ranges.Stage | None = None
    dockerfile: ranges.DefinitionText | None = None
    build_args: ranges.BuildArguments | None = None
    platform: ranges.Platform | None = None


class Step(Struct, rename="camel", omit_defaults=True, forbid_unknown_fields=True):
    """A further command of a job, which runs in a container of its own when the one before has succeeded.

    The steps of a job share its inputs and volumes, and no other files.

    Attributes:
        image: The image; the job's own if omitted.
        command: As the job's own; likewise ``entrypoint``, ``workdir``, ``env``, ``stdin``, ``stdout`` and ``stderr``.
        ignore_failure: Whether the job goes on, and may succeed, when this command fails.
    """

    image: ranges.Image | None = None
    command: ranges.Argument | ranges.Arguments | None = None
    entrypoint: ranges.Argument | ranges.Arguments | None = None
    workdir: ranges.Path | None = None
    env: ranges.Env | None = None
    stdin: ranges.Path | None = None
    stdout: ranges.Path | None = None
    stderr: ranges.Path | None = None
    ignore_failure: bool = False


class Requirements(Struct, rename="camel", omit_defaults=True, forbid_unknown_fields=True):
    """Resources that a worker must have free to get the job."""

    cpus: ranges.Cpus | ranges.WholeCpus | None = None
    gpus: ranges.Gpus | None = None
    max_duration: ranges.UnitText | None = None
    memory: ranges.UnitText | None = None


class Definition(Struct, rename="camel", omit_defaults=True, forbid_unknown_fields=True):
    """A containerised job; see ``docs/jobs.md`` for each field.

    ``outputs`` are patterns (`asman_shared.globs`) of the files below ``/outputs`` that are kept; without any, all are.
    They decide the contents of the result, and one run serves all requests for the same id. So they are part of the id.

    ``volumes`` are folders of the container, by their absolute paths, that begin empty but for the config files in them
    and are shared by all ``steps``. They take the place of ``/outputs``: the files in them that ``outputs`` names, by
    their paths without the first slash, are kept, and without any none is. ``stdin``, ``stdout`` and ``stderr`` are
    files in the container that the command reads and writes; the two last are in a volume. The log has the end of what
    is written to them. Only workers that have `VOLUMES_TAG` get jobs with any of these.
    """

    v: ranges.VersionText | ranges.Version | None = None
    image: ranges.Image | None = None
    build: Build | None = None
    command: ranges.Argument | ranges.Arguments | None = None
    entrypoint: ranges.Argument | ranges.Arguments | None = None
    workdir: ranges.Path | None = None
    shm_size: ranges.UnitText | None = None
    env: ranges.Env | None = None
    inputs: Files | None = None
    config_files: Files | None = None
    max_duration: ranges.UnitText | None = None
    tags: ranges.Tags | None = None
    requirements: Requirements | None = None
    outputs: ranges.Patterns | None = None
    volumes: ranges.Volumes | None = None
    stdin: ranges.Path | None = None
    stdout: ranges.Path | None = None
    stderr: ranges.Path | None = None
    ignore_failure: bool = False
    steps: Annotated[list[Step], ranges.shown(maxItems=limits.STEPS)] | None = None

    @property
    def needs_volumes(self) -> bool:
        """Whether only a worker with `VOLUMES_TAG` can run it."""
        return bool(self.volumes or self.stdin or self.stdout or self.stderr or self.ignore_failure or self.steps)


def is_bare(definition: Definition) -> bool:
    """Whether a definition is an image and a command and nothing else, so that most checks have nothing to look at."""
    return definition == Definition(image=definition.image, command=definition.command)


IMAGE: Final = "image"
BUILD: Final = "build"
MACHINE: Final = "machine"


class Shape(Struct, frozen=True, cache_hash=True, omit_defaults=True):
    """A definition's requirements of a worker, in comparable units; jobs of one shape share one line.

    Attributes:
        cpus: Cpus in thousandths.
        memory: Memory in bytes; 0 if the job names none.
        gpus: Number of gpus.
        tags: Tags that the worker must have, all of them.
        platform: Platform such as ``linux/arm64``; empty for any.
        duration: Longest run time that the job asks for, in milliseconds; 0 if it names none.
        source: Source of the job's programs. A worker gets only jobs of the sources that it registered.
    """

    cpus: int = 1000
    memory: int = 0
    gpus: int = 0
    tags: frozenset[str] = frozenset()
    platform: str = ""
    duration: int = 0
    source: Source = IMAGE


DEFAULT_SHAPE: Final = Shape()
BARE_SHAPE: Final = Shape(source=MACHINE)
"""The shape of a job that asks for nothing, not even an image."""


def source_of(image: str | None, *, builds: bool) -> Source:
    """Returns the source of a job's programs. A build beside an image only selects the platform to pull.

    Args:
        image: The image that the job names, if it names one.
        builds: Whether the job has a build.
    """
    return IMAGE if image else BUILD if builds else MACHINE


def is_injected_env(name: str) -> bool:
    """Whether pages inject this environment name for their own use."""
    return name in INJECTED_ENV or name.startswith(INJECTED_PREFIXES)


__all__ = [
    "BARE_SHAPE",
    "BUILD",
    "DEFAULT_SHAPE",
    "IMAGE",
    "MACHINE",
    "OWN_TAGS",
    "SHA256",
    "UPLOADED",
    "VOLUMES_TAG",
    "Build",
    "DataRef",
    "Definition",
    "Requirements",
    "Shape",
    "Source",
    "Step",
    "is_injected_env",
    "source_of",
]
