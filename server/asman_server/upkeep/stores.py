"""Finds the parts of a store by the hub's own settings."""

from __future__ import annotations

from pathlib import Path

from asman_shared.errors import BadRequest, NotFound

from ..config import HubConfig
from ..hub import s3_settings
from ..storage.address import is_sqlite
from ..storage.database import sqlite_file
from .objects import FolderObjects, Objects
from .s3_objects import S3Objects

SQLITE_NAME = "hub.sqlite"
"""Name of the database in a data folder."""
SECRET_NAME = "secret"  # noqa: S105 - a name
"""Name of the file with the hub's secret."""


def objects_at(config: HubConfig, where: str | Path) -> Objects:
    """Returns the objects in a folder, or at ``s3://bucket/prefix`` with the hub's access to S3.

    Raises:
        BadRequest: The address can't be read.
    """
    if not str(where).startswith("s3://"):
        return FolderObjects(Path(where))
    settings = s3_settings(config.model_copy(update={"blobs": str(where)}))
    assert settings is not None  # noqa: S101 - an address was given
    return S3Objects(settings)


def blob_objects(config: HubConfig) -> Objects:
    """Returns the objects that a hub keeps its blobs in."""
    return objects_at(config, config.blobs or config.data_dir / "blobs")


def database_file(config: HubConfig) -> Path | None:
    """Returns the file of a hub's database, which exists; None for Postgres.

    Raises:
        NotFound: There is no such file.
        BadRequest: The database is SQLite in memory.
    """
    if not is_sqlite(config.database):
        return None
    file = sqlite_file(config.database)
    if file is None:
        raise BadRequest("a database in memory ends with its hub: name a file, sqlite:///path")
    if not file.is_file():
        raise NotFound(f"there is no database at {file}: name the hub's folder with --data-dir")
    return file
