"""The systems that a user could pick instead, each measured by its own client and worker in processes of their own.

A peer has one small file here, which runs in a virtual environment of the peer's own (``scripts/peers.sh`` makes
them), so that nothing it needs touches what Asman needs. `catalogue` lists them with their settings, `running` starts
them, `servers` has the Redis, NATS and Postgres that they need, and `orders` is the part of a client that is the same
for all: it measures. It imports nothing but the standard library.
"""
