"""Real hubs on both kinds of stores: one for the tests of a module, each of which uses a queue of its own; and one that
a test may restart."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from dataclasses import dataclass

import pytest

from devtools.asman_processes import HubProcess, asman_processes
from devtools.engine import Engine
from devtools.postgres import PostgresServer
from tests.support.api import Api, opened_api
from tests.support.engine import engine_for_session
from tests.support.s3 import S3Server


@dataclass(frozen=True)
class Stores:
    """Where a hub keeps its rows and files, as it is told so.

    Attributes:
        options: Of the command.
        environment: Of the process.
    """

    options: tuple[str, ...] = ()
    environment: Mapping[str, str] | None = None


KINDS = ("sqlite and a folder", "postgres and s3")


def new_stores(request: pytest.FixtureRequest) -> Stores:
    """New and empty stores of the kind that is a fixture's parameter."""
    if request.param == KINDS[0]:
        return Stores()
    postgres: PostgresServer = request.getfixturevalue("postgres_server")
    s3: S3Server = request.getfixturevalue("s3_server")
    postgres.start()
    s3.start()
    options = ("--database-url", postgres.new_database(), "--blobs", f"s3://{s3.new_bucket()}")
    return Stores(options, s3.environment)


@pytest.fixture(scope="module", params=KINDS)
def stores(request: pytest.FixtureRequest) -> Stores:
    """New and empty stores of each kind: SQLite with a folder, and Postgres with S3."""
    return new_stores(request)


@pytest.fixture(params=KINDS)
def own_stores(request: pytest.FixtureRequest) -> Stores:
    """Stores of each kind for one test, whose hub may end."""
    return new_stores(request)


@pytest.fixture(scope="module")
def hub(stores: Stores, tmp_path_factory: pytest.TempPathFactory) -> Iterator[HubProcess]:
    with asman_processes(tmp_path_factory.mktemp("dialect")) as started:
        flags = ("--allow-private-webhooks", "--public-job-ids", *stores.options)
        yield started.hub(*flags, environment=stores.environment)


@pytest.fixture(scope="session")
def engine() -> Iterator[Engine]:
    """A container engine; in the folder above, the name is a database's."""
    yield from engine_for_session()


@pytest.fixture
async def own_hub(hub_process: Callable[..., HubProcess]) -> HubProcess:
    """A hub with a short grace, on SQLite and a folder: restarts on every store are tested with native sessions."""
    return await asyncio.to_thread(hub_process, "--grace", "500ms", "--public-job-ids")


@pytest.fixture
async def api(hub: HubProcess) -> AsyncIterator[Api]:
    async with opened_api(hub.url) as opened:
        yield opened


@pytest.fixture
async def own_api(own_hub: HubProcess) -> AsyncIterator[Api]:
    async with opened_api(own_hub.url) as opened:
        yield opened
