"""Tables of the search: collections with their revision, documents, and vectors by model version."""

from __future__ import annotations

from sqlalchemy import JSON, BigInteger, Column, ForeignKeyConstraint, Index, LargeBinary, String, Table, Text

from parlance.storage.tables import metadata

__all__ = ["collections", "documents", "vectors"]

collections = Table(
    "core_search_collections",
    metadata,
    Column("name", String(200), primary_key=True),
    Column("revision", BigInteger, nullable=False),
    Column("removals", BigInteger, nullable=False),
)
"""``revision`` rises with every writing transaction, ``removals`` with every one that deletes: by comparing the two
numbers a process knows whether its index in memory is behind."""

documents = Table(
    "core_search_documents",
    metadata,
    Column("collection", String(200), primary_key=True),
    Column("id", String(200), primary_key=True),
    Column("text", Text, nullable=False),
    Column("filters", JSON, nullable=False),
    Column("revision", BigInteger, nullable=False),
    Index("ix_core_search_documents_collection_revision", "collection", "revision"),
)

vectors = Table(
    "core_search_vectors",
    metadata,
    Column("collection", String(200), primary_key=True),
    Column("id", String(200), primary_key=True),
    Column("model", String(200), primary_key=True),
    Column("vector", LargeBinary, nullable=False),
    Column("revision", BigInteger, nullable=False),
    ForeignKeyConstraint(
        ["collection", "id"], ["core_search_documents.collection", "core_search_documents.id"], ondelete="CASCADE"
    ),
    Index("ix_core_search_vectors_collection_model_revision", "collection", "model", "revision"),
)
"""``model`` is ``name@version``; ``vector`` float32, little-endian, of unit length, whatever precision computed it."""
