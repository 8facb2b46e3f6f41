"""The plugin's tables: items, their vectors, users, the event log, and a counter that orders all changes."""

from __future__ import annotations

from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    Column,
    Float,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    Text,
)

from parlance.storage.tables import NAMING
from parlance.storage.types import UtcDateTime

__all__ = ["events", "items", "metadata", "state", "users", "vectors"]

metadata = MetaData(naming_convention=NAMING)

items = Table(
    "recommend_items",
    metadata,
    Column("id", String(300), primary_key=True),
    Column("title", Text, nullable=False),
    Column("description", Text, nullable=False),
    Column("categories", JSON, nullable=False),
    Column("fields", JSON, nullable=False),
    Column("field_times", JSON, nullable=False),
    Column("hidden", Boolean, nullable=False),
    Column("text_hash", String(64), nullable=False),
    Column("updated_at", UtcDateTime, nullable=False),
    Column("revision", BigInteger, nullable=False),
    Index("ix_recommend_items_revision", "revision"),
    Index("ix_recommend_items_text_hash", "text_hash"),
)
"""``fields`` holds every field as it came, ``field_times`` when each was set (epoch milliseconds)."""

vectors = Table(
    "recommend_vectors",
    metadata,
    Column("version", String(300), primary_key=True),
    Column("text_hash", String(64), primary_key=True),
    Column("width", Integer, nullable=False),
    Column("vector", LargeBinary, nullable=False),
)
"""Float32 little-endian vectors by (model version, text hash): an unchanged text is never encoded twice."""

users = Table(
    "recommend_users",
    metadata,
    Column("id", String(300), primary_key=True),
    Column("fields", JSON, nullable=False),
    Column("field_times", JSON, nullable=False),
    Column("updated_at", UtcDateTime, nullable=False),
)

events = Table(
    "recommend_events",
    metadata,
    Column("id", String(300), primary_key=True),
    Column("kind", String(20), nullable=False),
    Column("at_ms", BigInteger, nullable=False),
    Column("user_id", String(300)),
    Column("session_id", String(300)),
    Column("item_id", String(300)),
    Column("ranking_id", String(300)),
    Column("type", String(100), nullable=False),
    Column("value", Float(53)),
    Column("body", JSON, nullable=False),
    Column("revision", BigInteger, nullable=False),
    Index("ix_recommend_events_user_id_at_ms", "user_id", "at_ms"),
    Index("ix_recommend_events_session_id_at_ms", "session_id", "at_ms"),
    Index("ix_recommend_events_revision", "revision"),
)
"""Everything that was received, once: ``kind`` is item, user, ranking or interaction; ``body`` the rest."""

state = Table(
    "recommend_state",
    metadata,
    Column("name", String(50), primary_key=True),
    Column("number", BigInteger, nullable=False),
    Column("text", String(300), nullable=False),
)
"""``revision``: grows with every change, in commit order; ``erasures``: how many users were erased;
``version``: the model version whose vectors are in use."""
