"""Options of the commands about a hub's store; each is the option of ``asman hub`` with the same name."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from .extras import require

if TYPE_CHECKING:
    from asman_server.config import HubConfig

DataDirOption = Annotated[Path | None, typer.Option("--data-dir", help="The hub's data folder [.asman].")]
DatabaseOption = Annotated[
    str | None, typer.Option("--database-url", help="The hub's database, if it is elsewhere [in the data folder].")
]
BlobsOption = Annotated[
    str | None, typer.Option("--blobs", help="s3://bucket/prefix of the hub's blobs [in the data folder].")
]
EndpointOption = Annotated[str | None, typer.Option("--s3-endpoint", help="URL of the S3 service [AWS].")]
RegionOption = Annotated[
    str | None, typer.Option("--s3-region", help="Region of the S3 service [$AWS_REGION, else us-east-1].")
]
PathStyleOption = Annotated[
    bool | None,
    typer.Option("--s3-path-style/--no-s3-path-style", help="Put the bucket in the path [yes with an endpoint]."),
]
ConfigOption = Annotated[
    Path | None, typer.Option("--config", help="The hub's TOML file with the same option names [$ASMAN_CONFIG].")
]


def load_store(**flags: Any) -> HubConfig:
    """Reads the settings of a hub whose store is looked after.

    Raises:
        Conflict: The packages of a hub are not installed.
        BadRequest: A setting can't be read.
    """
    require("hub")
    from asman_server.config import load_config

    return load_config(**flags)
