"""The first tables: documents and their keys, hourly counters, rules, alerts."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from parlance.storage.types import UtcDateTime

revision = "0001"
down_revision = None


def upgrade() -> None:
    """Create the tables."""
    op.create_table(
        "sentiment_documents",
        sa.Column("id", sa.String(200), primary_key=True),
        sa.Column("fingerprint", sa.String(64), nullable=False),
        sa.Column("text", sa.Text, nullable=False),
        sa.Column("title", sa.Text, nullable=False),
        sa.Column("published_at", UtcDateTime, nullable=False),
        sa.Column("received_at", UtcDateTime, nullable=False),
        sa.Column("updated_at", UtcDateTime, nullable=False),
        sa.Column("source", sa.String(200), nullable=False),
        sa.Column("companies", sa.JSON, nullable=False),
        sa.Column("topics", sa.JSON, nullable=False),
        sa.Column("language", sa.String(35), nullable=False),
        sa.Column("label", sa.String(20), nullable=False),
        sa.Column("positive", sa.Float(53), nullable=False),
        sa.Column("neutral", sa.Float(53), nullable=False),
        sa.Column("negative", sa.Float(53), nullable=False),
        sa.Column("model", sa.String(200), nullable=False),
        sa.Column("truncated", sa.Boolean, nullable=False),
        sa.Column("revision", sa.Integer, nullable=False),
    )
    op.create_index("ix_sentiment_documents_published_at_id", "sentiment_documents", ["published_at", "id"])
    op.create_index("ix_sentiment_documents_source_published_at", "sentiment_documents", ["source", "published_at"])
    op.create_table(
        "sentiment_document_keys",
        sa.Column("key", sa.String(300), primary_key=True),
        sa.Column(
            "document_id",
            sa.String(200),
            sa.ForeignKey("sentiment_documents.id", ondelete="CASCADE"),
            primary_key=True,
        ),
        sa.Column("published_at", UtcDateTime, nullable=False),
        sa.Column("source", sa.String(200), nullable=False),
        sa.Column("label", sa.String(20), nullable=False),
        sa.Column("score", sa.Float(53), nullable=False),
    )
    op.create_index("ix_sentiment_document_keys_key_published_at", "sentiment_document_keys", ["key", "published_at"])
    op.create_index("ix_sentiment_document_keys_document_id", "sentiment_document_keys", ["document_id"])
    op.create_index("ix_sentiment_document_keys_published_at", "sentiment_document_keys", ["published_at"])
    op.create_table(
        "sentiment_buckets",
        sa.Column("key", sa.String(300), primary_key=True),
        sa.Column("hour", UtcDateTime, primary_key=True),
        sa.Column("model", sa.String(200), primary_key=True),
        sa.Column("positive", sa.Integer, nullable=False),
        sa.Column("neutral", sa.Integer, nullable=False),
        sa.Column("negative", sa.Integer, nullable=False),
        sa.Column("score_micro", sa.BigInteger, nullable=False),
    )
    op.create_table(
        "sentiment_rules",
        sa.Column("name", sa.String(80), primary_key=True),
        sa.Column("spec", sa.JSON, nullable=False),
        sa.Column("created_at", UtcDateTime, nullable=False),
        sa.Column("updated_at", UtcDateTime, nullable=False),
    )
    op.create_table(
        "sentiment_alerts",
        sa.Column("id", sa.String(40), primary_key=True),
        sa.Column("fingerprint", sa.String(16), nullable=False),
        sa.Column("open_fingerprint", sa.String(16), unique=True),
        sa.Column("rule", sa.String(80), nullable=False),
        sa.Column("rule_version", sa.String(12), nullable=False),
        sa.Column("kind", sa.String(40), nullable=False),
        sa.Column("key", sa.String(300), nullable=False),
        sa.Column("severity", sa.String(20), nullable=False),
        sa.Column("state", sa.String(20), nullable=False),
        sa.Column("starts_at", UtcDateTime, nullable=False),
        sa.Column("ends_at", UtcDateTime),
        sa.Column("raised_at", UtcDateTime, nullable=False),
        sa.Column("resolved_at", UtcDateTime),
        sa.Column("acknowledged_at", UtcDateTime),
        sa.Column("acknowledged_by", sa.String(200), nullable=False),
        sa.Column("comment", sa.Text, nullable=False),
        sa.Column("evidence", sa.JSON, nullable=False),
        sa.Column("resolution", sa.JSON),
    )
    op.create_index("ix_sentiment_alerts_rule_key_starts_at", "sentiment_alerts", ["rule", "key", "starts_at"])
    op.create_index("ix_sentiment_alerts_starts_at_id", "sentiment_alerts", ["starts_at", "id"])
    op.create_index("ix_sentiment_alerts_state", "sentiment_alerts", ["state"])
