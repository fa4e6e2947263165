"""Writes commits to Postgres in one round trip each, on one connection that no pool has.

Way in: `writer.PostgresWriter`.
May import: `storage`, and what `storage` may import.
"""
