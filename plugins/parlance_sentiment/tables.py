"""The plugin's tables: documents, the keys that they count for, hourly counters, rules and alerts."""

from __future__ import annotations

from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    Column,
    Float,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    Text,
)

from parlance.storage.tables import NAMING
from parlance.storage.types import UtcDateTime

__all__ = ["alerts", "buckets", "document_keys", "documents", "metadata", "rules"]

metadata = MetaData(naming_convention=NAMING)

documents = Table(
    "sentiment_documents",
    metadata,
    Column("id", String(200), primary_key=True),
    Column("fingerprint", String(64), nullable=False),
    Column("text", Text, nullable=False),
    Column("title", Text, nullable=False),
    Column("published_at", UtcDateTime, nullable=False),
    Column("received_at", UtcDateTime, nullable=False),
    Column("updated_at", UtcDateTime, nullable=False),
    Column("source", String(200), nullable=False),
    Column("companies", JSON, nullable=False),
    Column("topics", JSON, nullable=False),
    Column("language", String(35), nullable=False),
    Column("label", String(20), nullable=False),
    Column("positive", Float(53), nullable=False),
    Column("neutral", Float(53), nullable=False),
    Column("negative", Float(53), nullable=False),
    Column("model", String(200), nullable=False),
    Column("truncated", Boolean, nullable=False),
    Column("revision", Integer, nullable=False),
    Index("ix_sentiment_documents_published_at_id", "published_at", "id"),
    Index("ix_sentiment_documents_source_published_at", "source", "published_at"),
)

document_keys = Table(
    "sentiment_document_keys",
    metadata,
    Column("key", String(300), primary_key=True),
    Column("document_id", String(200), ForeignKey("sentiment_documents.id", ondelete="CASCADE"), primary_key=True),
    Column("published_at", UtcDateTime, nullable=False),
    Column("source", String(200), nullable=False),
    Column("label", String(20), nullable=False),
    Column("score", Float(53), nullable=False),
    Index("ix_sentiment_document_keys_key_published_at", "key", "published_at"),
    Index("ix_sentiment_document_keys_document_id", "document_id"),
    Index("ix_sentiment_document_keys_published_at", "published_at"),
)
"""One row per document and key: windows of any length are counted from these, exactly."""

buckets = Table(
    "sentiment_buckets",
    metadata,
    Column("key", String(300), primary_key=True),
    Column("hour", UtcDateTime, primary_key=True),
    Column("model", String(200), primary_key=True),
    Column("positive", Integer, nullable=False),
    Column("neutral", Integer, nullable=False),
    Column("negative", Integer, nullable=False),
    Column("score_micro", BigInteger, nullable=False),
)
"""Counters per key, hour and model version; only ever changed by addition."""

rules = Table(
    "sentiment_rules",
    metadata,
    Column("name", String(80), primary_key=True),
    Column("spec", JSON, nullable=False),
    Column("created_at", UtcDateTime, nullable=False),
    Column("updated_at", UtcDateTime, nullable=False),
)

alerts = Table(
    "sentiment_alerts",
    metadata,
    Column("id", String(40), primary_key=True),
    Column("fingerprint", String(16), nullable=False),
    Column("open_fingerprint", String(16), unique=True),
    Column("rule", String(80), nullable=False),
    Column("rule_version", String(12), nullable=False),
    Column("kind", String(40), nullable=False),
    Column("key", String(300), nullable=False),
    Column("severity", String(20), nullable=False),
    Column("state", String(20), nullable=False),
    Column("starts_at", UtcDateTime, nullable=False),
    Column("ends_at", UtcDateTime),
    Column("raised_at", UtcDateTime, nullable=False),
    Column("resolved_at", UtcDateTime),
    Column("acknowledged_at", UtcDateTime),
    Column("acknowledged_by", String(200), nullable=False),
    Column("comment", Text, nullable=False),
    Column("evidence", JSON, nullable=False),
    Column("resolution", JSON),
    Index("ix_sentiment_alerts_rule_key_starts_at", "rule", "key", "starts_at"),
    Index("ix_sentiment_alerts_starts_at_id", "starts_at", "id"),
    Index("ix_sentiment_alerts_state", "state"),
)
"""``open_fingerprint`` equals ``fingerprint`` while the alert fires and is null afterwards: its uniqueness keeps two
processes from raising one alert twice, on both databases."""
