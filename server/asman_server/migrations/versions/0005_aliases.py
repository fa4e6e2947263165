"""Aliases: ids that older clients use for definitions."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "aliases",
        sa.Column("alias", sa.String(64), primary_key=True),
        sa.Column("id", sa.String(64), nullable=False),
    )


def downgrade() -> None:
    op.drop_table("aliases")
