"""The first tables."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None


def upgrade() -> None:
    """Create the tables."""
    op.create_table(
        "termbase_terms",
        sa.Column("en", sa.String(200), primary_key=True),
        sa.Column("zh", sa.String(200), nullable=False),
    )
    op.create_table(
        "termbase_counts",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("terms", sa.Integer),
    )
