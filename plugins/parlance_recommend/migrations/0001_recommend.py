"""The first tables: items, vectors, users, events and the change counter."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from parlance.storage.types import UtcDateTime

revision = "0001"
down_revision = None


def upgrade() -> None:
    """Create the tables."""
    op.create_table(
        "recommend_items",
        sa.Column("id", sa.String(300), primary_key=True),
        sa.Column("title", sa.Text, nullable=False),
        sa.Column("description", sa.Text, nullable=False),
        sa.Column("categories", sa.JSON, nullable=False),
        sa.Column("fields", sa.JSON, nullable=False),
        sa.Column("field_times", sa.JSON, nullable=False),
        sa.Column("hidden", sa.Boolean, nullable=False),
        sa.Column("text_hash", sa.String(64), nullable=False),
        sa.Column("updated_at", UtcDateTime, nullable=False),
        sa.Column("revision", sa.BigInteger, nullable=False),
    )
    op.create_index("ix_recommend_items_revision", "recommend_items", ["revision"])
    op.create_index("ix_recommend_items_text_hash", "recommend_items", ["text_hash"])
    op.create_table(
        "recommend_vectors",
        sa.Column("version", sa.String(300), primary_key=True),
        sa.Column("text_hash", sa.String(64), primary_key=True),
        sa.Column("width", sa.Integer, nullable=False),
        sa.Column("vector", sa.LargeBinary, nullable=False),
    )
    op.create_table(
        "recommend_users",
        sa.Column("id", sa.String(300), primary_key=True),
        sa.Column("fields", sa.JSON, nullable=False),
        sa.Column("field_times", sa.JSON, nullable=False),
        sa.Column("updated_at", UtcDateTime, nullable=False),
    )
    op.create_table(
        "recommend_events",
        sa.Column("id", sa.String(300), primary_key=True),
        sa.Column("kind", sa.String(20), nullable=False),
        sa.Column("at_ms", sa.BigInteger, nullable=False),
        sa.Column("user_id", sa.String(300)),
        sa.Column("session_id", sa.String(300)),
        sa.Column("item_id", sa.String(300)),
        sa.Column("ranking_id", sa.String(300)),
        sa.Column("type", sa.String(100), nullable=False),
        sa.Column("value", sa.Float(53)),
        sa.Column("body", sa.JSON, nullable=False),
        sa.Column("revision", sa.BigInteger, nullable=False),
    )
    op.create_index("ix_recommend_events_user_id_at_ms", "recommend_events", ["user_id", "at_ms"])
    op.create_index("ix_recommend_events_session_id_at_ms", "recommend_events", ["session_id", "at_ms"])
    op.create_index("ix_recommend_events_revision", "recommend_events", ["revision"])
    state = op.create_table(
        "recommend_state",
        sa.Column("name", sa.String(50), primary_key=True),
        sa.Column("number", sa.BigInteger, nullable=False),
        sa.Column("text", sa.String(300), nullable=False),
    )
    op.bulk_insert(
        state,
        [
            {"name": "revision", "number": 0, "text": ""},
            {"name": "erasures", "number": 0, "text": ""},
            {"name": "version", "number": 0, "text": ""},
        ],
    )
