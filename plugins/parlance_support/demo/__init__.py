"""Demonstration data: the questions of a made-up online shop, in English and Chinese."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import msgspec

from parlance.engine.interface import CallOptions
from parlance.plugins.context import PluginContext
from parlance_support.knowledge.entry import Draft
from parlance_support.service import SupportService
from parlance_support.settings import SupportSettings

__all__ = ["demo_drafts", "load"]

_SOURCE = "demo: Bramble & Pine help pages"
_FILES = ("faq_en.jsonl", "faq_zh.jsonl")


def demo_drafts() -> list[Draft]:
    """The entries of the demonstration; their ids begin with ``demo-``."""
    folder = Path(__file__).parent
    lines = [line for name in _FILES for line in (folder / name).read_bytes().splitlines() if line.strip()]
    rows = [msgspec.json.decode(line) for line in lines]
    return [
        Draft(row["question"], row["answer"], tuple(row.get("variants", ())), row["language"], _SOURCE, row["id"])
        for row in rows
    ]


@asynccontextmanager
async def load(context: PluginContext[SupportSettings]) -> AsyncIterator[Sequence[str]]:
    """Load what is not there yet, and give a line to try."""
    service = SupportService(context)
    drafts = await asyncio.to_thread(demo_drafts)
    known = await service.known([str(draft.id) for draft in drafts])
    fresh = [draft for draft in drafts if draft.id not in known]
    if fresh:
        await service.add_entries(fresh, options=CallOptions())
    host = "http://127.0.0.1:8000"
    body = '{"sender":"alice","message":"My parcel came damaged, what now?"}'
    yield [f"curl -s {host}/webhooks/rest/webhook -H 'Content-Type: application/json' -d '{body}'"]
