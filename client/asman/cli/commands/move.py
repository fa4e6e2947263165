"""``asman move``: takes a hub's store to another database and its blobs to another place."""

from __future__ import annotations

import asyncio
from typing import Annotated

import typer

from .. import exits
from .. import options as o
from .. import store_options as s
from ..terminal import Terminal


def move(
    to_database_url: Annotated[
        str,
        typer.Option("--to-database-url", help="postgresql://…, sqlite:///… or 'folder' [stays].", show_default=False),
    ] = "",
    to_blobs: Annotated[
        str, typer.Option("--to-blobs", help="s3://bucket/prefix or 'folder' [stay].", show_default=False)
    ] = "",
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
    """Move a hub's store from SQLite to Postgres and from a folder to S3, or back; 'folder' is the data folder.

    End the hub first. The new database must be empty, and so must the new place of blobs, but for what a move that was
    killed has left: the same command goes on with it. Rows are moved in one transaction, after the blobs. Then all of
    the new store is checked as by 'asman check'; with a fault, the exit code is 125. The old store and the data folder
    with the hub's secret stay as they are: start the hub with the new options, and remove the old store when all is
    well.
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
    from asman_server.config import load_config
    from asman_server.upkeep.move import FOLDER, Move, target_of
    from asman_shared.disk.own_files import own_files

    load_config(  # refuses addresses that no hub takes
        database_url=None if to_database_url in ("", FOLDER) else to_database_url,
        blobs=None if to_blobs in ("", FOLDER) else to_blobs,
    )
    new = target_of(settings, to_database_url, to_blobs)
    terminal = Terminal(json=json, quiet=quiet)
    with own_files():
        moved = asyncio.run(Move(settings, new, lambda fault: terminal.error(f"fault: {fault}"), terminal.note).run())
    faults = moved.report.faults
    if json:
        terminal.value({"rows": moved.rows, "blobs": moved.blobs, "bytes": moved.blob_bytes, "faults": faults})
    else:
        terminal.result(f"moved {moved.rows} rows and {moved.blobs} blobs; {faults or 'no'} faults in the new store")
    raise typer.Exit(exits.NOT_RUN if faults else exits.OK)
