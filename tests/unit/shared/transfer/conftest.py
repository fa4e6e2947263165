from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from asman_shared.transfer import Http

from .fake_store import FakeStore, fake_store


@pytest.fixture
async def store() -> AsyncIterator[FakeStore]:
    async with fake_store() as made:
        yield made


@pytest.fixture
async def http() -> AsyncIterator[Http]:
    made = Http()
    yield made
    await made.close()
