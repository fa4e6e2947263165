"""The blob catalogue, uploads in progress, and the blobs that definitions and results name."""

from typing import Any

import msgspec
import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

ROWS_AT_ONCE = 500


def upgrade() -> None:
    op.create_table(
        "blobs",
        sa.Column("sha256", sa.String(64), primary_key=True),
        sa.Column("size", sa.BigInteger, nullable=False),
        sa.Column("place", sa.String(256), nullable=False),
        sa.Column("created", sa.BigInteger, nullable=False),
        sa.Column("used", sa.BigInteger, nullable=False),
    )
    op.create_index("blobs_by_use", "blobs", ["used", "sha256"])
    op.create_table(
        "uploads",
        sa.Column("queue", sa.String(128), primary_key=True),
        sa.Column("sha256", sa.String(64), primary_key=True),
        sa.Column("size", sa.BigInteger, nullable=False),
        sa.Column("place", sa.String(256), nullable=False),
        sa.Column("store_id", sa.String(2048), nullable=False),
        sa.Column("created", sa.BigInteger, nullable=False),
        sa.Column("touched", sa.BigInteger, nullable=False),
    )
    op.create_index("uploads_by_blob", "uploads", ["sha256"])
    op.create_index("uploads_by_touch", "uploads", ["touched"])
    definition_blobs = op.create_table(
        "definition_blobs",
        sa.Column("definition", sa.String(64), primary_key=True),
        sa.Column("sha256", sa.String(64), primary_key=True),
    )
    op.create_index("definition_blobs_by_blob", "definition_blobs", ["sha256"])
    result_blobs = op.create_table(
        "result_blobs",
        sa.Column("queue", sa.String(128), primary_key=True),
        sa.Column("id", sa.String(64), primary_key=True),
        sa.Column("sha256", sa.String(64), primary_key=True),
    )
    op.create_index("result_blobs_by_blob", "result_blobs", ["sha256"])
    op.create_table(
        "files",
        sa.Column("name", sa.String(255), primary_key=True),
        sa.Column("sha256", sa.String(64), nullable=False),
        sa.Column("created", sa.BigInteger, nullable=False),
        sa.Column("used", sa.BigInteger, nullable=False),
    )
    op.create_index("files_by_blob", "files", ["sha256"])
    op.create_index("files_by_use", "files", ["used"])
    connection = op.get_bind()
    _fill(connection, definition_blobs, "definitions", ("id",), ("definition",), _of_definition)
    _fill(connection, result_blobs, "results", ("queue", "id"), ("queue", "id"), _of_result)


def _fill(connection: sa.Connection, into: Any, source: str, keys: Any, columns: Any, named: Any) -> None:
    """Notes the blobs that existing rows name, in pages."""
    table = sa.table(source, *(sa.column(key) for key in keys), sa.column("body"))
    order = [table.c[key] for key in keys]
    query = sa.select(table).order_by(*order).limit(ROWS_AT_ONCE)
    after: Any = None
    while True:
        rows = connection.execute(query if after is None else query.where(sa.tuple_(*order) > after)).all()
        if not rows:
            return
        after = sa.tuple_(*(sa.literal(value) for value in rows[-1][:-1]))
        made = [
            {**dict(zip(columns, row[:-1], strict=True)), "sha256": sha256} for row in rows for sha256 in named(row[-1])
        ]
        if made:
            connection.execute(into.insert(), made)


def _decoded(body: bytes) -> dict[str, Any]:
    try:
        found = msgspec.msgpack.decode(body)
    except msgspec.MsgspecError:
        return {}
    return found if isinstance(found, dict) else {}


def _keys(refs: list[Any]) -> list[str]:
    values = [ref.get("value") for ref in refs if isinstance(ref, dict) and ref.get("type") == "key"]
    return list(dict.fromkeys(v for v in values if isinstance(v, str) and len(v) == 64))


def _of_definition(body: bytes) -> list[str]:
    found = _decoded(body)
    return _keys([*(found.get("inputs") or {}).values(), *(found.get("configFiles") or {}).values()])


def _of_result(body: bytes) -> list[str]:
    outputs = _decoded(body).get("outputs") or {}
    return _keys([file.get("ref") for file in outputs.values() if isinstance(file, dict)])


def downgrade() -> None:
    for name in ("files", "result_blobs", "definition_blobs", "uploads", "blobs"):
        op.drop_table(name)
