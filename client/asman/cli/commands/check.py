"""``asman check``: checks a hub's store."""

from __future__ import annotations

import asyncio
from typing import Final

import typer

from .. import exits
from .. import options as o
from .. import store_options as s
from ..terminal import Terminal

LISTED: Final = 1000
"""Largest number of faults that are listed; the others are counted."""


def check(
    data_dir: s.DataDirOption = None,
    database_url: s.DatabaseOption = None,
    blobs: s.BlobsOption = None,
    s3_endpoint: s.EndpointOption = None,
    s3_region: s.RegionOption = None,
    s3_path_style: s.PathStyleOption = None,
    config: s.ConfigOption = None,
    json: o.JsonOption = False,
    quiet: o.QuietOption = False,
) -> None:
    """Check the store of a hub, also while the hub runs, and change nothing.

    All rows are read: jobs, definitions, results and logs must be readable, agree with each other and have the ids that
    they must have. All blobs are read: their bytes must have their sha256. Blobs that a result or a file names must be
    stored. Blobs that nothing names, and those that definitions wait for, are counted and are no fault. Each fault is a
    line; with any, the exit code is 125. It takes the hub's settings: options, ASMAN_… variables, file.
    """
    settings = s.load_store(
        config=config,
        data_dir=data_dir,
        database_url=database_url,
        blobs=blobs,
        s3_endpoint=s3_endpoint,
        s3_region=s3_region,
        s3_path_style=s3_path_style,
    )
    from asman_server.upkeep.check import Check
    from asman_shared.disk.own_files import own_files
    from asman_shared.units import format_size

    terminal = Terminal(json=json, quiet=quiet)
    listed: list[str] = []

    def fault(sentence: str) -> None:
        if len(listed) < LISTED:
            listed.append(sentence)
            if not json:
                terminal.result(f"fault: {sentence}")

    with own_files():
        found = asyncio.run(Check(settings, fault, terminal.note).run())
    if json:
        terminal.value(
            {
                "ok": not found.faults,
                "faults": listed,
                "fault_count": found.faults,
                "schema": found.schema,
                "rows": found.rows,
                "blobs": found.blobs,
                "bytes": found.blob_bytes,
                "unnamed": found.unnamed,
                "awaited": found.awaited,
                "strays": found.strays,
            }
        )
    else:
        if found.faults > len(listed):
            terminal.result(f"and {found.faults - len(listed)} more faults")
        terminal.result(
            f"{found.rows['jobs']} jobs, {found.rows['results']} results, {found.blobs} blobs"
            f" ({format_size(found.blob_bytes)}), schema {found.schema}"
        )
        terminal.result(
            f"{found.unnamed} blobs that nothing names, {found.awaited} that definitions wait for, {found.strays} "
            "objects beside the catalogue"
        )
        terminal.result(f"{found.faults} faults" if found.faults else "no faults")
    raise typer.Exit(exits.NOT_RUN if found.faults else exits.OK)
