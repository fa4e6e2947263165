"""Dramatiq: jobs in lists of Redis, a worker of threads, results that the client takes with a blocking read."""

from __future__ import annotations

import threading
from typing import Any

from dramatiq import Worker, actor, set_broker
from dramatiq.brokers.redis import RedisBroker
from dramatiq.results import Results
from dramatiq.results.backends.redis import RedisBackend

from bench.peers import job
from bench.peers.orders import BlockingClient, run

THREADS = 8
"""Threads of the worker: its default. For jobs that do nothing, 32 and 100 were slower, synced or not."""
PATIENCE = 60_000
"""Milliseconds that a result may take."""


def _actor(address: str) -> tuple[Any, Any]:
    broker = RedisBroker(url=address)
    broker.add_middleware(Results(backend=RedisBackend(url=address), store_results=True))
    set_broker(broker)
    return broker, actor(job.began, actor_name="began", broker=broker)


class Client(BlockingClient):
    """Dramatiq: jobs in lists of Redis, a worker of threads, results that the client takes with a blocking read."""

    def open(self, address: str) -> None:
        self._broker, self._began = _actor(address)

    def submit(self, payload: str) -> Any:
        return self._began.send(payload)

    def result(self, handle: Any) -> int:
        return int(handle.get_result(block=True, timeout=PATIENCE))

    def close(self) -> None:
        self._broker.close()


def work(address: str) -> None:
    broker, _ = _actor(address)
    Worker(broker, worker_threads=THREADS, worker_timeout=100).start()
    threading.Event().wait()


if __name__ == "__main__":
    run(work, Client)
