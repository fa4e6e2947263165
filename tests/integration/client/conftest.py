"""A real hub and a worker that runs plain processes, for all tests of a module."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from devtools.asman_processes import asman_processes

QUEUE = "client-tests"


@pytest.fixture(scope="module")
def up(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The URL of a queue with a worker that runs plain processes."""
    with asman_processes(tmp_path_factory.mktemp("up")) as started:
        hub = started.hub(
            "--queue", QUEUE, "--executor", "process", "--cpus", "8", "--drain-timeout", "0.1s", command="up"
        )
        yield hub.queue(QUEUE)
