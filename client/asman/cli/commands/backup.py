"""``asman backup``: copies a hub's store to a folder or S3 while the hub runs."""

from __future__ import annotations

import asyncio
from typing import Annotated

import typer

from .. import exits
from .. import options as o
from .. import store_options as s
from ..terminal import Terminal


def backup(
    place: Annotated[str, typer.Argument(metavar="PLACE", help="A folder, or s3://bucket/prefix.")],
    keep: Annotated[
        int, typer.Option("--keep", min=1, max=1000, help="Backups that stay in PLACE; older ones are removed.")
    ] = 7,
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
    """Back up a hub on SQLite while it runs: its database as of one commit, all blobs of it, and its secret.

    Run it on the hub's machine, as its user and with its settings: options, ASMAN_… variables, file. One PLACE holds
    several backups of one hub, which share their blobs: a blob that is there is not copied again. A backup that is
    killed leaves nothing that could be restored, and the earlier ones as they were. Whoever can read PLACE can read
    everything on the hub. Blobs that the hub itself has lost are left out, and then the exit code is 125. For a hub on
    Postgres, docs/backup.md has the commands.
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
    from asman_server.upkeep.backup import Backup
    from asman_shared.disk.own_files import own_files

    terminal = Terminal(json=json, quiet=quiet)
    with own_files():
        made = asyncio.run(Backup(settings, place, keep, terminal.note).run())
    if json:
        terminal.value(
            {"backup": made.id, "blobs": made.blobs, "bytes": made.database.size + made.blob_bytes, "lost": made.lost}
        )
    else:
        terminal.result(made.id)
    if made.lost:
        terminal.error(
            f"warning: the hub has lost {made.lost} blobs, which are not in the backup; 'asman check' names them"
        )
        raise typer.Exit(exits.NOT_RUN)
