"""The core's own tables (``core_…``), on the one metadata object that every part of the core shares."""

from __future__ import annotations

from sqlalchemy import JSON, Column, ForeignKey, Index, Integer, LargeBinary, MetaData, String, Table, Text

from parlance.storage.types import BigId, UtcDateTime

__all__ = [
    "NAMING",
    "api_keys",
    "event_topics",
    "events",
    "idempotency",
    "leases",
    "metadata",
    "outbox",
    "outbox_attempts",
    "webhooks",
]

NAMING = {
    "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    "uq": "uq_%(table_name)s_%(column_0_N_name)s",
    "ck": "ck_%(table_name)s_%(constraint_name)s",
    "fk": "fk_%(table_name)s_%(column_0_N_name)s",
    "pk": "pk_%(table_name)s",
}
"""Constraint names by rule, so that later migrations can name what they change; plugins should use it too."""

metadata = MetaData(naming_convention=NAMING)

events = Table(
    "core_events",
    metadata,
    Column("id", BigId, primary_key=True, autoincrement=True),
    Column("topic", String(200), nullable=False),
    Column("kind", String(200), nullable=False),
    Column("key", String(500), nullable=False, default=""),
    Column("body", JSON, nullable=False),
    Column("at", UtcDateTime, nullable=False),
    Index("ix_core_events_topic_id", "topic", "id"),
    sqlite_autoincrement=True,
)

event_topics = Table(
    "core_event_topics",
    metadata,
    Column("topic", String(200), primary_key=True),
    Column("pruned_through", BigId, nullable=False, autoincrement=False),
)

webhooks = Table(
    "core_webhooks",
    metadata,
    Column("name", String(200), primary_key=True),
    Column("url", Text, nullable=False),
    Column("kinds", JSON, nullable=False),
    Column("secret", String(200), nullable=False),
    Column("created_at", UtcDateTime, nullable=False),
    Column("disabled_at", UtcDateTime),
    Column("disabled_reason", Text),
)

outbox = Table(
    "core_outbox",
    metadata,
    Column("id", String(40), primary_key=True),
    Column("kind", String(200), nullable=False),
    Column("payload", Text, nullable=False),
    Column("webhook", String(200)),
    Column("url", Text),
    Column("status", String(20), nullable=False),
    Column("attempts", Integer, nullable=False, default=0),
    Column("tries_left", Integer, nullable=False),
    Column("due_at", UtcDateTime, nullable=False),
    Column("claimed_by", String(80)),
    Column("claimed_until", UtcDateTime),
    Column("created_at", UtcDateTime, nullable=False),
    Column("settled_at", UtcDateTime),
    Column("last_error", Text),
    Index("ix_core_outbox_status_due_at", "status", "due_at"),
    Index("ix_core_outbox_webhook", "webhook"),
)

outbox_attempts = Table(
    "core_outbox_attempts",
    metadata,
    Column("id", BigId, primary_key=True, autoincrement=True),
    Column("message_id", String(40), ForeignKey("core_outbox.id", ondelete="CASCADE"), nullable=False, index=True),
    Column("number", Integer, nullable=False),
    Column("at", UtcDateTime, nullable=False),
    Column("status", Integer),
    Column("duration_ms", Integer, nullable=False),
    Column("error", Text),
    Column("response_excerpt", Text),
)

leases = Table(
    "core_leases",
    metadata,
    Column("name", String(200), primary_key=True),
    Column("holder", String(80)),
    Column("fence", BigId, nullable=False, autoincrement=False),
    Column("expires_at", UtcDateTime, nullable=False),
)

api_keys = Table(
    "core_api_keys",
    metadata,
    Column("id", String(40), primary_key=True),
    Column("name", String(200), nullable=False),
    Column("hash", String(200), nullable=False),
    Column("scopes", JSON, nullable=False),
    Column("created_at", UtcDateTime, nullable=False),
    Column("expires_at", UtcDateTime),
    Column("revoked_at", UtcDateTime),
    Column("last_used_at", UtcDateTime),
)

idempotency = Table(
    "core_idempotency",
    metadata,
    Column("scope", String(200), primary_key=True),
    Column("key", String(255), primary_key=True),
    Column("request_hash", String(64), nullable=False),
    Column("status", Integer),
    Column("media_type", String(100)),
    Column("body", LargeBinary),
    Column("created_at", UtcDateTime, nullable=False, index=True),
    Column("claimed_until", UtcDateTime, nullable=False),
)
