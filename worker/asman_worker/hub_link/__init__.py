"""Keeps the connection to a hub: dials a queue, reconnects, and sends what is buffered.

Way in: `connection.HubConnection` (the socket) and `send_buffer.SendBuffer` (messages that wait for it).
May import: `asman_shared` only.
"""
