"""Keys to queues. The hub writes those of the queues that exist when it starts: their hashes need its secret."""

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "queue_keys",
        sa.Column("hash", sa.String(64), primary_key=True),
        sa.Column("queue", sa.String(128), nullable=False),
        sa.Column("kind", sa.String(16), nullable=False),
        sa.Column("used", sa.BigInteger, nullable=False),
    )
    op.create_index("queue_keys_by_queue", "queue_keys", ["queue", "kind"])
    op.create_index("queue_keys_by_use", "queue_keys", ["used", "queue"])
    # A hub of an earlier version has made queues without keys since a later one was here.
    op.execute(sa.text("DELETE FROM facts WHERE name = 'queue keys'"))


def downgrade() -> None:
    op.drop_table("queue_keys")
