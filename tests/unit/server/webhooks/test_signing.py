"""Signatures of webhooks: a key for each queue, and a value that any receiver can check."""

from __future__ import annotations

import hashlib
import hmac

from asman_server.webhooks.signing import signature, webhook_key


def test_each_queue_has_its_own_key_and_each_hub_its_own_keys() -> None:
    keys = {webhook_key(secret, queue) for secret in (b"one", b"two") for queue in ("a", "b")}
    assert len(keys) == 4
    assert all(len(key) == 64 for key in keys)
    assert webhook_key(b"one", "a") == webhook_key(b"one", "a")


def test_a_receiver_can_check_the_signature_with_plain_hmac() -> None:
    body = b'{"jobId":"x"}'
    header = signature("00ff", 1_700_000_000, body)
    fields = dict(part.split("=", 1) for part in header.split(","))
    expected = hmac.new(b"00ff", fields["t"].encode() + b"." + body, hashlib.sha256).hexdigest()
    assert fields == {"t": "1700000000", "v1": expected}
