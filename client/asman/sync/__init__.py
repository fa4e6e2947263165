"""The synchronous client: the same as `asman.connect`, without ``await``.

.. code-block:: python

    import asman.sync

    with asman.sync.connect("https://hub.example/q/my-queue") as queue:
        job = queue.submit(image="alpine", command="echo hello")
        for line in job.logs():
            print(line.text)
        result = job.result()

The async client runs on an event loop in a thread of its own, and each call here waits for one of its calls. Several
threads may use one queue.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any, Never

from asman import client
from asman.background import BackgroundLoop

from .jobs import Job, JobResult, Output, Outputs
from .queues import Queue

__all__ = ["Job", "JobResult", "Output", "Outputs", "Queue", "connect"]


def __getattr__(name: str) -> Any:
    if name == "Executor":  # it needs no await, takes long to import, and imports this package
        return import_module("asman.executor").Executor
    raise AttributeError(f"module 'asman.sync' has no attribute '{name}'")


def connect(
    address: str | None = None,
    hub: str | None = None,
    *,
    timeout: float = 30.0,
    reconnect: float | None = 300.0,
    **unknown: Never,
) -> Queue:
    """Connects to a queue, with the arguments and errors of `asman.connect`."""
    queue = client.connect(address, hub, timeout=timeout, reconnect=reconnect, **unknown)
    loop = BackgroundLoop()
    try:
        loop.run(queue.open())
    except BaseException:
        loop.stop()
        raise
    return Queue(queue, loop)
