"""The settings of a worker: from flags, then environment, then file, then defaults."""

from __future__ import annotations

import os
import platform
import socket
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

import psutil
from pydantic import AliasChoices, BeforeValidator, Field, SecretStr, ValidationError
from pydantic_settings import NoDecode, SettingsConfigDict

from asman_shared import limits
from asman_shared.address import ASCII_SPACE, Address, parse_address, words_of
from asman_shared.errors import AsmanError, BadRequest
from asman_shared.layered_settings import LayeredSettings, NamedPath, check_settings_file, checked, given, not_fitting
from asman_shared.units import DURATION_MAX, GIB, SIZE_MAX, parse_duration, parse_size


def _millis(value: Any) -> Any:
    return checked(parse_duration, value) if isinstance(value, str) else value


def _bytes(value: Any) -> Any:
    return checked(parse_size, value) if isinstance(value, str) else value


def _words(value: Any) -> Any:
    return [word for word in value.replace(",", " ").split() if word] if isinstance(value, str) else value


def _text(value: Any) -> Any:
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else value


Millis = Annotated[int, BeforeValidator(_millis), Field(ge=0, le=DURATION_MAX)]
Bytes = Annotated[int, BeforeValidator(_bytes), Field(ge=0, le=SIZE_MAX)]
Words = Annotated[tuple[str, ...], NoDecode, BeforeValidator(_words)]


def _cpus() -> float:
    """Returns the number of cpus that this process may use, which may be fewer than the machine has."""
    affinity = getattr(os, "sched_getaffinity", None)
    return float(len(affinity(0)) if affinity else psutil.cpu_count() or 1)


def _data_dir() -> Path:
    root = os.environ.get("XDG_DATA_HOME") or Path.home() / ".local" / "share"
    return Path(root) / "asman" / "worker"


def _name() -> str:
    return socket.gethostname()[: limits.LABEL_LENGTH] or "worker"


_QUEUES = 100


