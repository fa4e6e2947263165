"""The tables of the durable state; `migrations` ends in exactly these."""

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
"""One row per job and queue; ``record`` is a `core.Job` in msgpack, the columns are what is searched by."""
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
)
"""The queues that were configured: how long they keep finished jobs (ms), and when that was said."""

facts = Table(
    "facts",
    metadata,
    Column("name", String(64), primary_key=True),
    Column("value", String(256), nullable=False),
)
"""What the hub must remember of itself, such as the retention by which jobs were given their time."""

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
"""Ids by which older clients know a definition, and the definition's own id; an alias never changes its meaning."""

results = Table(
    "results",
    metadata,
    Column("queue", String(128), primary_key=True),
    Column("id", String(64), primary_key=True),
    Column("body", LargeBinary, nullable=False),
)
"""`asman_shared.messages.Result` in msgpack, for each job whose result was accepted."""

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
"""The outbox of webhooks: written with the jobs that they tell of, removed when they were delivered or given up."""

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
"""The catalogue: a blob is stored if, and only if, it has a row. The bytes are at ``place`` in the store."""

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
"""Uploads in progress, each shared by the people of one queue alone."""

definition_blobs = Table(
    "definition_blobs",
    metadata,
    Column("definition", String(64), primary_key=True),
    Column("sha256", String(64), primary_key=True),
    Index("definition_blobs_by_blob", "sha256"),
)
"""Which blobs a definition names; written and removed with it."""

result_blobs = Table(
    "result_blobs",
    metadata,
    Column("queue", String(128), primary_key=True),
    Column("id", String(64), primary_key=True),
    Column("sha256", String(64), primary_key=True),
    Index("result_blobs_by_blob", "sha256"),
)
"""Which blobs a result names; written and removed with it."""

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
"""Names that are no sha256, given to blobs over plain HTTP; each is given once."""

daybook = Table(
    "daybook",
    metadata,
    Column("number", BigInteger().with_variant(Integer, "sqlite"), primary_key=True, autoincrement=False),
    Column("body", LargeBinary, nullable=False),
)
"""Commits that are durable but not yet in their tables (`sqlite.write_buffer.Entry` in msgpack); only with SQLite."""
