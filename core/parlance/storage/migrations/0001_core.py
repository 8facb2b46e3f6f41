"""The core's first tables: events, webhooks and outbox, leases, API keys, idempotency."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from parlance.storage.types import BigId, UtcDateTime

revision = "0001"
down_revision = None


def upgrade() -> None:
    """Create the tables."""
    op.create_table(
        "core_events",
        sa.Column("id", BigId, primary_key=True, autoincrement=True),
        sa.Column("topic", sa.String(200), nullable=False),
        sa.Column("kind", sa.String(200), nullable=False),
        sa.Column("key", sa.String(500), nullable=False),
        sa.Column("body", sa.JSON, nullable=False),
        sa.Column("at", UtcDateTime, nullable=False),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_core_events_topic_id", "core_events", ["topic", "id"])
    op.create_table(
        "core_event_topics",
        sa.Column("topic", sa.String(200), primary_key=True),
        sa.Column("pruned_through", BigId, nullable=False),
    )
    op.create_table(
        "core_webhooks",
        sa.Column("name", sa.String(200), primary_key=True),
        sa.Column("url", sa.Text, nullable=False),
        sa.Column("kinds", sa.JSON, nullable=False),
        sa.Column("secret", sa.String(200), nullable=False),
        sa.Column("created_at", UtcDateTime, nullable=False),
        sa.Column("disabled_at", UtcDateTime),
        sa.Column("disabled_reason", sa.Text),
    )
    op.create_table(
        "core_outbox",
        sa.Column("id", sa.String(40), primary_key=True),
        sa.Column("kind", sa.String(200), nullable=False),
        sa.Column("payload", sa.Text, nullable=False),
        sa.Column("webhook", sa.String(200)),
        sa.Column("url", sa.Text),
        sa.Column("status", sa.String(20), nullable=False),
        sa.Column("attempts", sa.Integer, nullable=False),
        sa.Column("tries_left", sa.Integer, nullable=False),
        sa.Column("due_at", UtcDateTime, nullable=False),
        sa.Column("claimed_by", sa.String(80)),
        sa.Column("claimed_until", UtcDateTime),
        sa.Column("created_at", UtcDateTime, nullable=False),
        sa.Column("settled_at", UtcDateTime),
        sa.Column("last_error", sa.Text),
    )
    op.create_index("ix_core_outbox_status_due_at", "core_outbox", ["status", "due_at"])
    op.create_index("ix_core_outbox_webhook", "core_outbox", ["webhook"])
    op.create_table(
        "core_outbox_attempts",
        sa.Column("id", BigId, primary_key=True, autoincrement=True),
        sa.Column("message_id", sa.String(40), sa.ForeignKey("core_outbox.id", ondelete="CASCADE"), nullable=False),
        sa.Column("number", sa.Integer, nullable=False),
        sa.Column("at", UtcDateTime, nullable=False),
        sa.Column("status", sa.Integer),
        sa.Column("duration_ms", sa.Integer, nullable=False),
        sa.Column("error", sa.Text),
        sa.Column("response_excerpt", sa.Text),
    )
    op.create_index("ix_core_outbox_attempts_message_id", "core_outbox_attempts", ["message_id"])
    op.create_table(
        "core_leases",
        sa.Column("name", sa.String(200), primary_key=True),
        sa.Column("holder", sa.String(80)),
        sa.Column("fence", BigId, nullable=False),
        sa.Column("expires_at", UtcDateTime, nullable=False),
    )
    op.create_table(
        "core_api_keys",
        sa.Column("id", sa.String(40), primary_key=True),
        sa.Column("name", sa.String(200), nullable=False),
        sa.Column("hash", sa.String(200), nullable=False),
        sa.Column("scopes", sa.JSON, nullable=False),
        sa.Column("created_at", UtcDateTime, nullable=False),
        sa.Column("expires_at", UtcDateTime),
        sa.Column("revoked_at", UtcDateTime),
        sa.Column("last_used_at", UtcDateTime),
    )
    op.create_table(
        "core_idempotency",
        sa.Column("scope", sa.String(200), primary_key=True),
        sa.Column("key", sa.String(255), primary_key=True),
        sa.Column("request_hash", sa.String(64), nullable=False),
        sa.Column("status", sa.Integer),
        sa.Column("media_type", sa.String(100)),
        sa.Column("body", sa.LargeBinary),
        sa.Column("created_at", UtcDateTime, nullable=False),
        sa.Column("claimed_until", UtcDateTime, nullable=False),
    )
    op.create_index("ix_core_idempotency_created_at", "core_idempotency", ["created_at"])
