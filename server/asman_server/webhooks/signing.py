"""Signs webhooks with an HMAC over time and body, with a key for each queue, so that receivers can verify them.

The key is derived from the hub's secret and the queue's name, so it is not stored. Anyone with the queue's name can
read it (``GET /q/{queue}/webhook-key``), because they could have the hub sign anything anyway by submitting a job with
a callback. The key reveals nothing about the keys of other queues.
"""

from __future__ import annotations

import hashlib
import hmac


def webhook_key(secret: bytes, queue: str) -> str:
    """The key of a queue in hex. The text itself is the key of the HMAC.

    Args:
        secret: The hub's secret.
        queue: The queue's name.
    """
    return hmac.new(secret, b"asman webhook key v1\n" + queue.encode(), hashlib.sha256).hexdigest()


def signature(key: str, timestamp: int, body: bytes) -> str:
    """The value of the header ``Asman-Signature``.

    Args:
        key: The queue's key.
        timestamp: Time of the request, in epoch seconds.
        body: The body of the request.
    """
    digest = hmac.new(key.encode(), b"%d." % timestamp + body, hashlib.sha256).hexdigest()
    return f"t={timestamp},v1={digest}"
