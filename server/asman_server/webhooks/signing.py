"""Signs webhooks so that a receiver can verify their origin: an HMAC over time and body, keyed per queue.

The key is made from the hub's secret and the queue's name, so nothing is stored, and it is told to whoever has the
queue's name (``GET /q/{queue}/webhook-key``): they can have the hub sign anything anyway, by submitting a job with
a callback. It says nothing about the keys of other queues.
"""

from __future__ import annotations

import hashlib
import hmac


def webhook_key(secret: bytes, queue: str) -> str:
    """The key of a queue, in hex; that text is the key of the HMAC.

    Args:
        secret: The hub's.
        queue: The queue's name.
    """
    return hmac.new(secret, b"asman webhook key v1\n" + queue.encode(), hashlib.sha256).hexdigest()


def signature(key: str, timestamp: int, body: bytes) -> str:
    """The value of the header ``Asman-Signature``.

    Args:
        key: The queue's.
        timestamp: When it is sent, in epoch seconds.
        body: What is sent.
    """
    digest = hmac.new(key.encode(), b"%d." % timestamp + body, hashlib.sha256).hexdigest()
    return f"t={timestamp},v1={digest}"
