from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from devtools.fake_hub import FakeHub, fake_hub


@pytest.fixture
async def hub() -> AsyncIterator[FakeHub]:
    async with fake_hub() as made:
        yield made
