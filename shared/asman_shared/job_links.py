"""Addresses of jobs that show their results to whoever has the address, without the queue's name.

``{hub}/j/{id}~{key}`` names a job of one queue. The key is made from a secret that the hub tells to all who have the
queue's name; so everybody with the queue can make such an address, and nobody can make one from a job's id alone.
"""

from __future__ import annotations

import hashlib
import hmac
from typing import Final

KEY_LENGTH: Final = 32
"""Length of a key, in hex digits: 128 bits."""


def job_key(links: str, job: str) -> str:
    """Returns the key in the address of a job.

    Args:
        links: The queue's secret for such keys, as in `asman_shared.messages.Welcome.links`.
        job: The job's id.
    """
    return hmac.new(links.encode(), job.encode(), hashlib.sha256).hexdigest()[:KEY_LENGTH]


def job_address(job: str, links: str) -> str:
    """Returns the last part of a job's address: ``{id}~{key}``, or the id alone if the hub told no secret."""
    return f"{job}~{job_key(links, job)}" if links else job
