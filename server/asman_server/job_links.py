"""Makes and checks the keys of addresses like ``/j/{id}~{key}``; see `asman_shared.address`."""

from __future__ import annotations

import hashlib
import hmac

from asman_shared.address import job_address, job_key


class JobLinks:
    """The keys of one hub, or of all hubs with the same secret.

    Args:
        secret: The hub's secret.
    """

    def __init__(self, secret: bytes) -> None:
        self._secret = secret

    def of_queue(self, queue: str) -> str:
        """Returns the secret of a queue with which the keys of its jobs are made."""
        return hmac.new(self._secret, b"asman job links v1\n" + queue.encode(), hashlib.sha256).hexdigest()

    def path(self, queue: str, job: str) -> str:
        """Returns the path of a job's address."""
        return f"/j/{job_address(job, self.of_queue(queue))}"

    def opens(self, key: str, queue: str, job: str) -> bool:
        """Whether a key is that of a job in a queue."""
        return hmac.compare_digest(key.encode("utf-8", "surrogatepass"), job_key(self.of_queue(queue), job).encode())
