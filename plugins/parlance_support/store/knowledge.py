"""Entries of the knowledge base in the database."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import delete, func, select
from sqlalchemy.ext.asyncio import AsyncConnection

from parlance.storage.upsert import upsert
from parlance_support.knowledge.entry import Entry
from parlance_support.tables import entries

__all__ = ["count", "delete_entries", "get", "page", "stored_variants", "write"]

_CHUNK = 500


async def write(connection: AsyncConnection, given: Sequence[Entry], *, now: datetime) -> None:
    """Add entries, or replace those with the same id."""
    rows = [
        {
            "id": entry.id,
            "question": entry.question,
            "variants": list(entry.variants),
            "answer": entry.answer,
            "language": entry.language,
            "source": entry.source,
            "created_at": now,
            "updated_at": now,
        }
        for entry in given
    ]
    changed = ["question", "variants", "answer", "language", "source", "updated_at"]
    for start in range(0, len(rows), _CHUNK):
        await connection.execute(upsert(entries, key=["id"], update=changed), rows[start : start + _CHUNK])


async def stored_variants(connection: AsyncConnection, ids: Sequence[str]) -> dict[str, int]:
    """How many variants each entry has now; entries that are not there are left out."""
    found: dict[str, int] = {}
    for start in range(0, len(ids), _CHUNK):
        query = select(entries.c.id, entries.c.variants).where(entries.c.id.in_(ids[start : start + _CHUNK]))
        found.update({row.id: len(row.variants) for row in await connection.execute(query)})
    return found


async def get(connection: AsyncConnection, ids: Sequence[str]) -> dict[str, Entry]:
    """Entries by id; unknown ids are left out."""
    if not ids:
        return {}
    found = await connection.execute(select(entries).where(entries.c.id.in_(list(ids))))
    return {row.id: _entry(row) for row in found}


async def page(connection: AsyncConnection, *, after: str, limit: int, language: str | None) -> list[Entry]:
    """Entries in the order of their ids."""
    query = select(entries).where(entries.c.id > after).order_by(entries.c.id).limit(limit)
    if language is not None:
        query = query.where(entries.c.language == language)
    return [_entry(row) for row in await connection.execute(query)]


async def count(connection: AsyncConnection) -> dict[str, int]:
    """How many entries there are, by language."""
    found = await connection.execute(select(entries.c.language, func.count()).group_by(entries.c.language))
    return {row[0]: row[1] for row in found}


async def delete_entries(connection: AsyncConnection, ids: Sequence[str]) -> int:
    """Delete entries; returns how many there were."""
    gone = 0
    for start in range(0, len(ids), _CHUNK):
        gone += (
            await connection.execute(delete(entries).where(entries.c.id.in_(ids[start : start + _CHUNK])))
        ).rowcount
    return gone


def _entry(row: Any) -> Entry:
    return Entry(
        id=row.id,
        question=row.question,
        answer=row.answer,
        language=row.language,
        variants=tuple(row.variants),
        source=row.source,
        created_at=row.created_at,
        updated_at=row.updated_at,
    )
