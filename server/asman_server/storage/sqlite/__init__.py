"""Keeps commits to SQLite short: each is one row of a write-ahead table, which is flushed to its tables in batches.

Way in: `buffered_writer.open_buffered`.
May import: `storage`, and what `storage` may import.
"""
