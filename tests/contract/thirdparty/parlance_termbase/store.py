"""Reads and writes terms."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import sqlalchemy as sa

from parlance.plugins.context import PluginContext
from parlance.storage.upsert import insert_or_ignore
from parlance_termbase.tables import counts, terms

__all__ = ["Life", "add_terms", "all_terms", "count_terms", "demo"]


class Life:
    """What lives as long as the server, and wakes the waiting when the terms were counted."""

    def __init__(self) -> None:
        self.steps: list[str] = []
        self.counted = asyncio.Event()

    @asynccontextmanager
    async def running(self) -> AsyncIterator[Life]:
        self.steps.append("entered")
        yield self
        self.steps.append("left")


async def add_terms(context: PluginContext[Any], rows: Sequence[tuple[str, str]]) -> None:
    """Store terms with an event each; known ones stay as they are."""
    values = [{"en": en, "zh": zh} for en, zh in rows]
    async with context.storage.transaction() as connection:
        await connection.execute(insert_or_ignore(terms, values, key=["en"]))
        for row in values:
            await context.events.append(connection, topic="termbase", kind="termbase.added", body=row)


async def all_terms(context: PluginContext[Any]) -> list[dict[str, str]]:
    """All terms, by English."""
    async with context.storage.read() as connection:
        found = await connection.execute(sa.select(terms).order_by(terms.c.en))
        return [dict(row) for row in found.mappings()]


async def count_terms(context: PluginContext[Any]) -> int:
    """Count the terms and keep the number."""
    async with context.storage.transaction() as connection:
        number = int(await connection.scalar(sa.select(sa.func.count()).select_from(terms)) or 0)
        await connection.execute(sa.insert(counts).values(terms=number))
    return number


@asynccontextmanager
async def demo(context: PluginContext[Any]) -> AsyncIterator[Sequence[str]]:
    """Two terms to look at."""
    await add_terms(context, [("exchange rate", "汇率"), ("dividend", "股息")])
    yield ["curl http://127.0.0.1:8000/termbase/terms"]
