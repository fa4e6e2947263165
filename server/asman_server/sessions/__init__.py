"""Speaks the native protocol over websockets with clients and with workers.

Way in: `client.ClientSession`, `worker.WorkerSession` (both on `session.SocketSession`), and `routing` (the session for
each websocket path). `base.SocketLifecycle` runs a connection from start to end, for the dialect's sessions too.
May import: `hub` and all below, see the layers in `pyproject.toml`.
"""
