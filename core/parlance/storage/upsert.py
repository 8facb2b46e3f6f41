"""INSERT … ON CONFLICT as one statement for both dialects: keep the row that is there, or replace named columns."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import Table
from sqlalchemy.dialects.postgresql import Insert, insert

__all__ = ["insert_or_ignore", "upsert"]

# SQLAlchemy's SQLite compiler renders PostgreSQL's ON CONFLICT clause (the grammar is the same, SQLite took it from
# there); tests/unit/storage/test_upsert.py runs both statements on both databases.


def insert_or_ignore(
    table: Table, rows: Sequence[Mapping[str, Any]] | None = None, *, key: Sequence[str] | None = None
) -> Insert:
    """A statement that inserts rows and leaves those whose key exists as they are.

    Args:
        table: where to.
        rows: up to about 1000 rows that all have the same columns (databases bound the number of parameters); ``None``
            to pass any number of rows at execution instead: ``await connection.execute(insert_or_ignore(t), rows)``.
        key: the columns of the unique constraint; ``None`` takes whichever is violated.
    """
    statement = insert(table)
    if rows is not None:
        statement = statement.values([dict(row) for row in rows])
    return statement.on_conflict_do_nothing(index_elements=list(key) if key else None)


def upsert(
    table: Table,
    rows: Sequence[Mapping[str, Any]] | None = None,
    *,
    key: Sequence[str],
    update: Sequence[str],
) -> Insert:
    """A statement that inserts rows, and where the key exists sets the columns of ``update`` to the new values.

    Args:
        table: where to.
        rows: as for :func:`insert_or_ignore`; PostgreSQL refuses two rows with the same key in one statement, so
            rows given here must differ in their keys (rows passed at execution need not).
        key: the columns of the unique constraint.
        update: the columns to replace, at least one.
    """
    statement = insert(table)
    if rows is not None:
        statement = statement.values([dict(row) for row in rows])
    return statement.on_conflict_do_update(
        index_elements=list(key), set_={column: statement.excluded[column] for column in update}
    )
