"""A real hub for the tests of a module, each of which uses a queue of its own; and one that a test may restart."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator

import pytest

from devtools.asman_processes import HubProcess, asman_processes
from tests.support.api import Api, opened_api


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[HubProcess]:
    with asman_processes(tmp_path_factory.mktemp("dialect")) as started:
        yield started.hub("--allow-private-webhooks", "--public-job-ids")


@pytest.fixture
async def own_hub(hub_process: Callable[..., HubProcess]) -> HubProcess:
    """A hub with a short grace."""
    return await asyncio.to_thread(hub_process, "--grace", "500ms", "--public-job-ids")


@pytest.fixture
async def api(hub: HubProcess) -> AsyncIterator[Api]:
    async with opened_api(hub.url) as opened:
        yield opened


@pytest.fixture
async def own_api(own_hub: HubProcess) -> AsyncIterator[Api]:
    async with opened_api(own_hub.url) as opened:
        yield opened
