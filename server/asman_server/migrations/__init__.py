"""Alembic migrations of the hub's database, run at every start.

Way in: `storage.database.migrate`, which runs them.
May import: `storage`, `delivery`, `meters`, `core`, and the hub's root helpers; neither `blobs` nor `webhooks`.
"""
