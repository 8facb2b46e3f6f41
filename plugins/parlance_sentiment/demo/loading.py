"""Loads the demonstration headlines once.

Their times are stored as hours before the first start, so that the newest are always news: the surge around Borealis
Motors lies within the last day, and the default rule raises its alert.
"""

from __future__ import annotations

import asyncio
import csv
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from pathlib import Path

from parlance.plugins.context import PluginContext
from parlance_sentiment.documents import Draft, DraftLimits, make_draft
from parlance_sentiment.service import SentimentService
from parlance_sentiment.settings import SentimentSettings

__all__ = ["demo", "demo_drafts"]

_HEADLINES = Path(__file__).parent / "headlines.csv"
_TRY = (
    "curl 'http://127.0.0.1:8000/sentiment/trends?key=company:Borealis%20Motors'   # how its news turned bad",
    "curl http://127.0.0.1:8000/sentiment/alerts   # the alert that this raised, with its evidence",
)


def demo_drafts(*, now: datetime, limits: DraftLimits) -> list[Draft]:
    """The headlines, dated back from ``now``; their ids are fixed."""
    with _HEADLINES.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    return [
        make_draft(
            limits=limits,
            id=f"demo-{number:03d}",
            text=row["text"],
            published_at=now - timedelta(hours=float(row["hours_ago"])),
            source=row["source"],
            companies=row["companies"].split(";"),
            topics=row["topics"].split(";"),
            language=row["language"],
        )
        for number, row in enumerate(rows, start=1)
    ]


@asynccontextmanager
async def demo(context: PluginContext[SentimentSettings]) -> AsyncIterator[Sequence[str]]:
    """Load the headlines unless they are there; the lines to try."""
    service = SentimentService(context)
    drafts = await asyncio.to_thread(demo_drafts, now=context.clock.now(), limits=service.draft_limits())
    known = await service.known([draft.id for draft in drafts])
    await service.ingest_drafts([draft for draft in drafts if draft.id not in known])
    yield _TRY
