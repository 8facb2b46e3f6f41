"""Search: collections, documents, vectors."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    """Create the tables."""
    op.create_table(
        "core_search_collections",
        sa.Column("name", sa.String(200), primary_key=True),
        sa.Column("revision", sa.BigInteger, nullable=False),
        sa.Column("removals", sa.BigInteger, nullable=False),
    )
    op.create_table(
        "core_search_documents",
        sa.Column("collection", sa.String(200), primary_key=True),
        sa.Column("id", sa.String(200), primary_key=True),
        sa.Column("text", sa.Text, nullable=False),
        sa.Column("filters", sa.JSON, nullable=False),
        sa.Column("revision", sa.BigInteger, nullable=False),
    )
    op.create_index("ix_core_search_documents_collection_revision", "core_search_documents", ["collection", "revision"])
    op.create_table(
        "core_search_vectors",
        sa.Column("collection", sa.String(200), primary_key=True),
        sa.Column("id", sa.String(200), primary_key=True),
        sa.Column("model", sa.String(200), primary_key=True),
        sa.Column("vector", sa.LargeBinary, nullable=False),
        sa.Column("revision", sa.BigInteger, nullable=False),
        sa.ForeignKeyConstraint(
            ["collection", "id"],
            ["core_search_documents.collection", "core_search_documents.id"],
            name="fk_core_search_vectors_collection_id",
            ondelete="CASCADE",
        ),
    )
    op.create_index(
        "ix_core_search_vectors_collection_model_revision",
        "core_search_vectors",
        ["collection", "model", "revision"],
    )
