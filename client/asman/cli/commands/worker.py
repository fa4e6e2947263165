"""``asman worker``: a worker in this process."""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from asman_shared import limits

from .. import exits
from .. import options as o
from ..extras import require
from ..terminal import Terminal

if TYPE_CHECKING:
    from asman_shared.messages import Registered
    from asman_worker.config import WorkerConfig

WORKER_QUEUE_VARIABLE: Final = "ASMAN_WORKER_QUEUE"
QUEUE_FILE_VARIABLE: Final = "ASMAN_QUEUE_FILE"
_FILE_BYTES: Final = 64 * 1024
"""Largest file of queues, in bytes."""
"""Environment variable with the queues of the worker; it takes precedence over ``ASMAN_QUEUE``."""

# Panels of the help page.
_RESOURCES: Final = "Resources for jobs"
_SANDBOX: Final = "Isolation of jobs"
_IMAGES: Final = "Images and sources"
_LIFE: Final = "Lifetime of the worker"
_DISK: Final = "Disk"


def _option(
    *names: str,
    help: str,
    panel: str,
    metavar: str | None = None,
    least: float | None = None,
    most: float | None = None,
) -> Any:
    return typer.Option(
        *names, help=help, rich_help_panel=panel, show_default=False, metavar=metavar, min=least, max=most
    )


