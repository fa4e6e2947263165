"""Speaks the native protocol over websockets with clients and with workers.

Way in: `client.ClientSession`, `worker.WorkerSession` (both on `session.Session`), and `routing` (which websocket path
leads to which session).
May import: `services`, `logs`, `queues`, `blobs`, `delivery`, `core`, and the hub's root helpers; neither `rest` nor
`dialect`.
"""
