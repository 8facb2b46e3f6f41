"""Entries of the knowledge base, conversations, messages."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from parlance.storage.types import BigId, UtcDateTime

revision = "0001"
down_revision = None


def upgrade() -> None:
    """Create the tables."""
    op.create_table(
        "support_entries",
        sa.Column("id", sa.String(64), primary_key=True),
        sa.Column("question", sa.Text, nullable=False),
        sa.Column("variants", sa.JSON, nullable=False),
        sa.Column("answer", sa.Text, nullable=False),
        sa.Column("language", sa.String(8), nullable=False),
        sa.Column("source", sa.Text, nullable=False),
        sa.Column("created_at", UtcDateTime, nullable=False),
        sa.Column("updated_at", UtcDateTime, nullable=False),
    )
    op.create_table(
        "support_conversations",
        sa.Column("id", sa.String(200), primary_key=True),
        sa.Column("channel", sa.String(50), nullable=False),
        sa.Column("language", sa.String(8), nullable=False),
        sa.Column("turns", sa.Integer, nullable=False),
        sa.Column("created_at", UtcDateTime, nullable=False),
        sa.Column("updated_at", UtcDateTime, nullable=False),
    )
    op.create_index("ix_support_conversations_updated_at_id", "support_conversations", ["updated_at", "id"])
    op.create_table(
        "support_messages",
        sa.Column("number", BigId, primary_key=True, autoincrement=True),
        sa.Column("id", sa.String(40), nullable=False, unique=True),
        sa.Column(
            "conversation_id",
            sa.String(200),
            sa.ForeignKey("support_conversations.id", ondelete="CASCADE"),
            nullable=False,
        ),
        sa.Column("role", sa.String(10), nullable=False),
        sa.Column("client_id", sa.String(200)),
        sa.Column("text", sa.Text, nullable=False),
        sa.Column("decision", sa.JSON),
        sa.Column("at", UtcDateTime, nullable=False),
        sa.UniqueConstraint("conversation_id", "role", "client_id"),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_support_messages_conversation_id_number", "support_messages", ["conversation_id", "number"])
