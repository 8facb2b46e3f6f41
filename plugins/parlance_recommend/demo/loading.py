"""Loads the demonstration catalogue and histories once.

Ids are fixed, so a second loading changes nothing; the events are dated back from the first loading.
"""

from __future__ import annotations

import asyncio
import csv
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from parlance_recommend.behaviour.event import Event
from parlance_recommend.importing import item_from_row
from parlance_recommend.service import Recommender

__all__ = ["demo", "demo_events", "demo_items"]

_HERE = Path(__file__).parent
_HOUR_MS = 3_600_000
_BODY = '{"id":"r1","timestamp":"1767225600000","user":"chen","items":[{"id":"hike-shoes"},{"id":"tea-puer"}]}'
_TRY = (
    f"curl 'localhost:8000/rank/default?explain=true' --json '{_BODY}'   # why the tea comes first",
    "curl localhost:8000/recommend/users/iris/profile   # three interests of one reader",
)


def demo_items() -> list[tuple[str, dict[str, Any]]]:
    """The catalogue: 61 made-up articles and products, in English and Chinese."""
    with (_HERE / "items.csv").open(encoding="utf-8", newline="") as file:
        return [item_from_row(row) for row in csv.DictReader(file)]


def demo_events(now_ms: int) -> list[Event]:
    """What 15 made-up readers did, an hour apart, the last an hour before ``now_ms``."""
    with (_HERE / "histories.csv").open(encoding="utf-8", newline="") as file:
        rows = [(row["user"], row["type"], item) for row in csv.DictReader(file) for item in row["items"].split(";")]
    return [
        Event(
            id=f"demo-{user}-{kind}-{item}",
            kind="interaction",
            at_ms=now_ms - (len(rows) - place) * _HOUR_MS,
            user=user,
            item=item,
            type=kind,
        )
        for place, (user, kind, item) in enumerate(rows)
    ]


@asynccontextmanager
async def demo(service: Recommender) -> AsyncIterator[Sequence[str]]:
    """Load the data unless it is there; the lines to try."""
    await service.put_items(await asyncio.to_thread(demo_items))
    await service.record(await asyncio.to_thread(demo_events, service.now_ms()))
    yield _TRY
