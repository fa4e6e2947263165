"""The JSON dialect: the language of clients and workers that were there before Asman.

A thin translation at the edge. What comes in on a websocket without a subprotocol, or at one of the older REST
addresses, becomes the same events that native sessions make; what the queue says becomes the dialect's shapes. The
queue core, the journal and the native sessions don't know that this room exists (an import contract holds that).

- `ids`: definitions as they are sent there, and both generations of their ids
- `outgoing`, `incoming`: what is said and what is heard
- `queue_view`, `queue_views`: what every socket of a queue is shown, made once for all of them
- `send_buffer`, `session`, `client_session`, `worker_session`: the sockets
- `outcomes`, `live_logs`, `log_slices`, `results`: results and logs, translated both ways
- `operations`, `rest*`: the addresses
- `local`: who may reach the queue `local` of somebody's own machine

`docs/dialect.md` says what is spoken.
"""
