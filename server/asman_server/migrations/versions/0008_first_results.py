"""The time of each job's first accepted result, so that a new run doesn't lose its place behind the job's bare id."""

import time

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "first_results",
        sa.Column("queue", sa.String(128), primary_key=True),
        sa.Column("id", sa.String(64), primary_key=True),
        sa.Column("at", sa.BigInteger, nullable=False),
    )
    # A result whose job runs again was accepted before now; nothing tells when.
    op.execute(
        sa.text(
            "INSERT INTO first_results (queue, id, at) "
            "SELECT jobs.queue, jobs.id, CASE WHEN jobs.finished > 0 THEN jobs.finished ELSE :now END FROM jobs "
            "JOIN results ON results.queue = jobs.queue AND results.id = jobs.id"
        ).bindparams(sa.bindparam("now", int(time.time() * 1000), sa.BigInteger))
    )


def downgrade() -> None:
    op.drop_table("first_results")
