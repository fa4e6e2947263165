"""Options of a job: one class for every command that submits a job."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import MISSING, dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final, cast, get_args, get_type_hints

import typer

from asman_shared import limits

from . import exits
from . import options as o

if TYPE_CHECKING:
    from ..client import SubmitFields
    from ..definitions import JobFields

GitOption = Annotated[
    str | None, typer.Option("--git", help="Git repository to build the image from: https://…[#ref].")
]
BuildOption = Annotated[
    Path | None,
    typer.Option("--build", metavar="FOLDER", help="Folder to build the image from; its .dockerignore applies."),
]
DockerfileOption = Annotated[
    Path | None,
    typer.Option("--dockerfile", help="Dockerfile to build the image from; with --git or --build, its path in there."),
]
BuildArgOption = Annotated[
    list[str] | None, typer.Option("--build-arg", help="Argument of the build. Repeatable.", metavar="NAME=VALUE")
]
WorkdirOption = Annotated[str | None, typer.Option("--workdir", "-w", help="Working directory in the container.")]
QueueTimeoutOption = Annotated[
    str | None, typer.Option("--queue-timeout", help="Maximum time to wait for a worker: 1h.", show_default=False)
]
PhaseTimeoutOption = Annotated[
    list[str] | None,
    typer.Option(
        "--phase-timeout", metavar="PHASE=DURATION", help="Maximum time of another phase: pulling=10m. Repeatable."
    ),
]
AttemptsOption = Annotated[
    int | None,
    typer.Option("--max-attempts", min=1, max=limits.ATTEMPTS, help="Give up after losing this many workers [3].",
                 show_default=False),
]  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class JobOptions:
    """The options of ``asman run`` and ``asman job add`` that describe a job and its submission."""

    image: o.ImageOption = None
    git: GitOption = None
    build: BuildOption = None
    dockerfile: DockerfileOption = None
    build_arg: BuildArgOption = None
    file: o.FileOption = None
    env: o.EnvOption = None
    workdir: WorkdirOption = None
    cpus: o.CpusOption = None
    memory: o.MemoryOption = None
    gpus: o.GpusOption = None
    tag: o.TagOption = None
    keep: o.KeepOption = None
    timeout: o.TimeoutOption = None
    queue_timeout: QueueTimeoutOption = None
    phase_timeout: PhaseTimeoutOption = None
    max_attempts: AttemptsOption = None
    namespace: o.NamespaceOption = "_"
    priority: o.PriorityOption = 0
    reuse: o.ReuseOption = "success"

    def fields(self) -> JobFields:
        """Builds the arguments that describe the job.

        Raises:
            AsmanError: An option can't be parsed, or two options contradict each other.
        """
        build = self._build()
        return {
            # The image may come from $ASMAN_IMAGE, which applies only to jobs without an image or a build.
            "image": None if build else self.image,
            "build": build,
            "files": o.read_files(self.file),
            "env": o.read_env(self.env) or None,
            "workdir": self.workdir,
            "cpus": self.cpus,
            "memory": self.memory,
            "gpus": self.gpus,
            "tags": self.tag or None,
            "outputs": self.keep or None,
        }

    def _build(self) -> dict[str, Any] | None:
        from asman_shared.errors import BadDefinition

        if self.git is not None and self.build is not None:
            raise BadDefinition("an image is built from one place: give either --git or --build")
        if self.git is None and self.build is None and self.dockerfile is None:
            if self.build_arg:
                raise BadDefinition("--build-arg needs an image to build: give --git, --build or --dockerfile")
            return None
        made: dict[str, Any] = {"context": self.git or self.build, "buildArgs": self.build_arg or None}
        if self.build is not None and not (wanted := self.build / (self.dockerfile or "Dockerfile")).is_file():
            raise BadDefinition(f"there is no file '{wanted}': name another Dockerfile in the folder by --dockerfile")
        if self.git is not None or self.build is not None:
            made["filename"] = None if self.dockerfile is None else str(self.dockerfile)
        elif self.dockerfile is not None:
            try:
                made["dockerfile"] = self.dockerfile.read_text(encoding="utf-8-sig")
            except UnicodeDecodeError:
                raise BadDefinition(f"'{self.dockerfile}' is not text in UTF-8") from None
        return {name: value for name, value in made.items() if value is not None}

    @exits.of_command_line()
    def policy(self) -> SubmitFields:
        """Builds the arguments for submitting the job, and checks all durations and sizes.

        Raises:
            BadRequest: An option can't be parsed.
        """
        from asman_shared.errors import BadRequest
        from asman_shared.states import AnyReuse
        from asman_shared.units import parse_size

        from ..deadline import milliseconds, phase_limits

        for name, duration in (("timeout", self.timeout), ("queue_timeout", self.queue_timeout)):
            if duration is not None:
                milliseconds(duration, field=name)
        phase_limits(_phases(self.phase_timeout))
        if self.memory is not None:
            parse_size(self.memory)

        reuse = next((each for each in get_args(AnyReuse) if each == self.reuse), None)
        if reuse is None:
            raise BadRequest(f"--reuse must be 'success', 'any' or 'never', not '{self.reuse}'")
        return {
            "namespace": self.namespace,
            "priority": self.priority,
            "reuse": reuse,
            "timeout": self.timeout,
            "queue_timeout": self.queue_timeout,
            "phase_timeouts": _phases(self.phase_timeout),
            "max_attempts": self.max_attempts,
        }

    def explicit_policy(self) -> dict[str, Any]:
        """Returns the part of `policy` that differs from the defaults."""
        return {name: value for name, value in self.policy().items() if value not in (None, _DEFAULTS.get(name))}


_DEFAULTS: Final[dict[str, Any]] = {"namespace": "_", "priority": 0, "reuse": "success", "phase_timeouts": {}}


def _phases(given: list[str] | None) -> dict[Any, Any]:
    from asman_shared.errors import BadRequest

    limits = {}
    for text in given or ():
        name, equals, duration = text.partition("=")
        if not equals:
            raise BadRequest(f"--phase-timeout must look like pulling=10m, not '{text}'")
        limits[name] = duration
    return limits


def check_runs(fields: JobFields, definition: object = None) -> None:
    """Checks that a command line says what to run, before anything is stored or queued.

    Raises:
        UsageError: There is no command, no image and no definition.
    """
    if definition is None and not any(fields.get(name) for name in ("command", "image", "build")):
        raise o.UsageError("there is nothing to run: give a command, an image (-i), or a complete job")


def takes_job_options(command: Callable[..., None]) -> Callable[..., None]:
    """Adds all options of `JobOptions` to a command, which gets them as a single argument ``options``."""
    hints = get_type_hints(JobOptions, include_extras=True)
    own = [each for each in inspect.signature(command, eval_str=True).parameters.values() if each.name != "options"]
    names = [each.name for each in fields(JobOptions)]
    spread = [
        inspect.Parameter(
            each.name,
            inspect.Parameter.KEYWORD_ONLY,
            default=inspect.Parameter.empty if each.default is MISSING else each.default,
            annotation=hints[each.name],
        )
        for each in fields(JobOptions)
    ]

    def taking(**given: Any) -> None:
        options = JobOptions(**{name: given.pop(name) for name in names})
        command(options=options, **given)

    made = cast(Any, taking)
    # All parameters become keyword-only, so that the signature may have them in the order of the help.
    parameters = [each.replace(kind=inspect.Parameter.KEYWORD_ONLY) for each in own] + spread
    made.__signature__ = inspect.Signature(parameters)
    made.__annotations__ = {each.name: each.annotation for each in parameters}
    made.__doc__ = command.__doc__
    made.__name__ = command.__name__
    return taking
