"""Celery: jobs in a list of Redis, results as keys that are also published to the client."""

from __future__ import annotations

import time
from typing import Any

from celery import Celery

from bench.peers import job
from bench.peers.orders import CONCURRENT, MOST_SAMPLES, BlockingClient, counted_from, payloads, run

POOL = "threads"
"""Of threads, prefork and solo what costs the least for jobs that do nothing."""


def _app(address: str) -> tuple[Any, Any]:
    app = Celery("bench", broker=address, backend=address)
    app.conf.update(worker_hijack_root_logger=False, broker_connection_retry_on_startup=True)
    return app, app.task(job.began, name="began")


class Client(BlockingClient):
    """Celery: jobs in a list of Redis, results as keys that are also published to the client."""

    def open(self, address: str) -> None:
        self._app, self._began = _app(address)

    def submit(self, payload: str) -> Any:
        return self._began.delay(payload)

    def result(self, handle: Any) -> int:
        return int(handle.get(interval=0.001))

    def steady(self, rate: float, seconds: float) -> dict[str, list[float]]:
        """In one thread, as its results may not be awaited from several: submits what is due, then hears results."""
        wanted = payloads(min(MOST_SAMPLES, max(1, round(rate * seconds))))
        starts: list[float] = []
        results: list[float] = []
        waiting: set[Any] = set()
        consumer = self._app.backend.result_consumer
        begun = time.time_ns()
        sent = 0

        def told(due: int) -> Any:
            def tell(result: Any) -> None:
                results.append((time.time_ns() - due) / 1000)
                starts.append((int(result.result) - due) / 1000)
                waiting.discard(result.id)

            return tell

        while sent < len(wanted) or waiting:
            due = begun + int(sent / rate * 1e9)
            if sent < len(wanted) and due <= time.time_ns():
                counted = counted_from(due)
                handle = self.submit(wanted[sent])
                waiting.add(handle.id)
                handle.then(told(counted))
                sent += 1
                continue
            left = (due - time.time_ns()) / 1e9 if sent < len(wanted) else 1.0
            consumer.drain_events(timeout=max(0.0001, left))
        return {"starts": starts, "results": results}


def work(address: str) -> None:
    app, _ = _app(address)
    quiet = ["--without-gossip", "--without-mingle", "--without-heartbeat", "--loglevel=ERROR"]
    app.worker_main(["worker", f"--pool={POOL}", f"--concurrency={CONCURRENT}", *quiet])


if __name__ == "__main__":
    run(work, Client)
