"""``asman restore``: puts a backup into a data folder."""

from __future__ import annotations

import asyncio
from typing import Annotated

import typer

from .. import options as o
from .. import store_options as s
from ..terminal import Terminal


def restore(
    place: Annotated[str, typer.Argument(metavar="PLACE", help="The folder or s3://bucket/prefix of the backups.")],
    backup: Annotated[str, typer.Option("--backup", help="Name of the backup [the newest].", show_default=False)] = "",
    replace: Annotated[
        bool, typer.Option("--replace", help="Replace data in the data folder; it stays beside it, as NAME.replaced-….")
    ] = False,
    check: Annotated[bool, typer.Option("--check", help="Check the whole backup, and restore nothing.")] = False,
    data_dir: s.DataDirOption = None,
    blobs: s.BlobsOption = None,
    s3_endpoint: s.EndpointOption = None,
    s3_region: s.RegionOption = None,
    s3_path_style: s.PathStyleOption = None,
    config: s.ConfigOption = None,
    json: o.JsonOption = False,
    quiet: o.QuietOption = False,
) -> None:
    """Restore a backup into a new data folder, and its blobs with it or into S3 (--blobs).

    All of it is written beside the data folder, and verified: the database and each blob by its sha256. One rename then
    makes it the data folder, so there is all of it or nothing. A folder that a hub uses is refused, and so is one that
    holds data, without --replace. End the workers of the old hub before the restored one starts.
    """
    settings = s.load_store(
        config=config,
        data_dir=data_dir,
        blobs=blobs,
        s3_endpoint=s3_endpoint,
        s3_region=s3_region,
        s3_path_style=s3_path_style,
    )
    from asman_server.upkeep import restore as upkeep
    from asman_shared.disk.own_files import own_files

    terminal = Terminal(json=json, quiet=quiet)
    with own_files():
        made = asyncio.run(upkeep.restore(settings, place, terminal.note, name=backup, replace=replace, check=check))
    folder = "" if check else str(settings.data_dir)
    if made.replaced is not None:
        terminal.note(f"the data that was there is in {made.replaced}")
    if json:
        replaced = "" if made.replaced is None else str(made.replaced)
        terminal.value(
            {"backup": made.manifest.id, "blobs": made.manifest.blobs, "folder": folder, "replaced": replaced}
        )
    else:
        terminal.result(f"{made.manifest.id} is whole" if check else f"{made.manifest.id} is in {folder}")
