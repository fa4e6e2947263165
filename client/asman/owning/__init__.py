"""The part of a queue's client that sets the queue up and cleans it: most of it takes the queue's own name."""
