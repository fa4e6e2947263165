"""Due times of jobs, and the retention of queues."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("jobs", sa.Column("due", sa.BigInteger, nullable=False, server_default="0"))
    op.create_index(
        "jobs_by_due", "jobs", ["due"], sqlite_where=sa.text("due > 0"), postgresql_where=sa.text("due > 0")
    )
    op.create_table(
        "queues",
        sa.Column("queue", sa.String(128), primary_key=True),
        sa.Column("retention", sa.BigInteger, nullable=False),
        sa.Column("touched", sa.BigInteger, nullable=False),
    )
    op.create_table(
        "facts",
        sa.Column("name", sa.String(64), primary_key=True),
        sa.Column("value", sa.String(256), nullable=False),
    )


def downgrade() -> None:
    op.drop_table("facts")
    op.drop_table("queues")
    op.drop_index("jobs_by_due", "jobs")
    op.drop_column("jobs", "due")
