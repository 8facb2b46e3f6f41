"""Counters always equal a recount of the documents, whatever was inserted, corrected or withdrawn, in any order."""

from __future__ import annotations

import asyncio
import tempfile
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from parlance.errors import NotFound
from parlance.settings import DatabaseSettings
from parlance_sentiment.schemas import DocumentIn
from parlance_sentiment.store import buckets
from parlance_sentiment.store.documents import DocumentQuery
from parlance_sentiment.trends import changes

World = Any
NOW = datetime(2026, 3, 2, 12, 30, tzinfo=UTC)

TEXTS = ("profit rose", "shares fell", "the board meets", "营收增长", "股价暴跌")
documents = st.builds(
    lambda number, text, hours, companies, source: DocumentIn(
        id=f"d{number}",
        text=text,
        published_at=(NOW - timedelta(hours=hours)).isoformat(),
        companies=tuple(companies),
        source=source,
    ),
    st.integers(0, 5),
    st.sampled_from(TEXTS),
    st.floats(0, 50),
    st.lists(st.sampled_from("ABC"), unique=True, max_size=2),
    st.sampled_from(("", "Wire")),
)
steps = st.lists(st.one_of(st.lists(documents, min_size=1, max_size=6), st.integers(0, 5)), min_size=1, max_size=12)


async def recounted(world: World) -> None:
    """Compare the counters with a count of what is stored."""
    stored, _ = await world.service.documents(DocumentQuery(limit=500))
    async with world.database.read() as connection:
        counted = await buckets.everything(connection)
    assert counted == changes(removed=[], added=stored)


async def replay(sequence: list[list[DocumentIn] | int], opener: Any) -> None:
    with tempfile.TemporaryDirectory() as folder:
        async with opener(DatabaseSettings(url=f"sqlite:///{Path(folder) / 'x.sqlite'}")) as world:
            for step in sequence:
                if isinstance(step, int):
                    try:
                        await world.service.withdraw(f"d{step}")
                    except NotFound:
                        continue
                else:
                    await world.service.ingest(step)
            await recounted(world)


@settings(max_examples=25, deadline=None)
@given(sequence=steps)
def test_counters_equal_a_recount_after_any_sequence(opener: Any, sequence: list[list[DocumentIn] | int]) -> None:
    asyncio.run(replay(sequence, opener))


async def test_counters_equal_a_recount_after_writers_in_parallel(world: World) -> None:
    batches = [
        [
            DocumentIn(id=f"d{(n * 7 + m) % 15}", text=TEXTS[(n + m) % 5], companies=("A",) if m % 2 else ("B",))
            for m in range(5)
        ]
        for n in range(20)
    ]
    await asyncio.gather(*(world.service.ingest(batch) for batch in batches))
    await recounted(world)
