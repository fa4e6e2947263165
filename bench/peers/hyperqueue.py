"""HyperQueue: a process for each task. Its wheel has the server and worker behind a Python interface, not ``hq``.

That interface looks once a second whether a job is done, so it can't tell latencies, and what it says of a run is up
to a second late.
"""

from __future__ import annotations

import os
import threading
import time
from pathlib import Path

from hyperqueue import Client as HyperQueueClient
from hyperqueue import Job, LocalCluster
from hyperqueue.cluster import WorkerConfig

from bench.peers.orders import CONCURRENT, BlockingClient, run

PATIENCE = 30.0
"""Seconds that its server may take to start."""


class Client(BlockingClient):
    """HyperQueue: a process for each task, with server and worker behind a Python interface."""

    def open(self, address: str) -> None:
        until = time.monotonic() + PATIENCE
        while not (Path(address) / "hq-current" / "access.json").exists():
            if time.monotonic() > until:
                raise RuntimeError("its server did not start")
            time.sleep(0.02)
        self._client = HyperQueueClient(address)

    def many(self, wanted: list[str]) -> None:
        job = Job()
        for payload in wanted:
            job.program(["true", payload], stdout=None, stderr=None)
        self._client.wait_for_jobs([self._client.submit(job)])


def work(address: str) -> None:
    """Server and worker in one process, as its interface starts them."""
    folder = Path(address)
    folder.mkdir()
    os.chdir(folder)
    with LocalCluster(str(folder), WorkerConfig(cores=CONCURRENT)):
        threading.Event().wait()


if __name__ == "__main__":
    run(work, Client)
