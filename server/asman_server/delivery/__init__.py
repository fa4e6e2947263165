"""Puts changes and answers onto websockets: one rendering for all followers, bounded send buffers, one write a turn.

Way in: `fanout.Fanout` (a change for everyone who follows a queue), `send_buffer.SendBuffer` (what one connection still
has to be sent) and `transport` (the websocket protocol under uvicorn, with `FrameWriter`).
May import: `core` and the hub's root helpers; not `meters`.
"""
