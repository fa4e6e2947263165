"""``asman doctor``: whether this machine can work for a queue."""

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
    data_dir: Annotated[Path | None, typer.Option("--data-dir", help="The data folder of the worker.")] = None,
    executor: Annotated[str | None, typer.Option("--executor", help="docker or process [docker].")] = None,
    docker: Annotated[str | None, typer.Option("--docker", help="The engine's address.")] = None,
    network: Annotated[str | None, typer.Option("--network", help="The containers' network [internet].")] = None,
    runtime: Annotated[str | None, typer.Option("--runtime", help="The engine's runtime.")] = None,
    gpus: Annotated[str | None, typer.Option("--gpus", help="Gpus given to jobs [0].")] = None,
    json: o.JsonOption = False,
) -> None:
    """Look whether this machine can work: engine, disk, gpus, network, hub, clock; with a remedy for each finding.

    Takes the options of ``asman worker`` that matter here, and the same environment. Exits 125 when something keeps
    a worker from working.
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
    well = asyncio.run(_examine(settings, Terminal(json=json)))
    raise typer.Exit(exits.OK if well else exits.NOT_RUN)


async def _examine(settings: WorkerConfig, terminal: Terminal) -> bool:
    """Tells each finding as it comes; returns whether a worker can work."""
    from asman_worker.doctor import examine

    findings: list[Finding] = []
    async for finding in examine(settings):
        findings.append(finding)
        if not terminal.json:
            terminal.result(f"{_MARKS[finding.mark]}  {finding.what}: {finding.says}")
            if finding.remedy:
                terminal.result(f"         → {finding.remedy}")
    well = all(finding.mark != "problem" for finding in findings)
    if terminal.json:
        terminal.value({"ok": well, "findings": [_shape(finding) for finding in findings]})
    return well


def _shape(finding: Finding) -> dict[str, Any]:
    return {"what": finding.what, "mark": finding.mark, "says": finding.says, "remedy": finding.remedy}
