"""Alerts as server-sent events, resumable from the durable event log."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import msgspec
from litestar.response import ServerSentEventMessage

from parlance.errors import ValidationFailed
from parlance.storage.events import CursorTooOld, Event, EventLog
from parlance_sentiment.judging import TOPIC

__all__ = ["AlertStream", "cursor_from"]

_RETRY_MS = 3000
_MAX_ID = 2**63 - 1


def cursor_from(header: str | None, query: str | None) -> int | None:
    """The cursor of a reconnecting client; the header wins over the query.

    Raises:
        ValidationFailed: code ``bad_cursor``.
    """
    value = header or query
    if not value:
        return None
    if not value.isascii() or not value.isdigit() or int(value) > _MAX_ID:
        raise ValidationFailed(
            f"{value[:40]!r} is no event id.",
            hint="Send the 'id' of the last event that you have seen.",
            code="bad_cursor",
        )
    return int(value)


class AlertStream:
    """Turns the event log into messages, with a comment now and then that keeps the connection open."""

    def __init__(self, events: EventLog, *, keep_alive_s: float = 15.0) -> None:
        self._events = events
        self._keep_alive_s = keep_alive_s

    async def events(self, after: int | None) -> AsyncIterator[ServerSentEventMessage]:
        """Messages without end; after ``stream.reset`` the stream goes on with what is still there."""
        cursor = await self._events.last_id(topic=TOPIC) if after is None else after
        yield ServerSentEventMessage(comment="following sentiment.alerts", retry=_RETRY_MS)
        while True:
            try:
                async for message in self._follow(cursor):
                    yield message
            except CursorTooOld as error:
                cursor = int(error.facts["oldest_cursor"])
                body = msgspec.json.encode({"code": error.code, "oldest_cursor": cursor}).decode()
                yield ServerSentEventMessage(event="stream.reset", id=str(cursor), data=body)

    async def _follow(self, cursor: int) -> AsyncIterator[ServerSentEventMessage]:
        source = self._events.follow(topic=TOPIC, after=cursor).__aiter__()
        waiting: asyncio.Future[Event] | None = None
        try:
            while True:
                if waiting is None:
                    waiting = asyncio.ensure_future(anext(source))
                done, _ = await asyncio.wait({waiting}, timeout=self._keep_alive_s)
                if not done:
                    yield ServerSentEventMessage(comment="still here")
                    continue
                event, waiting = waiting.result(), None
                data = msgspec.json.encode(event.body).decode()
                yield ServerSentEventMessage(event=event.kind, id=str(event.id), data=data)
        finally:
            if waiting is not None:
                waiting.cancel()
                await asyncio.gather(waiting, return_exceptions=True)
            close = getattr(source, "aclose", None)
            if close is not None:
                await close()
