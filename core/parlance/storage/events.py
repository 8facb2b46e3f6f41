"""The durable event log: appended in the caller's transaction, followed from any point, across processes."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import delete, func, insert, select, text
from sqlalchemy.ext.asyncio import AsyncConnection

from parlance.clock import Clock, SystemClock
from parlance.errors import Conflict
from parlance.storage.database import Database
from parlance.storage.tables import event_topics, events
from parlance.storage.upsert import upsert

__all__ = ["CursorTooOld", "Event", "EventLog"]


@dataclass(frozen=True, slots=True)
class Event:
    """One entry of the log. Ids rise within a topic, are never used twice, and have gaps."""

    id: int
    topic: str
    kind: str
    key: str
    body: Mapping[str, Any]
    at: datetime


class CursorTooOld(Conflict):
    """Events after the reader's cursor were pruned: start anew from the present state."""

    code = "cursor_too_old"
    title = "Cursor too old"
    status = 410


class EventLog:
    """Events by topic.

    A reader that has seen id *n* never misses an event with a smaller id that commits later: writers of one topic
    commit in the order of their ids (SQLite has one writer anyway; on PostgreSQL ``append`` holds an advisory lock on
    its topic until the transaction ends). So append last in a transaction, and several topics in one order.
    """

    def __init__(
        self, database: Database, *, clock: Clock | None = None, poll_s: float = 0.5, keep_days: int = 30
    ) -> None:
        self._database = database
        self._clock: Clock = clock or SystemClock()
        self._poll_s = poll_s
        self._keep_days = keep_days
        self._waiting: dict[str, set[asyncio.Event]] = {}

    async def append(
        self, connection: AsyncConnection, *, topic: str, kind: str, body: Mapping[str, Any], key: str = ""
    ) -> int:
        """Add an event in the caller's transaction; followers see it once that has committed.

        Args:
            connection: what ``database.transaction()`` gave.
            topic: what followers choose by; a plugin's topics begin with its name (``sentiment.alerts``).
            kind: what happened (``alert.raised``).
            body: JSON-able.
            key: the subject, for whoever wants events about one thing.

        Returns:
            The event's id.
        """
        if self._database.dialect == "postgresql":
            await connection.execute(text("SELECT pg_advisory_xact_lock(:topic)"), {"topic": _topic_lock(topic)})
        row = {"topic": topic, "kind": kind, "key": key, "body": dict(body), "at": self._clock.now()}
        result = await connection.execute(insert(events).values(row).returning(events.c.id))
        self._database.after_commit(connection, lambda: self._wake(topic))
        return int(result.scalar_one())

    async def read(self, *, topic: str, after: int = 0, limit: int = 500) -> list[Event]:
        """Events of a topic with ids above ``after``, oldest first.

        Raises:
            CursorTooOld: some of them were pruned; the fact ``oldest_cursor`` is the smallest cursor that works.
        """
        page = select(events).where(events.c.topic == topic, events.c.id > after).order_by(events.c.id).limit(limit)
        async with self._database.read() as connection:
            pruned = await connection.scalar(select(event_topics.c.pruned_through).where(event_topics.c.topic == topic))
            if pruned is not None and after < pruned:
                raise CursorTooOld(
                    f"Events of '{topic}' after {after} were pruned up to {pruned}.",
                    hint="Load the present state, then follow from its cursor.",
                    oldest_cursor=pruned,
                )
            rows = (await connection.execute(page)).all()
        return [Event(r.id, r.topic, r.kind, r.key, r.body, r.at) for r in rows]

    async def last_id(self, *, topic: str) -> int:
        """The id of the topic's newest event ever, 0 if there was none: the cursor of the present."""
        async with self._database.read() as connection:
            newest = await connection.scalar(select(func.max(events.c.id)).where(events.c.topic == topic))
            if newest is None:
                newest = await connection.scalar(
                    select(event_topics.c.pruned_through).where(event_topics.c.topic == topic)
                )
        return int(newest or 0)

    async def follow(self, *, topic: str, after: int) -> AsyncIterator[Event]:
        """Events of a topic after a cursor, then each new one as it comes, without end.

        Events that this process commits arrive at once, those of other processes within ``poll_s``.

        Raises:
            CursorTooOld: as :meth:`read`; also later, if the reader falls behind the pruning.
        """
        woken = asyncio.Event()
        waiting = self._waiting.setdefault(topic, set())
        waiting.add(woken)
        try:
            while True:
                woken.clear()
                page = await self.read(topic=topic, after=after)
                for event in page:
                    yield event
                    after = event.id
                if not page:
                    await _wait(woken, self._poll_s)
        finally:
            waiting.discard(woken)
            if not waiting and self._waiting.get(topic) is waiting:
                del self._waiting[topic]

    async def prune(self, *, topic: str, before: datetime | None = None, keep: int | None = None) -> int:
        """Delete a topic's events that are older than ``before`` or beyond the newest ``keep``; says how many."""
        chosen = [events.c.topic == topic]
        async with self._database.transaction() as connection:
            bounds: list[int] = []
            if before is not None:
                # Times and ids need not agree between processes, so whole prefixes are cut, never single events.
                first_kept = select(func.min(events.c.id)).where(events.c.topic == topic, events.c.at >= before)
                kept = await connection.scalar(first_kept)
                newest = await connection.scalar(select(func.max(events.c.id)).where(events.c.topic == topic))
                bounds.append(kept - 1 if kept is not None else newest or 0)
            if keep is not None:
                ids = select(events.c.id).where(events.c.topic == topic).order_by(events.c.id.desc())
                bounds.append(await connection.scalar(ids.offset(keep).limit(1)) or 0)
            through = max(bounds, default=0)
            result = await connection.execute(delete(events).where(*chosen, events.c.id <= through))
            if result.rowcount:
                row = {"topic": topic, "pruned_through": through}
                await connection.execute(upsert(event_topics, [row], key=["topic"], update=["pruned_through"]))
        return result.rowcount

    async def expire(self) -> int:
        """Delete what is older than ``keep_days``, in every topic; says how many."""
        before = self._clock.now() - timedelta(days=self._keep_days)
        async with self._database.read() as connection:
            topics = list(await connection.scalars(select(events.c.topic).where(events.c.at < before).distinct()))
        return sum([await self.prune(topic=topic, before=before) for topic in topics])

    def _wake(self, topic: str) -> None:
        for woken in self._waiting.get(topic, ()):
            woken.set()


async def _wait(woken: asyncio.Event, timeout_s: float) -> None:
    try:
        async with asyncio.timeout(timeout_s):
            await woken.wait()
    except TimeoutError:
        return


def _topic_lock(topic: str) -> int:
    """A topic's number for PostgreSQL's advisory locks: signed, 64 bits."""
    return int.from_bytes(hashlib.blake2b(f"event:{topic}".encode(), digest_size=8).digest(), "big", signed=True)