def worker(
    queue: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="QUEUE",
            help="Queues, each by URL or by name with --hub. Default: $ASMAN_QUEUE.",
            show_default=False,
        ),
    ] = None,
    queue_file: Annotated[
        Path | None,
        typer.Option(
            "--queue-file",
            help="File that holds the queues, whose names then stand in no list of processes [$ASMAN_QUEUE_FILE].",
            show_default=False,
        ),
    ] = None,
    hub: o.HubOption = None,
    name: Annotated[str | None, typer.Option("--name", help="The worker's name in lists [the host's name].")] = None,
    cpus: Annotated[
        float | None,
        _option("--cpus", least=limits.LEAST_CPUS, most=limits.CPUS, help="CPUs for jobs [all].", panel=_RESOURCES),
    ] = None,
    memory: Annotated[str | None, _option("--memory", help="Memory for jobs: 8GiB [all].", panel=_RESOURCES)] = None,
    gpus: Annotated[
        str | None,
        _option("--gpus", help="GPUs for jobs: a count, 'all', numbers (#0,#1) or ids [0].", panel=_RESOURCES),
    ] = None,
    tag: Annotated[
        list[str] | None, _option("--tag", help="A tag that jobs can require. Repeatable.", panel=_RESOURCES)
    ] = None,
    disk: Annotated[
        str | None,
        _option(
            "--disk", help="Maximum that one job or build may write to disk [half of what is free].", panel=_RESOURCES
        ),
    ] = None,
    disk_reserve: Annotated[
        str | None,
        _option(
            "--disk-reserve", help="Disk space to keep free; with less, no new jobs start [1GiB].", panel=_RESOURCES
        ),
    ] = None,
    max_duration: Annotated[
        str | None,
        _option("--max-job-duration", "--max-duration", help="Maximum run time of a job [none].", panel=_RESOURCES),
    ] = None,
    executor: Annotated[
        str | None,
        _option(
            "--executor",
            help="docker; oci: containers without an engine; bubblewrap: the same where nothing may be set up, "
            "with weaker limits; auto: oci where no engine answers; process: no container, your own user [docker].",
            panel=_SANDBOX,
        ),
    ] = None,
    docker: Annotated[
        str | None, _option("--docker", help="Address of the engine: unix:///var/run/docker.sock, …", panel=_SANDBOX)
    ] = None,
    network: Annotated[
        str | None,
        _option(
            "--network",
            help="internet (and not this host's networks), open (those, too), none, or an engine's network [internet].",
            panel=_SANDBOX,
        ),
    ] = None,
    runtime: Annotated[
        str | None,
        _option("--runtime", help="Runtime of the engine, such as runsc; with oci, crun or runc.", panel=_SANDBOX),
    ] = None,
    pids: Annotated[
        int | None,
        _option(
            "--pids",
            least=1,
            most=limits.PROCESSES,
            help="Maximum number of processes in a container [4096].",
            panel=_SANDBOX,
        ),
    ] = None,
    ignore_images: Annotated[
        bool | None,
        _option("--ignore-images", help="With --executor process: run jobs that name an image, too.", panel=_SANDBOX),
    ] = None,
    pull: Annotated[
        str | None, _option("--pull", help="When to pull images: missing, always or never [missing].", panel=_IMAGES)
    ] = None,
    allow_image: Annotated[
        list[str] | None, _option("--allow-image", help="Allow only images like this. Repeatable.", panel=_IMAGES)
    ] = None,
    deny_image: Annotated[
        list[str] | None, _option("--deny-image", help="Refuse images like this. Repeatable.", panel=_IMAGES)
    ] = None,
    shared_folder: Annotated[
        list[str] | None,
        _option(
            "--shared-folder",
            metavar="PATH[:rw]",
            help="Folder of this machine that jobs may read, with :rw also write. Repeatable [none].",
            panel=_SANDBOX,
        ),
    ] = None,
    s3_bucket: Annotated[
        list[str] | None,
        _option(
            "--s3-bucket",
            metavar="BUCKET[:rw]",
            help="S3 bucket that jobs may read by this worker, with :rw also write. Repeatable [none].",
            panel=_SANDBOX,
        ),
    ] = None,
    s3_endpoint: Annotated[
        str | None, _option("--s3-endpoint", help="URL of the S3 service [AWS's own].", panel=_SANDBOX)
    ] = None,
    s3_region: Annotated[
        str | None, _option("--s3-region", help="Region of the S3 service [us-east-1].", panel=_SANDBOX)
    ] = None,
    local_images: Annotated[
        list[str] | None,
        _option(
            "--local-images",
            help="Images of this machine's own that jobs may use, too: 'me/*'. Repeatable [none].",
            panel=_IMAGES,
        ),
    ] = None,
    oci_image: Annotated[
        list[str] | None,
        _option(
            "--oci-image",
            metavar="[NAME=]PATH",
            help="Without an engine (oci, bubblewrap): images in a file (OCI layout, or of 'docker save'). Repeatable.",
            panel=_IMAGES,
        ),
    ] = None,
    allow_host: Annotated[
        list[str] | None,
        _option("--allow-host", help="A private host that inputs and builds may come from. Repeatable.", panel=_IMAGES),
    ] = None,
    registry_auth: Annotated[
        Path | None, _option("--registry-auth", help="File with the logins of 'docker login'.", panel=_IMAGES)
    ] = None,
    git_credentials: Annotated[
        Path | None, _option("--git-credentials", help="File with logins for git servers.", panel=_IMAGES)
    ] = None,
    git_credentials_for: Annotated[
        list[str] | None,
        _option(
            "--git-credentials-for",
            metavar="build:PATTERN",
            help="Repositories that these logins are for: 'build:https://host/owner/*'. Repeatable.",
            panel=_IMAGES,
        ),
    ] = None,
    secrets: Annotated[
        Path | None, _option("--secrets", help="Folder with secrets that builds may use by name.", panel=_IMAGES)
    ] = None,
    secret: Annotated[
        list[str] | None,
        _option(
            "--secret",
            metavar="NAME=build:PATTERN",
            help="Whose builds get a secret: 'NAME=build:https://host/owner/*'. Repeatable.",
            panel=_IMAGES,
        ),
    ] = None,
    drain_timeout: Annotated[
        str | None,
        _option("--drain-timeout", help="How long running jobs may continue after SIGTERM [no limit].", panel=_LIFE),
    ] = None,
    exit_when_idle: Annotated[
        str | None, _option("--exit-when-idle", help="Exit after this time without a job: 5m.", panel=_LIFE)
    ] = None,
    max_jobs: Annotated[
        int | None, _option("--max-jobs", least=0, most=limits.WHOLE, help="Exit after this many jobs.", panel=_LIFE)
    ] = None,
    once: Annotated[bool, _option("--once", help="Exit after one job.", panel=_LIFE)] = False,
    status: Annotated[
        str | None, _option("--status", help="Port for /healthz and /metrics [none].", panel=_LIFE)
    ] = None,
    data_dir: Annotated[
        Path | None,
        _option("--data-directory", "--data-dir", help="Folder for unsent results and files of jobs.", panel=_DISK),
    ] = None,
    input_cache: Annotated[
        str | None, _option("--input-cache", help="Size of the cache of inputs [10GiB].", panel=_DISK)
    ] = None,
    image_cache: Annotated[
        str | None, _option("--image-cache", help="Size of the cache of the worker's own images [50GiB].", panel=_DISK)
    ] = None,
    job_cache: Annotated[
        str | None, _option("--job-cache", help="Size of /job-cache for one queue [20GiB].", panel=_DISK)
    ] = None,
    cache_age: Annotated[
        str | None, _option("--cache-age", help="How long unused cached data is kept [7d].", panel=_DISK)
    ] = None,
    log_level: Annotated[str, typer.Option("--log-level", help="debug, info, warning or error.")] = "info",
    json: Annotated[
        bool, typer.Option("--json", help="Write a line of JSON each time that a queue accepts the worker.")
    ] = False,
) -> None:
    """Share this machine with one or more queues: run their jobs here.

    Each option is taken from its flag, else from the environment (ASMAN_WORKER_CPUS, …), else from the default in
    brackets. After SIGTERM, the worker finishes its running jobs and takes no new ones; a second SIGTERM stops it.
    'asman worker list QUEUE' shows a queue's workers, as 'asman queue status' does.
    """
    if queue and queue[0] == "list" and not hub:  # no queue is named so without its hub
        from .queue import status as queue_status

        if len(queue) > 2:
            raise o.UsageError(f"unexpected argument '{queue[2][:40]}': give a queue")
        queue_status(queue[1] if len(queue) > 1 else None, None, json=json)
        return
    require("worker")
    from asman_shared.disk.own_files import own_files
    from asman_shared.errors import BadRequest
    from asman_worker.config import load_config
    from asman_worker.main import run_worker

    if log_level not in ("debug", "info", "warning", "error"):
        raise exits.usage(
            BadRequest(f"--log-level must be 'debug', 'info', 'warning' or 'error', not '{log_level[:40]}'")
        )
    if once and max_jobs not in (None, 1):
        raise exits.usage(BadRequest("--once means --max-jobs 1: give only one of them"))
    if queue and queue_file:
        raise exits.usage(BadRequest("give the queues or --queue-file, not both"))
    named = " ".join(queue or ()) or _in_file(queue_file)
    named = named or os.environ.get(WORKER_QUEUE_VARIABLE) or os.environ.get(o.QUEUE_VARIABLE) or ""
    if not named:
        raise BadRequest(f"no queue was named: give its URL or --queue-file, or set {o.QUEUE_VARIABLE}")
    settings = exits.settings(
        load_config,
        queue=o.with_names(named),
        hub=hub,
        name=name,
        cpus=cpus,
        memory=memory,
        gpus=gpus,
        tags=tuple(tag) if tag else None,
        disk=disk,
        disk_reserve=disk_reserve,
        max_duration=max_duration,
        executor=executor,
        docker=docker,
        network=network,
        runtime=runtime,
        pids=pids,
        ignore_images=ignore_images,
        shared_folder=tuple(shared_folder) if shared_folder else None,
        s3_bucket=tuple(s3_bucket) if s3_bucket else None,
        s3_endpoint=s3_endpoint,
        s3_region=s3_region,
        pull=pull,
        allow_image=tuple(allow_image) if allow_image else None,
        deny_image=tuple(deny_image) if deny_image else None,
        local_images=tuple(local_images) if local_images else None,
        oci_image=tuple(oci_image) if oci_image else None,
        allow_host=tuple(allow_host) if allow_host else None,
        registry_auth=registry_auth,
        git_credentials=git_credentials,
        git_credentials_for=tuple(git_credentials_for) if git_credentials_for else None,
        secrets=secrets,
        secret=tuple(secret) if secret else None,
        drain_timeout=drain_timeout,
        exit_when_idle=exit_when_idle,
        max_jobs=1 if once else max_jobs,
        status=status,
        data_dir=data_dir,
        input_cache=input_cache,
        image_cache=image_cache,
        job_cache=job_cache,
        cache_age=cache_age,
    )
    set_up_logging(log_level)
    with own_files():
        raise typer.Exit(asyncio.run(run_worker(settings, on_ready=_json_writer(settings) if json else None)))


