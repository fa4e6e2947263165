"""Speaks the native protocol over websockets with clients and with workers.

Way in: `client.ClientSession`, `worker.WorkerSession` (both on `session.SocketSession`), and `routing` (the session for
each websocket path). `base.SocketLifecycle` runs a connection from start to end, for the dialect's sessions too.
May import: `hub`, `config`, `services`, `logs`, `queues`, `blobs`, `webhooks`, `migrations`, `storage`, `delivery`,
`meters`, `core`, and the hub's root helpers; neither `rest` nor `dialect`.
"""
