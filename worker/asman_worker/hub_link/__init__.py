"""Keeps the connection to a hub: dials a queue, reconnects, and sends what is buffered.

Way in: `connection.HubConnection` (the socket), `send_buffer.SendBuffer` (messages that wait for it) and
`target.QueueTarget` (which queue of which hub).
May import: `asman_shared` only.
"""