def set_up_logging(level: str) -> None:
    """Sends the worker's log to standard error, in a form in which no job, registry or hub can steer a terminal."""
    from asman_shared.terminal.log_format import SafeFormatter

    handler = logging.StreamHandler()
    handler.setFormatter(SafeFormatter("%(asctime)s %(levelname)-7s %(message)s"))
    logging.basicConfig(level=level.upper(), handlers=[handler])


def _json_writer(settings: WorkerConfig) -> Callable[[Registered], None]:
    """Makes a function that writes a registration of the worker as a line of JSON."""
    terminal = Terminal(json=True)

    def write(answer: Registered) -> None:
        terminal.line(
            {
                "worker": answer.worker,
                "name": settings.name,
                "executor": settings.executor,
                "time": answer.time,
                "kept": len(answer.keep),
            }
        )

    return write


def _in_file(given: Path | None) -> str:
    """Returns the queues that a file names, in one line; empty if no file is named.

    Raises:
        BadRequest: The file can't be read, or names no queue. The sentence does not show what is in it.
    """
    from asman_shared.address import words_of
    from asman_shared.errors import BadRequest

    path = given or (Path(variable) if (variable := os.environ.get(QUEUE_FILE_VARIABLE)) else None)
    if path is None:
        return ""
    try:
        with path.open("rb") as file:
            text = file.read(_FILE_BYTES + 1)
        named = " ".join(words_of(text.decode("utf-8-sig")))
    except (OSError, ValueError) as error:
        why = error.strerror if isinstance(error, OSError) else "it is not text in UTF-8"
        raise BadRequest(f"the file of queues {path} can't be read: {why}") from None
    if not named or len(text) > _FILE_BYTES:
        raise BadRequest(f"the file {path} names no queue" if not named else f"the file {path} is too large for queues")
    return named