class WorkerConfig(LayeredSettings):
    """The settings of one worker process; environment names are ``ASMAN_WORKER_`` and the field's.

    Durations are milliseconds and sizes bytes; as text (flag, environment, file) they are written with a unit, such
    as ``20m`` or ``8GiB``.

    Attributes:
        queue: Queues, by URL or by name on ``hub``; several are separated by spaces or commas.
        hub: The hub's address, for bare queue names (also ``ASMAN_HUB``).
        name: Name shown in lists; it need not be unique.
        cpus: Number of cpus for jobs.
        memory: Memory for jobs.
        gpus: Gpus for jobs: a count, ``all``, numbers (``#0,#1``) or ids.
        tags: Names that jobs can require.
        max_duration: Longest run of a job; 0 for no limit.
        data_dir: Folder for unsent results and for job files.
        executor: ``docker``, ``oci`` (containers without an engine), ``bubblewrap`` (the same with weaker limits, where
            nothing may be set up), ``auto`` (``docker`` where an engine answers, else ``oci``), or ``process`` (no
            container: jobs are this user's own processes).
        docker: The engine's address, such as ``unix:///var/run/docker.sock``; empty to discover it.
        network: The network of the containers: ``internet`` (a network of the worker's own that leads nowhere else, and
            none where that can't be ensured), ``open`` (the same without rules: jobs may reach this host and its
            networks), ``none``, or one of the engine's by name.
        runtime: The engine's runtime by name, such as ``runsc``; empty for its default. With ``oci``, ``crun`` or
            ``runc``, by name or path; empty for the first of them that works.
        pull: Time to ask registries for an image: if it is ``missing``, ``always``, or ``never``.
        registry_auth: Sign-ins at registries, a file as ``docker login`` writes it.
        git_credentials: Sign-ins at git servers, a file as ``git credential-store`` writes it.
        git_credentials_for: The repositories that these sign-ins are for, as ``build:https://host/owner/*``.
        secrets: Folder with one file for each secret that builds may use by name.
        secret: The sources whose builds get a secret, as ``NAME=build:https://host/owner/*``.
        allow_image: Patterns of images that may be used; none for all.
        deny_image: Patterns of images that may not be used.
        local_images: Patterns of images on the engine that jobs may use although this worker neither pulled nor built
            them; none for no others.
        oci_image: With ``oci``: images in files of this machine, as a path or ``NAME=PATH`` (an OCI layout, or what
            ``docker save`` writes).
        allow_host: Patterns of private hosts from which jobs may fetch inputs and builds.
        shared_folder: Folders of this machine that jobs may read, as ``PATH``, or read and write, as ``PATH:rw``.
        s3_bucket: S3 buckets that jobs may read, as ``BUCKET``, or read and write, as ``BUCKET:rw``.
        s3_endpoint: URL of the S3 service; empty for AWS's own.
        s3_region: Region of the S3 service.
        s3_access_key: This worker's access key, with ``s3_secret_key``. Both empty for AWS's own variables and roles.
        s3_secret_key: See ``s3_access_key``.
        ignore_images: With ``process``: run a job although it names an image that can't be used.
        stop_grace: Time between SIGTERM and SIGKILL.
        drain_timeout: Time that running jobs have after SIGTERM; 0 for no limit.
        exit_when_idle: Time without a job after which the worker drains; 0 for never.
        max_jobs: Number of jobs after which the worker drains; 0 for never.
        staging_limit: Longest download of the inputs.
        pull_limit: Longest pull of an image.
        build_limit: Longest build of an image.
        upload_limit: Longest upload of the outputs.
        max_input: Largest single input file.
        max_outputs: Largest total size of the outputs of one job.
        max_context: Largest total size of the files of one build.
        max_log: Past this much log of one attempt only its newest part is sent, at the end; 0 for any, None for four
            times what the hub keeps.
        disk: Largest size that one job or build may write; 0 for any, None for half of what is free at the start
            beyond the reserve.
        disk_files: Largest number of files that one job may make; 0 for any.
        disk_reserve: Bytes of the disk that stay free: with less, no new jobs are taken, and with half of them the job
            that wrote the most is stopped.
        pids: Largest number of processes in one container.
        input_cache: Bytes of inputs that are kept for later jobs; 0 for none.
        image_cache: Bytes of images, pulled and built by this worker, that are kept for later jobs; 0 for any.
        job_cache: Bytes of ``/job-cache`` of one queue; 0 for any.
        cache_age: Time after which an unused entry of a cache is removed; 0 for never.
        status: Address of ``/healthz`` and ``/metrics``: a port of this machine, or ``address:port``; empty for none.
    """

    model_config = SettingsConfigDict(
        env_prefix="ASMAN_WORKER_", frozen=True, extra="forbid", populate_by_name=True, env_ignore_empty=True
    )

    table: ClassVar[str] = "worker"

    queue: str = ""
    hub: str = Field(default="", validation_alias=AliasChoices("hub", "ASMAN_WORKER_HUB", "ASMAN_HUB"))
    name: str = Field(default_factory=_name, min_length=1, max_length=limits.LABEL_LENGTH)
    cpus: float = Field(default_factory=_cpus, ge=limits.LEAST_CPUS, le=limits.CPUS)
    memory: Bytes = Field(default_factory=lambda: int(psutil.virtual_memory().total))
    gpus: Annotated[str, BeforeValidator(_text)] = "0"
    tags: Words = ()
    max_duration: Millis = 0
    data_dir: NamedPath = Field(default_factory=_data_dir)
    executor: Literal["docker", "oci", "bubblewrap", "auto", "process"] = "docker"
    docker: str = ""
    network: str = "internet"
    runtime: str = ""
    pull: Literal["missing", "always", "never"] = "missing"
    registry_auth: NamedPath | None = None
    git_credentials: NamedPath | None = None
    git_credentials_for: Words = ()
    secrets: NamedPath | None = None
    secret: Words = ()
    allow_image: Words = ()
    deny_image: Words = ()
    local_images: Words = ()
    oci_image: Words = ()
    allow_host: Words = ()
    shared_folder: Words = ()
    s3_bucket: Words = ()
    s3_endpoint: str = ""
    s3_region: str = "us-east-1"
    s3_access_key: str = ""
    s3_secret_key: SecretStr = SecretStr("")
    ignore_images: bool = False
    stop_grace: Millis = 5000
    drain_timeout: Millis = 0
    exit_when_idle: Millis = 0
    max_jobs: int = Field(default=0, ge=0, le=limits.WHOLE)
    staging_limit: Millis = 3_600_000
    pull_limit: Millis = 3_600_000
    build_limit: Millis = 3_600_000
    upload_limit: Millis = 3_600_000
    max_input: Bytes = 100 * GIB
    max_outputs: Bytes = 100 * GIB
    max_context: Bytes = 2 * GIB
    max_log: Bytes | None = None
    disk: Bytes | None = None
    disk_files: int = Field(default=1_000_000, ge=0, le=limits.WHOLE)
    disk_reserve: Bytes = GIB
    pids: int = Field(default=4096, ge=1, le=limits.PROCESSES)
    input_cache: Bytes = 10 * GIB
    image_cache: Bytes = 50 * GIB
    job_cache: Bytes = 20 * GIB
    cache_age: Millis = 7 * 86_400_000
    status: Annotated[str, BeforeValidator(_text)] = ""

    @property
    def targets(self) -> list[Address]:
        """Returns the queues and their hubs, each once.

        Raises:
            BadRequest: The queues can't be read, or there are none or too many.
        """
        named = [parse_address(word, self.hub) for word in words_of(self.queue, f"{ASCII_SPACE},")]
        found = list(dict.fromkeys(named))
        if not found:
            raise BadRequest("no queue was named: give its URL", field="queue")
        if len(found) > _QUEUES:
            raise BadRequest(f"one worker serves at most {_QUEUES} queues", field="queue")
        return found


def load_config(**flags: Any) -> WorkerConfig:
    """Reads the configuration from flags (None means not given), environment, file and defaults.

    Raises:
        BadRequest: A setting or the settings file can't be read; the error names it.
    """
    path = WorkerConfig.settings_file()
    check_settings_file(path)
    try:
        config = WorkerConfig(**given(flags))
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join(str(part) for part in first["loc"])
        raise BadRequest(f"the worker's setting {field}: {not_fitting(error)}", field=field) from None
    except AsmanError as error:
        raise BadRequest(f"a setting of the worker: {error.message}", field=error.field) from None
    except (OSError, TypeError, ValueError) as error:
        raise BadRequest(f"the configuration file {path} can't be read: {error}", field="config") from None
    return config


def platform_name() -> str:
    """Returns this machine's platform in the notation of images, such as ``linux/amd64``."""
    machine = platform.machine().lower()
    return f"{platform.system().lower()}/{ {'x86_64': 'amd64', 'aarch64': 'arm64'}.get(machine, machine) }"
