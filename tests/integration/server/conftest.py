"""A database of each kind, opened and empty, for the tests that both must pass."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from asman_server.storage.database import make_engine, migrate
from asman_server.storage.open_writer import Writer, open_writer
from asman_server.storage.reader import Store
from devtools.postgres import PostgresServer


@pytest.fixture(params=["sqlite", "postgres"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A new, empty database."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'hub.sqlite'}"
    server: PostgresServer = request.getfixturevalue("postgres")
    return server.new_database()


@pytest.fixture
async def empty(url: str) -> AsyncIterator[AsyncEngine]:
    engine = make_engine(url)
    yield engine
    await engine.dispose()


@pytest.fixture
async def engine(empty: AsyncEngine) -> AsyncEngine:
    await migrate(empty)
    return empty


@pytest.fixture
async def writer(engine: AsyncEngine) -> Writer:
    return await open_writer(engine)


@pytest.fixture
def store(engine: AsyncEngine, writer: Writer) -> Store:
    return Store(engine, writer.flushed)
