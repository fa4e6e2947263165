"""Puts changes and answers onto websockets: one rendering for all, bounded send buffers, a write for each turn.

Way in: `fanout.Fanout` (a change for everyone who follows a queue), `send_buffer.SendBuffer` (what one connection still
has to be sent) and `transport` (the websocket protocol under uvicorn, with `FrameWriter`).
May import: `core`, `limiting` and all below, see the layers in `pyproject.toml`.
"""
