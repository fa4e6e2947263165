"""``asman doctor``: checks of this machine's ability to run jobs."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from .. import exits
from .. import options as o
from ..extras import require
from ..terminal import Terminal

if TYPE_CHECKING:
    from asman_worker.config import WorkerConfig
    from asman_worker.doctor import Finding

_MARKS: Final = {"ok": "ok     ", "warning": "warning", "problem": "problem"}


def doctor(
    queue: o.QueueArgument = None,
    hub: o.HubOption = None,
    data_dir: Annotated[Path | None, typer.Option("--data-dir", help="Data folder of the worker.")] = None,
    executor: Annotated[
        str | None, typer.Option("--executor", help="docker, oci, bubblewrap, auto or process [docker].")
    ] = None,
    docker: Annotated[str | None, typer.Option("--docker", help="Address of the engine.")] = None,
    network: Annotated[str | None, typer.Option("--network", help="Network of the containers [internet].")] = None,
    runtime: Annotated[str | None, typer.Option("--runtime", help="Runtime of the engine, such as runsc.")] = None,
    gpus: Annotated[str | None, typer.Option("--gpus", help="GPUs for jobs [0].")] = None,
    blobs: Annotated[
        str | None, typer.Option("--blobs", help="s3://bucket/prefix of a hub, to try its storage out [$ASMAN_BLOBS].")
    ] = None,
    json: o.JsonOption = False,
) -> None:
    """Check whether this machine can run jobs (engine, disk, GPUs, network, hub, clock), and say how to fix problems.

    It takes the relevant options of 'asman worker', and the same environment. With --blobs it also tries out the
    bucket of a hub, with the hub's own settings (ASMAN_S3_ENDPOINT, …) and small objects that it removes again. The
    exit code is 125 if a problem keeps a worker from running jobs, or a hub from using its bucket.
    """
    require("worker")
    from asman_worker.config import load_config

    named = queue or os.environ.get("ASMAN_WORKER_QUEUE") or os.environ.get(o.QUEUE_VARIABLE)
    settings = exits.settings(
        load_config,
        queue=o.with_names(named) if named else None,
        hub=hub,
        data_dir=data_dir,
        executor=executor,
        docker=docker,
        network=network,
        runtime=runtime,
        gpus=gpus,
    )
    ok = asyncio.run(_examine(settings, blobs or os.environ.get("ASMAN_BLOBS", ""), Terminal(json=json)))
    raise typer.Exit(exits.OK if ok else exits.NOT_RUN)


async def _findings(settings: WorkerConfig, blobs: str) -> AsyncIterator[Finding]:
    from asman_worker.doctor import examine

    async for finding in examine(settings):
        yield finding
    if blobs:
        async for finding in _bucket(blobs):
            yield finding


async def _bucket(blobs: str) -> AsyncIterator[Finding]:
    """Tries out the bucket of a hub."""
    require("hub")
    from asman_server.config import load_config
    from asman_server.hub import tried_bucket
    from asman_worker.doctor import Finding

    remedy = "create the bucket, or give the hub's keys the rights in docs/blobs.md, or use another storage"
    worked: list[str] = []
    async for what, why, permanent in tried_bucket(load_config(blobs=blobs)):
        if why:
            hint = remedy if permanent else "start the storage, or correct --s3-endpoint (ASMAN_S3_ENDPOINT)"
            yield Finding(f"bucket ({what})", "problem", why, hint)
        else:
            worked.append(what)
    if worked:
        yield Finding("bucket", "ok", f"these work: {', '.join(worked)}")


async def _examine(settings: WorkerConfig, blobs: str, terminal: Terminal) -> bool:
    """Prints each finding as it is made; returns whether a worker can run jobs."""
    findings: list[Finding] = []
    async for finding in _findings(settings, blobs):
        findings.append(finding)
        if not terminal.json:
            terminal.result(f"{_MARKS[finding.mark]}  {finding.what}: {finding.says}")
            if finding.remedy:
                terminal.result(f"         → {finding.remedy}")
    ok = all(finding.mark != "problem" for finding in findings)
    if terminal.json:
        terminal.value({"ok": ok, "findings": [_shape(finding) for finding in findings]})
    return ok


def _shape(finding: Finding) -> dict[str, Any]:
    return {"what": finding.what, "mark": finding.mark, "says": finding.says, "remedy": finding.remedy}
