"""Running of command lines and typing on standard input, for each test that asks for them."""

from __future__ import annotations

import asyncio
import io
import sys
from typing import Any

import pytest

from asman.cli.main import main

from .running import Ended, Run, Typed


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Run:
    """Runs a command line in a thread while the test's hub answers it."""

    def blocking(words: tuple[str, ...]) -> Any:
        try:
            main(list(words))
        except SystemExit as ended:
            return ended.code

    async def running(*words: str) -> Ended:
        code = await asyncio.to_thread(blocking, words)
        out, err = capsys.readouterr()
        return Ended(code or 0, out, err)

    return running


@pytest.fixture
def typed(monkeypatch: pytest.MonkeyPatch) -> Typed:
    """Puts a text on standard input."""

    def put(text: str) -> None:
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(text.encode())))

    return put
