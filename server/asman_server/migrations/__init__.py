"""Alembic migrations of the hub's database, run at every start.

Way in: `storage.database.migrate`, which runs them.
May import: `storage` and all below, see the layers in `pyproject.toml`.
"""
