"""Rows of the hourly counters: added to, read by range, recounted by tests and repair."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime

from sqlalchemy import Integer, String, and_, delete, func, literal, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection

from parlance_sentiment.tables import buckets
from parlance_sentiment.trends import Bucket, Tally

__all__ = ["KeyCount", "add", "busiest", "everything", "read"]

_COUNTERS = ("positive", "neutral", "negative", "score_micro")
KeyCount = tuple[str, Tally]


async def add(connection: AsyncConnection, changes: Mapping[Bucket, Tally]) -> None:
    """Add to the counters, in one order of rows."""
    if not changes:
        return
    statement = insert(buckets)
    statement = statement.on_conflict_do_update(
        index_elements=["key", "hour", "model"],
        set_={name: buckets.c[name] + statement.excluded[name] for name in _COUNTERS},
    )
    rows = [
        {
            "key": bucket.key,
            "hour": bucket.hour,
            "model": bucket.model,
            **{name: getattr(tally, name) for name in _COUNTERS},
        }
        for bucket, tally in sorted(changes.items())
    ]
    await connection.execute(statement, rows)


async def read(
    connection: AsyncConnection, keys: Sequence[str], *, start: datetime, end: datetime
) -> dict[str, list[tuple[datetime, str, Tally]]]:
    """Hours in ``[start, end)`` by key: ``(hour, model, tally)``, in order of time."""
    query = (
        select(buckets)
        .where(buckets.c.key.in_(keys), buckets.c.hour >= start, buckets.c.hour < end)
        .order_by(buckets.c.key, buckets.c.hour, buckets.c.model)
    )
    found: dict[str, list[tuple[datetime, str, Tally]]] = {key: [] for key in keys}
    for row in await connection.execute(query):
        tally = Tally(row.positive, row.neutral, row.negative, row.score_micro)
        if tally.documents:
            found[row.key].append((row.hour, row.model, tally))
    return found


async def busiest(
    connection: AsyncConnection, *, prefix: str, start: datetime, end: datetime, limit: int
) -> list[KeyCount]:
    """Keys with the most documents in ``[start, end)`` that begin with ``prefix``."""
    sums = {name: func.sum(buckets.c[name]).label(name) for name in _COUNTERS}
    total = (sums["positive"] + sums["neutral"] + sums["negative"]).cast(Integer)
    begins = func.substr(buckets.c.key, 1, literal(len(prefix), Integer)) == literal(prefix, String)
    query = (
        select(buckets.c.key, *sums.values())
        .where(and_(begins, buckets.c.hour >= start, buckets.c.hour < end))
        .group_by(buckets.c.key)
        .having(total > 0)
        .order_by(total.desc(), buckets.c.key)
        .limit(limit)
    )
    return [
        (row.key, Tally(int(row.positive), int(row.neutral), int(row.negative), int(row.score_micro)))
        for row in await connection.execute(query)
    ]


async def everything(connection: AsyncConnection) -> dict[Bucket, Tally]:
    """All counters that are not zero, for comparison with a recount."""
    found = {
        Bucket(row.key, row.hour, row.model): Tally(row.positive, row.neutral, row.negative, row.score_micro)
        for row in await connection.execute(select(buckets))
    }
    return {bucket: tally for bucket, tally in found.items() if tally != Tally()}


async def clear(connection: AsyncConnection) -> None:
    """Forget all counters, before they are counted again."""
    await connection.execute(delete(buckets))
