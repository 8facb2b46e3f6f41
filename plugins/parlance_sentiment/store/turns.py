"""One writer of documents, counters and alerts at a time, also on PostgreSQL (SQLite has one writer anyway)."""

from __future__ import annotations

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

__all__ = ["take_turn"]

_LOCK = 0x73656E74  # "sent"


async def take_turn(connection: AsyncConnection) -> None:
    """Wait until no other transaction changes the plugin's rows, and keep others waiting until this one ends.

    The row of ``all`` in ``sentiment_buckets`` would hold up writers of the same hour in any case. Taking turns from
    the start keeps writers whose documents overlap from waiting for each other in a ring, and a rule that is judged
    inside the transaction from missing documents of another that commits first. Models run outside of it.
    """
    if connection.dialect.name == "postgresql":
        await connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": _LOCK})
