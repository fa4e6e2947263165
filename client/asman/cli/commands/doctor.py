"""``asman doctor``: checks of this machine's ability to run jobs."""

from __future__ import annotations

import asyncio
import os
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
    executor: Annotated[str | None, typer.Option("--executor", help="docker or process [docker].")] = None,
    docker: Annotated[str | None, typer.Option("--docker", help="Address of the engine.")] = None,
    network: Annotated[str | None, typer.Option("--network", help="Network of the containers [internet].")] = None,
    runtime: Annotated[str | None, typer.Option("--runtime", help="Runtime of the engine, such as runsc.")] = None,
    gpus: Annotated[str | None, typer.Option("--gpus", help="GPUs for jobs [0].")] = None,
    json: o.JsonOption = False,
) -> None:
    """Check whether this machine can run jobs (engine, disk, GPUs, network, hub, clock), and say how to fix problems.

    It takes the relevant options of 'asman worker', and the same environment. The exit code is 125 if a problem keeps
    a worker from running jobs.
    """
    require("worker")
    from asman_worker.config import load_config

    settings = load_config(
        queue=queue or os.environ.get("ASMAN_WORKER_QUEUE") or os.environ.get(o.QUEUE_VARIABLE),
        hub=hub,
        data_dir=data_dir,
        executor=executor,
        docker=docker,
        network=network,
        runtime=runtime,
        gpus=gpus,
    )
    ok = asyncio.run(_examine(settings, Terminal(json=json)))
    raise typer.Exit(exits.OK if ok else exits.NOT_RUN)


async def _examine(settings: WorkerConfig, terminal: Terminal) -> bool:
    """Prints each finding as it is made; returns whether a worker can run jobs."""
    from asman_worker.doctor import examine

    findings: list[Finding] = []
    async for finding in examine(settings):
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
