"""A scripted hub for each test that asks for one."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

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
def _clean_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("ASMAN_CONFIG_HOME", str(tmp_path / "settings"))
    for name in ("ASMAN_HUB", "ASMAN_QUEUE", "ASMAN_IMAGE", "ASMAN_DEBUG"):
        monkeypatch.delenv(name, raising=False)
