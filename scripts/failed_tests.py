"""A pytest plugin: writes the names of the tests that failed into the file that ``ASMAN_FAILED_TESTS`` names.

`scripts.tests` loads it and runs those tests again, alone.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

import pytest

VARIABLE: Final = "ASMAN_FAILED_TESTS"
"""Environment variable with the file's path."""

_failed: dict[str, None] = {}


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    """Notes a test whose set-up, call or tear-down failed."""
    if report.failed:
        _failed[report.nodeid] = None


def pytest_sessionfinish() -> None:
    """Writes one name a line, in the order of the failures."""
    Path(os.environ[VARIABLE]).write_text("".join(f"{name}\n" for name in _failed), encoding="utf-8")
