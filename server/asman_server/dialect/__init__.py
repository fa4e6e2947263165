"""The JSON dialect: the language of clients and workers that existed before Asman.

A thin translation at the edge. Messages on a websocket without a subprotocol, and requests at the older REST addresses,
become the events that native sessions make. The queue's answers and changes become messages of the dialect. No other
room but `app` and `main` knows that this room exists.

- `ids`: definitions as clients send them, and both generations of their ids
- `outgoing`, `incoming`: the messages that the hub sends and reads
- `as_sent`: parts of submissions that only lists show
- `queue_view`, `queue_views`: the jobs and workers of a queue, encoded once for all of its sockets
- `send_buffer`, `session`, `client_session`, `worker_session`: the sockets
- `unproved`: claims of workers about whose runs nothing is proved yet
- `outcomes`, `live_logs`, `log_slices`, `result_logs`, `results`: results and logs, translated both ways
- `own_files`: the hub's files, by the addresses and keys that refs name
- `operations`, `rest*`: the addresses
- `local`: access to the queue `local` of a user's own machine

`docs/dialect.md` describes the messages and addresses.
May import: `rest`, `sessions`, `upkeep` and all below, see the layers in `pyproject.toml`.
"""
