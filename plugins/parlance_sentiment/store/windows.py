"""Windows counted exactly from the documents: what rules judge, and which documents drive it."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import case, func, select
from sqlalchemy.ext.asyncio import AsyncConnection

from parlance_sentiment.alerts import DrivingDocument
from parlance_sentiment.rules import Observation
from parlance_sentiment.tables import document_keys, documents

__all__ = ["driving", "models_of", "newest", "observe"]

_HEADLINE_CHARS = 200
_CHUNK = 400


async def observe(
    connection: AsyncConnection, keys: Sequence[str] | None, *, start: datetime, end: datetime
) -> dict[str, Observation]:
    """Counts per key in the window ``(start, end]``; keys without documents are left out. ``None`` counts all keys."""
    if keys is not None and len(keys) > _CHUNK:
        found: dict[str, Observation] = {}
        for first in range(0, len(keys), _CHUNK):
            found |= await observe(connection, keys[first : first + _CHUNK], start=start, end=end)
        return found
    column = document_keys.c

    def count(label: str) -> object:
        return func.sum(case((column.label == label, 1), else_=0)).label(label)

    query = (
        select(
            column.key,
            count("positive"),  # type: ignore[call-overload]
            count("neutral"),
            count("negative"),
            func.count(column.source.distinct()).label("sources"),
            func.avg(column.score).label("mean_score"),
        )
        .where(column.published_at > start, column.published_at <= end)
        .group_by(column.key)
    )
    if keys is not None:
        query = query.where(column.key.in_(keys))
    return {
        row.key: Observation(
            key=row.key,
            start=start,
            end=end,
            positive=int(row.positive),
            neutral=int(row.neutral),
            negative=int(row.negative),
            sources=int(row.sources),
            mean_score=round(float(row.mean_score), 4),
        )
        for row in await connection.execute(query)
    }


async def driving(connection: AsyncConnection, seen: Observation, *, limit: int) -> list[DrivingDocument]:
    """The most negative documents of a window, the most negative first."""
    key = document_keys.c
    query = (
        select(documents.c.id, documents.c.title, documents.c.text, key.source, key.published_at, key.score)
        .join(documents, documents.c.id == key.document_id)
        .where(
            key.key == seen.key, key.label == "negative", key.published_at > seen.start, key.published_at <= seen.end
        )
        .order_by(key.score, key.published_at.desc(), key.document_id)
        .limit(limit)
    )
    return [
        DrivingDocument(
            id=row.id,
            headline=(row.title or row.text)[:_HEADLINE_CHARS],
            source=row.source,
            published_at=row.published_at,
            score=round(row.score, 4),
        )
        for row in await connection.execute(query)
    ]


async def models_of(connection: AsyncConnection, seen: Observation) -> list[str]:
    """The model versions that labelled a window's documents."""
    key = document_keys.c
    query = (
        select(documents.c.model)
        .join(document_keys, documents.c.id == key.document_id)
        .where(key.key == seen.key, key.published_at > seen.start, key.published_at <= seen.end)
        .distinct()
    )
    return sorted((await connection.execute(query)).scalars())


async def newest(connection: AsyncConnection, keys: Sequence[str]) -> dict[str, datetime]:
    """The newest published time of each key."""
    column = document_keys.c
    found: dict[str, datetime] = {}
    for first in range(0, len(keys), _CHUNK):
        query = (
            select(column.key, func.max(column.published_at).label("newest"))
            .where(column.key.in_(keys[first : first + _CHUNK]))
            .group_by(column.key)
        )
        found |= {row.key: row.newest for row in await connection.execute(query)}
    return found
