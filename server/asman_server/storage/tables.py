"""The tables of the durable state. The migrations end in exactly this schema."""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, Index, Integer, LargeBinary, MetaData, String, Table, literal_column

metadata = MetaData()

jobs = Table(
    "jobs",
    metadata,
    Column("queue", String(128), primary_key=True),
    Column("id", String(64), primary_key=True),
    Column("number", BigInteger, nullable=False),
    Column("state", String(16), nullable=False),
    Column("finished", BigInteger, nullable=False),
    Column("record", LargeBinary, nullable=False),
    Column("due", BigInteger, nullable=False, server_default="0"),
    Index("jobs_by_number", "queue", "number"),
    Index("jobs_by_state", "state", "queue", "number"),
    Index("jobs_by_id", "id"),
)
"""One row for each job of a queue. ``record`` is a `core.Job` in msgpack; the other columns serve searches."""
Index(
    "jobs_by_due",
    jobs.c.due,
    sqlite_where=jobs.c.due > literal_column("0"),
    postgresql_where=jobs.c.due > literal_column("0"),
)

queues = Table(
    "queues",
    metadata,
    Column("queue", String(128), primary_key=True),
    Column("retention", BigInteger, nullable=False),
    Column("touched", BigInteger, nullable=False),
    Column("paused", BigInteger, nullable=False, server_default="0"),
)
"""Configured queues: how long each keeps finished jobs, in milliseconds, the time of the configuration, and the time
since which the queue is paused (0 when it is not), in epoch milliseconds."""

facts = Table(
    "facts",
    metadata,
    Column("name", String(64), primary_key=True),
    Column("value", String(256), nullable=False),
)
"""Facts about the hub itself, such as the retention that the due times of jobs were computed with."""

definitions = Table(
    "definitions",
    metadata,
    Column("id", String(64), primary_key=True),
    Column("body", LargeBinary, nullable=False),
)
"""Job definitions in msgpack, by their id; shared by all queues."""

aliases = Table(
    "aliases",
    metadata,
    Column("alias", String(64), primary_key=True),
    Column("id", String(64), nullable=False),
)
"""Ids that older clients use for a definition, with the definition's own id. An alias never changes its meaning."""

signatures = Table(
    "signatures",
    metadata,
    Column("queue", String(128), primary_key=True),
    Column("id", String(64), primary_key=True),
    Column("body", LargeBinary, nullable=False),
)
"""`asman_shared.identity.Signatures` in msgpack: what the newest submission of a job signed its addresses with."""

door_notes = Table(
    "door_notes",
    metadata,
    Column("queue", String(128), primary_key=True),
    Column("id", String(64), primary_key=True),
    Column("body", LargeBinary, nullable=False),
)
"""The notes of doors of the hub about jobs, besides their definitions: each in a form of its own, the newest alone."""

as_sent = Table(
    "as_sent",
    metadata,
    Column("queue", String(128), primary_key=True),
    Column("id", String(64), primary_key=True),
    Column("body", LargeBinary, nullable=False),
)
"""Parts of the newest submission of a job that no run depends on, and other ids that were used for it in its queue, in
msgpack: for each job that has any."""

results = Table(
    "results",
    metadata,
    Column("queue", String(128), primary_key=True),
    Column("id", String(64), primary_key=True),
    Column("body", LargeBinary, nullable=False),
)
"""`asman_shared.messages.Result` in msgpack, for each job whose result was accepted."""

first_results = Table(
    "first_results",
    metadata,
    Column("queue", String(128), primary_key=True),
    Column("id", String(64), primary_key=True),
    Column("at", BigInteger, nullable=False),
)
"""Time at which the first result of each job was accepted, in epoch milliseconds. A new run of the job keeps it."""

log_chunks = Table(
    "log_chunks",
    metadata,
    Column("queue", String(128), primary_key=True),
    Column("job", String(64), primary_key=True),
    Column("first", BigInteger, primary_key=True),
    Column("last", BigInteger, nullable=False),
    Column("size", Integer, nullable=False),
    Column("body", LargeBinary, nullable=False),
)
"""Runs of log lines ``first`` to ``last``: a msgpack array of `asman_shared.messages.LogLine`."""

