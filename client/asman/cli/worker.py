"""``asman worker``: a worker as this whole process."""

from __future__ import annotations

import asyncio
import logging
import os
from pathlib import Path
from typing import Annotated, Final

import typer

from . import options as o
from .extras import require

WORKER_QUEUE_VARIABLE: Final = "ASMAN_WORKER_QUEUE"


def worker(
    queue: o.QueueArgument = None,
    hub: o.HubOption = None,
    name: Annotated[str | None, typer.Option("--name", help="What people see in lists [the host's name].")] = None,
    cpus: Annotated[float | None, typer.Option("--cpus", help="Cpus given to jobs [all].")] = None,
    memory: Annotated[str | None, typer.Option("--memory", help="Memory given to jobs: 8GiB [all].")] = None,
    gpus: Annotated[int | None, typer.Option("--gpus", help="Gpus given to jobs [0].")] = None,
    tag: Annotated[list[str] | None, typer.Option("--tag", help="What jobs can ask for. Repeatable.")] = None,
    max_duration: Annotated[
        str | None, typer.Option("--max-duration", help="The longest that a job may run [no limit].")
    ] = None,
    data_dir: Annotated[
        Path | None, typer.Option("--data-dir", help="Where results wait and jobs have their files.")
    ] = None,
    executor: Annotated[
        str | None,
        typer.Option("--executor", help="docker, or process: no container, jobs run as your own user [docker]."),
    ] = None,
    docker: Annotated[
        str | None, typer.Option("--docker", help="The engine's address, such as unix:///var/run/docker.sock.")
    ] = None,
    network: Annotated[
        str | None, typer.Option("--network", help="The containers' network: bridge, none, … [bridge].")
    ] = None,
    drain_timeout: Annotated[
        str | None, typer.Option("--drain-timeout", help="How long running jobs may go on after SIGTERM [no limit].")
    ] = None,
    log_level: Annotated[str, typer.Option("--log-level", help="debug, info, warning or error.")] = "info",
) -> None:
    """Share this machine with a queue: run its jobs, here.

    Each option is taken from its flag, else from the environment (ASMAN_WORKER_CPUS, …), else it is the default in
    brackets. SIGTERM lets running jobs finish and takes no new ones; a second one ends it.
    """
    require("worker")
    from asman_shared.errors import BadRequest
    from asman_worker.config import load_config
    from asman_worker.main import run_worker

    if log_level not in ("debug", "info", "warning", "error"):
        raise BadRequest(f"--log-level is 'debug', 'info', 'warning' or 'error', not '{log_level}'")
    named = queue or os.environ.get(WORKER_QUEUE_VARIABLE) or os.environ.get(o.QUEUE_VARIABLE)
    if not named:
        raise BadRequest(f"no queue was named: give its URL, or set {o.QUEUE_VARIABLE}")
    settings = load_config(
        queue=named,
        hub=hub,
        name=name,
        cpus=cpus,
        memory=memory,
        gpus=gpus,
        tags=tuple(tag) if tag else None,
        max_duration=max_duration,
        data_dir=data_dir,
        executor=executor,
        docker=docker,
        network=network,
        drain_timeout=drain_timeout,
    )
    logging.basicConfig(level=log_level.upper(), format="%(asctime)s %(levelname)-7s %(message)s")
    raise typer.Exit(asyncio.run(run_worker(settings)))
