"""Reads job logs: follows them live, reads stored chunks, selects lines, and summarises how a job went.

Way in: `follow.LogFollow` (live lines to a session), `reader.LogReader` (stored chunks, read in a thread) and
`summary.summarise_log`.
May import: `queues` and all below, see the layers in `pyproject.toml`.
"""
