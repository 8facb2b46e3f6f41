"""Items and their vectors in the database."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import and_, func, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from parlance.storage.upsert import insert_or_ignore, upsert
from parlance_recommend.catalogue.item import Item, text_of
from parlance_recommend.ranking.writing import writing_of
from parlance_recommend.tables import items, vectors

__all__ = [
    "IndexRow",
    "changed_since",
    "count_pending",
    "known_ids",
    "load_items",
    "pending",
    "save_items",
    "save_vectors",
]

_CHUNK = 500
_COLUMNS = (
    "title",
    "description",
    "categories",
    "fields",
    "field_times",
    "hidden",
    "text_hash",
    "updated_at",
    "revision",
)

IndexRow = tuple[str, str, str, int, NDArray[np.float32] | None, int]
"""Item id, title, text hash, vector (``None`` while not encoded), revision."""


async def load_items(connection: AsyncConnection, ids: Sequence[str]) -> dict[str, Item]:
    """Items by id; unknown ones are left out."""
    found: dict[str, Item] = {}
    for start in range(0, len(ids), _CHUNK):
        statement = select(items).where(items.c.id.in_(ids[start : start + _CHUNK]))
        for row in await connection.execute(statement):
            found[row.id] = Item(
                id=row.id,
                title=row.title,
                description=row.description,
                categories=tuple(row.categories),
                fields=row.fields,
                field_times=row.field_times,
                hidden=row.hidden,
            )
    return found


async def known_ids(connection: AsyncConnection, ids: Sequence[str]) -> set[str]:
    """Which of the ids are in the catalogue."""
    found: set[str] = set()
    for start in range(0, len(ids), _CHUNK):
        found.update(await connection.scalars(select(items.c.id).where(items.c.id.in_(ids[start : start + _CHUNK]))))
    return found


async def save_items(connection: AsyncConnection, changed: Sequence[Item], *, now: datetime, revision: int) -> None:
    """Insert or replace items."""
    rows: list[dict[str, Any]] = [
        {
            "id": item.id,
            "title": item.title,
            "description": item.description,
            "categories": list(item.categories),
            "fields": item.fields,
            "field_times": item.field_times,
            "hidden": item.hidden,
            "text_hash": item.hash,
            "updated_at": now,
            "revision": revision,
        }
        for item in changed
    ]
    if rows:
        await connection.execute(upsert(items, key=["id"], update=_COLUMNS), rows)


async def pending(connection: AsyncConnection, version: str, *, limit: int) -> list[tuple[str, str]]:
    """Texts without a vector of this model version: ``(text hash, text)``, distinct."""
    joined = items.outerjoin(vectors, and_(vectors.c.text_hash == items.c.text_hash, vectors.c.version == version))
    statement = (
        select(items.c.text_hash, items.c.title, items.c.description, items.c.categories)
        .select_from(joined)
        .where(vectors.c.text_hash.is_(None), items.c.text_hash != "")
        .limit(limit)
    )
    found: dict[str, str] = {}
    for row in await connection.execute(statement):
        item = Item(id="", title=row.title, description=row.description, categories=tuple(row.categories))
        found[row.text_hash] = item.text
    return list(found.items())


async def count_pending(connection: AsyncConnection, version: str) -> int:
    """How many items wait for a vector of this model version."""
    joined = items.outerjoin(vectors, and_(vectors.c.text_hash == items.c.text_hash, vectors.c.version == version))
    statement = select(func.count()).select_from(joined).where(vectors.c.text_hash.is_(None), items.c.text_hash != "")
    return int((await connection.execute(statement)).scalar_one())


async def save_vectors(
    connection: AsyncConnection,
    version: str,
    encoded: Sequence[tuple[str, NDArray[np.float32]]],
    *,
    revision: int,
) -> None:
    """Store vectors by text hash and mark their items as changed."""
    rows = [
        {"version": version, "text_hash": digest, "width": len(vector), "vector": vector.astype("<f4").tobytes()}
        for digest, vector in encoded
    ]
    if not rows:
        return
    await connection.execute(insert_or_ignore(vectors, key=["version", "text_hash"]), rows)
    digests = [digest for digest, _ in encoded]
    for start in range(0, len(digests), _CHUNK):
        chunk = digests[start : start + _CHUNK]
        await connection.execute(update(items).where(items.c.text_hash.in_(chunk)).values(revision=revision))


async def changed_since(connection: AsyncConnection, revision: int, version: str) -> list[IndexRow]:
    """Items changed after a revision, with their vectors of a model version; by revision."""
    joined = items.outerjoin(vectors, and_(vectors.c.text_hash == items.c.text_hash, vectors.c.version == version))
    statement = (
        select(
            items.c.id,
            items.c.title,
            items.c.description,
            items.c.categories,
            items.c.text_hash,
            vectors.c.vector,
            items.c.revision,
        )
        .select_from(joined)
        .where(items.c.revision > revision)
        .order_by(items.c.revision)
    )
    return [
        (
            row.id,
            row.title,
            row.text_hash,
            writing_of(text_of(row.title, row.description, tuple(row.categories))),
            _vector(row.vector),
            int(row.revision),
        )
        for row in await connection.execute(statement)
    ]


def _vector(raw: bytes | None) -> NDArray[np.float32] | None:
    return None if raw is None else np.frombuffer(raw, "<f4").astype(np.float32)
