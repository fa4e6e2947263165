"""RQ: jobs in a list of Redis, one at a time in the worker's own process, results in a stream for each job."""

from __future__ import annotations

from typing import Any

from redis import Redis
from rq import Queue, SimpleWorker

from bench.peers import job
from bench.peers.orders import BlockingClient, run

PATIENCE = 60
"""Seconds that a result may take."""


class Client(BlockingClient):
    """RQ: jobs in a list of Redis, one at a time in the worker's own process, results in a stream for each job."""

    def open(self, address: str) -> None:
        self._queue = Queue("bench", connection=Redis.from_url(address))

    def submit(self, payload: str) -> Any:
        return self._queue.enqueue(job.began, payload)

    def result(self, handle: Any) -> int:
        return int(handle.latest_result(timeout=PATIENCE).return_value)

    def many(self, wanted: list[str]) -> None:
        """A pipeline of Redis takes many submits in one go."""
        for at in range(0, len(wanted), 500):
            some = [Queue.prepare_data(job.began, (payload,)) for payload in wanted[at : at + 500]]
            handles = self._queue.enqueue_many(some)
            if at == 0:
                taken = handles
            else:
                taken += handles
        for handle in taken:
            self.result(handle)


def work(address: str) -> None:
    connection = Redis.from_url(address)
    SimpleWorker([Queue("bench", connection=connection)], connection=connection).work(logging_level="ERROR")


if __name__ == "__main__":
    run(work, Client)
