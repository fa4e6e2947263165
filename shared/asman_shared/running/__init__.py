"""Keeps a long-lived program running: pauses between its tries, and the watch over its own tasks.

Way in: `backoff.Backoff` and `supervisor.Supervisor`.
May import: the package's own modules.
"""
