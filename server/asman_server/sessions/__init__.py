"""Speaks the native protocol over websockets with clients and with workers.

Way in: `client.ClientSession`, `worker.WorkerSession` (both on `session.SocketSession`), and `routing` (which websocket
path leads to which session). `base.SocketLifecycle` is the life of a connection, for the dialect's sessions too.
May import: `services`, `logs`, `queues`, `blobs`, `delivery`, `core`, and the hub's root helpers; neither `rest` nor
`dialect`.
"""
