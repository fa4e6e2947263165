"""Messages about a queue as a whole, most of which take the queue's own name; see `asman_shared.messages`."""
