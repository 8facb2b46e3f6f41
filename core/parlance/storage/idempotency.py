"""Idempotency keys: a request that is sent twice with the same key has its effect once and gets the same answer."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import delete, or_, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from parlance.clock import Clock, SystemClock
from parlance.errors import Conflict, ValidationFailed
from parlance.storage.database import Database
from parlance.storage.tables import idempotency
from parlance.storage.upsert import insert_or_ignore

__all__ = ["Idempotency", "StoredAnswer"]

LONGEST_KEY = 255


@dataclass(frozen=True, slots=True)
class StoredAnswer:
    """The answer that the first request with a key got."""

    status: int
    media_type: str
    body: bytes


class Idempotency:
    """Keys of one database, kept for ``keep_s``.

    A route calls :meth:`begin`; ``None`` means: do the work, and call :meth:`finish` with the connection of the
    transaction that does it, so that effect and answer are stored together. On an error call :meth:`abandon`. A process
    that dies in between frees the key after ``claim_s``.
    """

    def __init__(
        self, database: Database, *, clock: Clock | None = None, keep_s: float = 86_400.0, claim_s: float = 60.0
    ) -> None:
        self._database = database
        self._clock: Clock = clock or SystemClock()
        self._keep = timedelta(seconds=keep_s)
        self._claim = timedelta(seconds=claim_s)

    async def begin(self, *, scope: str, key: str, request: bytes) -> StoredAnswer | None:
        """Claim a key, or give the answer that it already has.

        Args:
            scope: whose keys: route and API key, so that callers do not meet.
            key: what the caller sent.
            request: what must be the same when the key is the same: method, path and body.

        Raises:
            Conflict: the key was used for another request (``idempotency_mismatch``), or the first request with it is
                still running (``idempotency_running``).
            ValidationFailed: an empty or over-long key.
        """
        if not 0 < len(key) <= LONGEST_KEY or "\0" in key:
            raise ValidationFailed(f"An idempotency key has 1 to {LONGEST_KEY} characters, this one {len(key)}.")
        now = self._clock.now()
        digest = hashlib.sha256(request).hexdigest()
        mine = (idempotency.c.scope == scope, idempotency.c.key == key)
        fresh = {"request_hash": digest, "created_at": now, "claimed_until": now + self._claim}
        async with self._database.transaction() as connection:
            await connection.execute(delete(idempotency).where(*mine, idempotency.c.created_at < now - self._keep))
            added = insert_or_ignore(idempotency, [{"scope": scope, "key": key, **fresh}], key=["scope", "key"])
            if (await connection.execute(added)).rowcount:
                return None
            row = (await connection.execute(select(idempotency).where(*mine).with_for_update())).one()
            if row.request_hash != digest:
                raise Conflict(
                    "This idempotency key was used for another request.",
                    hint="Use a new key for a new request.",
                    code="idempotency_mismatch",
                )
            if row.status is not None:
                return StoredAnswer(row.status, row.media_type, row.body)
            if row.claimed_until > now:
                raise Conflict(
                    "The first request with this idempotency key is still running.",
                    hint="Try again in a moment.",
                    code="idempotency_running",
                )
            await connection.execute(update(idempotency).where(*mine).values(fresh))
        return None

    async def finish(
        self, connection: AsyncConnection, *, scope: str, key: str, status: int, body: bytes, media_type: str
    ) -> None:
        """Store the answer, in the transaction of the effect."""
        answer = {"status": status, "body": body, "media_type": media_type}
        mine = (idempotency.c.scope == scope, idempotency.c.key == key)
        await connection.execute(update(idempotency).where(*mine).values(answer))

    async def abandon(self, *, scope: str, key: str) -> None:
        """Free a key whose request failed without an effect."""
        mine = (idempotency.c.scope == scope, idempotency.c.key == key, idempotency.c.status.is_(None))
        async with self._database.transaction() as connection:
            await connection.execute(delete(idempotency).where(*mine))

    async def prune(self, *, before: datetime | None = None) -> int:
        """Delete keys that are older than ``keep_s`` (or than ``before``); says how many."""
        now = self._clock.now()
        old = idempotency.c.created_at < (before or now - self._keep)
        idle = or_(idempotency.c.status.is_not(None), idempotency.c.claimed_until < now)
        async with self._database.transaction() as connection:
            return (await connection.execute(delete(idempotency).where(old, idle))).rowcount
