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

    def of_queue(self, queue: str, *, whole: bool = True) -> str:
        """Returns the secret of a queue with which the keys of its jobs are made.

        Args:
            queue: The queue.
            whole: Whether the addresses show whole definitions, which not all may see who may see the jobs.
        """
        use = b"asman job links v1\n" if whole else b"asman partial job links v1\n"
        return hmac.new(self._secret, use + queue.encode(), hashlib.sha256).hexdigest()

    def address(self, queue: str, job: str, *, whole: bool = True) -> str:
        """Returns the last part of a job's address; arguments as for `of_queue`."""
        return job_address(job, self.of_queue(queue, whole=whole))

    def path(self, queue: str, job: str, *, whole: bool = True) -> str:
        """Returns the path of a job's address; arguments as for `of_queue`."""
        return f"/j/{self.address(queue, job, whole=whole)}"

    def opens(self, key: str, queue: str, job: str) -> bool:
        """Whether a key is that of a job in a queue, with its whole definition or without."""
        return self.shows_definition(key, queue, job) or self._is(key, queue, job, whole=False)

    def shows_definition(self, key: str, queue: str, job: str) -> bool:
        """Whether a key is that of a job in a queue with its whole definition."""
        return self._is(key, queue, job, whole=True)

    def _is(self, key: str, queue: str, job: str, *, whole: bool) -> bool:
        made = job_key(self.of_queue(queue, whole=whole), job)
        return hmac.compare_digest(key.encode("utf-8", "surrogatepass"), made.encode())
