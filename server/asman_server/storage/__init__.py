"""Writes commits to the database and reads them back; SQLite and Postgres through the same code.

Way in: `group_commit.GroupCommitter` (collects changes and commits them together), `reader.Store` (all reads) and
`database` (opens and migrates). `sqlite/` holds what is done for SQLite alone.
May import: `delivery`, `meters` and all below, see the layers in `pyproject.toml`.
"""
