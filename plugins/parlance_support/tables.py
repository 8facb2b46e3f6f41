"""The plugin's tables."""

from __future__ import annotations

from sqlalchemy import JSON, Column, ForeignKey, Index, Integer, MetaData, String, Table, Text, UniqueConstraint

from parlance.storage.tables import NAMING
from parlance.storage.types import BigId, UtcDateTime

__all__ = ["conversations", "entries", "messages", "metadata"]

metadata = MetaData(naming_convention=NAMING)

entries = Table(
    "support_entries",
    metadata,
    Column("id", String(64), primary_key=True),
    Column("question", Text, nullable=False),
    Column("variants", JSON, nullable=False),
    Column("answer", Text, nullable=False),
    Column("language", String(8), nullable=False),
    Column("source", Text, nullable=False),
    Column("created_at", UtcDateTime, nullable=False),
    Column("updated_at", UtcDateTime, nullable=False),
)

conversations = Table(
    "support_conversations",
    metadata,
    Column("id", String(200), primary_key=True),
    Column("channel", String(50), nullable=False),
    Column("language", String(8), nullable=False),
    Column("turns", Integer, nullable=False),
    Column("created_at", UtcDateTime, nullable=False),
    Column("updated_at", UtcDateTime, nullable=False),
    Index("ix_support_conversations_updated_at_id", "updated_at", "id"),
)

messages = Table(
    "support_messages",
    metadata,
    Column("number", BigId, primary_key=True, autoincrement=True),
    Column("id", String(40), nullable=False, unique=True),
    Column(
        "conversation_id",
        String(200),
        ForeignKey("support_conversations.id", ondelete="CASCADE"),
        nullable=False,
    ),
    Column("role", String(10), nullable=False),
    Column("client_id", String(200)),
    Column("text", Text, nullable=False),
    Column("decision", JSON),
    Column("at", UtcDateTime, nullable=False),
    UniqueConstraint("conversation_id", "role", "client_id"),
    Index("ix_support_messages_conversation_id_number", "conversation_id", "number"),
    sqlite_autoincrement=True,
)
"""``client_id`` is the caller's id of a message; its reply carries the same, so that either is stored at most once.
``decision`` of a reply: confidence, answerable, citations, alternatives, language."""