webhooks = Table(
    "webhooks",
    metadata,
    Column("id", String(32), primary_key=True),
    Column("queue", String(128), nullable=False),
    Column("event", String(16), nullable=False),
    Column("host", String(300), nullable=False),
    Column("url", String(2048), nullable=False),
    Column("body", LargeBinary, nullable=False),
    Column("created", BigInteger, nullable=False),
    Column("tries", Integer, nullable=False),
    Column("due", BigInteger, nullable=False),
    Index("webhooks_by_due", "due", "host"),
)
"""The outbox of webhooks. A row is written in the transaction of its job and removed after delivery or giving up."""

blobs = Table(
    "blobs",
    metadata,
    Column("sha256", String(64), primary_key=True),
    Column("size", BigInteger, nullable=False),
    Column("place", String(256), nullable=False),
    Column("created", BigInteger, nullable=False),
    Column("used", BigInteger, nullable=False),
    Index("blobs_by_use", "used", "sha256"),
)
"""The blob catalogue. A blob is stored if and only if it has a row. The bytes are at ``place`` in the store."""

uploads = Table(
    "uploads",
    metadata,
    Column("queue", String(128), primary_key=True),
    Column("sha256", String(64), primary_key=True),
    Column("size", BigInteger, nullable=False),
    Column("place", String(256), nullable=False),
    Column("store_id", String(2048), nullable=False),
    Column("created", BigInteger, nullable=False),
    Column("touched", BigInteger, nullable=False),
    Index("uploads_by_blob", "sha256"),
    Index("uploads_by_touch", "touched"),
)
"""Uploads in progress. An upload is shared within one queue only."""

definition_blobs = Table(
    "definition_blobs",
    metadata,
    Column("definition", String(64), primary_key=True),
    Column("sha256", String(64), primary_key=True),
    Index("definition_blobs_by_blob", "sha256"),
)
"""The blobs that a definition names; written and removed with it."""

result_blobs = Table(
    "result_blobs",
    metadata,
    Column("queue", String(128), primary_key=True),
    Column("id", String(64), primary_key=True),
    Column("sha256", String(64), primary_key=True),
    Index("result_blobs_by_blob", "sha256"),
)
"""The blobs that a result names; written and removed with it."""

files = Table(
    "files",
    metadata,
    Column("name", String(255), primary_key=True),
    Column("sha256", String(64), nullable=False),
    Column("created", BigInteger, nullable=False),
    Column("used", BigInteger, nullable=False),
    Index("files_by_blob", "sha256"),
    Index("files_by_use", "used"),
)
"""Plain names (not a sha256) of blobs, given over HTTP. Each name is given once."""

queue_keys = Table(
    "queue_keys",
    metadata,
    Column("hash", String(64), primary_key=True),
    Column("queue", String(128), nullable=False),
    Column("kind", String(16), nullable=False),
    Column("used", BigInteger, nullable=False),
    Index("queue_keys_by_queue", "queue", "kind"),
    Index("queue_keys_by_use", "used", "queue"),
)
"""Keys to queues: the keyed hash of each, its `asman_shared.keys.derived.KeyKind`, and the last use of its queue that
was noted, in epoch milliseconds."""

daybook = Table(
    "daybook",
    metadata,
    Column("number", BigInteger().with_variant(Integer, "sqlite"), primary_key=True, autoincrement=False),
    Column("body", LargeBinary, nullable=False),
)
"""The write-ahead table of the write buffer, for SQLite only: commits that are durable but not yet in their tables.

``body`` is an entry of `sqlite.write_buffer`.
"""

shards = Table(
    "shards",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=False),
    Column("epoch", BigInteger, nullable=False),
    Column("owner", String(128), nullable=False),
)
"""The owner of each shard of all queues, for Postgres only. A takeover raises the epoch; a commit counts at its own."""
