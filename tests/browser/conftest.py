"""A built page, a hub, and a worker whose jobs a test can steer through files."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from devtools.asman_processes import AsmanProcesses, HubProcess
from devtools.page import QUEUE, ROOT


@pytest.fixture(autouse=True)
def page_is_built() -> None:
    if not (ROOT / "server/asman_server/page/index.html").is_file():
        pytest.fail("the page is not built; make web builds it", pytrace=False)


@pytest.fixture
def hub(hub_process: Callable[..., HubProcess]) -> HubProcess:
    """A hub without workers."""
    return hub_process()


@pytest.fixture
def process_worker(processes: AsmanProcesses, hub: HubProcess, tmp_path: Path) -> None:
    """A worker of the queue that runs jobs without containers."""
    processes.worker(
        hub.queue(QUEUE), "--executor", "process", "--name", "bench", "--data-dir", str(tmp_path / "worker")
    )
