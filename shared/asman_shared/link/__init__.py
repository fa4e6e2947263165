"""Connects to a hub, for clients and workers.

Way in: `dial.open_socket` and `dial.explain`; `unreachable` has the sentences that need no websocket library.
May import: the package's own modules.
"""
