"""Runs the queues: feeds events into the core, carries its effects out, and keeps what must survive a restart.

Way in: `registry.Registry` (the loaded queues) and `shell.QueueShell` (one queue: requests in, effects out).
May import: `keys`, `blobs`, `webhooks`, `migrations`, `sole_hub` and all below, see the layers in `pyproject.toml`.
"""
