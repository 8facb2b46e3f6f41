"""Tables of the term base."""

from __future__ import annotations

from sqlalchemy import Column, Integer, MetaData, String, Table

from parlance.storage.tables import NAMING

__all__ = ["counts", "metadata", "terms"]

metadata = MetaData(naming_convention=NAMING)
terms = Table(
    "termbase_terms", metadata, Column("en", String(200), primary_key=True), Column("zh", String(200), nullable=False)
)
counts = Table("termbase_counts", metadata, Column("id", Integer, primary_key=True), Column("terms", Integer))
