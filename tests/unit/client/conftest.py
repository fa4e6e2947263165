"""A scripted hub for each test that asks for one."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from .fake_hub import FakeHub, blob_store


@pytest.fixture
async def hub() -> AsyncIterator[FakeHub]:
    """A fake hub that listens, with a store for blobs."""
    made = FakeHub()
    await made.listen()
    async with blob_store(made):
        yield made
    await made.stop()


@pytest.fixture(autouse=True)
def _clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("ASMAN_HUB", "ASMAN_QUEUE", "ASMAN_IMAGE", "ASMAN_DEBUG"):
        monkeypatch.delenv(name, raising=False)
