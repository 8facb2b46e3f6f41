"""The outbox: what must reach the outside, written in the transaction that caused it, delivered at least once.

Here is the writing and looking; :mod:`parlance.storage.delivery` sends.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any, Literal

from sqlalchemy import delete, insert, select, update
from sqlalchemy.engine import Row
from sqlalchemy.ext.asyncio import AsyncConnection

from parlance.clock import Clock, SystemClock
from parlance.errors import Conflict, NotFound
from parlance.settings import OutboxSettings
from parlance.storage.database import Database
from parlance.storage.tables import outbox, outbox_attempts, webhooks
from parlance.storage.types import json_dumps
from parlance.storage.webhooks import Webhook, check_kinds, check_secret, check_url, new_secret

if TYPE_CHECKING:
    from parlance.observe.metrics import Metrics
    from parlance.storage.delivery import Delivery, Sender

__all__ = ["Attempt", "Message", "Outbox", "Status"]

Status = Literal["pending", "delivered", "dead"]


@dataclass(frozen=True, slots=True)
class Message:
    """One delivery to one endpoint."""

    id: str
    kind: str
    webhook: str | None
    url: str | None
    """Only of a message to an endpoint that is not registered."""
    status: Status
    attempts: int
    due_at: datetime
    """When a pending message is tried next."""
    created_at: datetime
    settled_at: datetime | None
    last_error: str | None
    payload: str


@dataclass(frozen=True, slots=True)
class Attempt:
    """One try: the delivery log's entry."""

    number: int
    at: datetime
    status: int | None
    """The HTTP status; ``None`` where there was no answer."""
    duration_ms: int
    error: str | None
    response_excerpt: str | None


class Outbox:
    """Messages and endpoints of one database."""

    def __init__(
        self,
        database: Database,
        *,
        settings: OutboxSettings | None = None,
        clock: Clock | None = None,
        metrics: Metrics | None = None,
    ) -> None:
        self.database = database
        self.settings = settings or OutboxSettings()
        self.clock: Clock = clock or SystemClock()
        self.metrics = metrics
        self._listeners: list[Callable[[], None]] = []
        self._delivery: Delivery | None = None

    def delivery(self, sender: Sender) -> Delivery:
        """What sends the messages, one for each process: run it as a job, and enter it so that its end is awaited."""
        from parlance.storage.delivery import Delivery

        if self._delivery is None:
            self._delivery = Delivery(self, sender)
        return self._delivery

    def on_put(self, listener: Callable[[], None]) -> None:
        """Call ``listener`` in the event loop whenever a transaction that wrote messages has committed."""
        self._listeners.append(listener)

    async def put(
        self,
        connection: AsyncConnection,
        *,
        kind: str,
        body: Mapping[str, Any],
        webhook: str | None = None,
        url: str | None = None,
    ) -> list[str]:
        """Write messages in the caller's transaction; they are sent once it has committed.

        The receiver gets ``{"type": kind, "timestamp": …, "data": body}``.

        Args:
            connection: what ``database.transaction()`` gave.
            kind: what happened: ``alert.raised``.
            body: JSON-able.
            webhook: the registered endpoint to send to; a disabled one gets a dead letter that can be redelivered.
            url: an endpoint that need not be registered; unsigned unless one with this URL is.

        Returns:
            Ids of the messages; with neither ``webhook`` nor ``url`` one for each registered endpoint that wants
            ``kind``, which may be none.

        Raises:
            NotFound: no endpoint of this name.
            ValidationFailed: ``url`` cannot be used.
        """
        now = self.clock.now()
        known = {row.name: _webhook(row) for row in (await connection.execute(select(webhooks))).all()}
        targets: list[tuple[str | None, str | None]]
        if webhook is not None:
            if webhook not in known:
                raise NotFound(
                    f"There is no webhook named '{webhook}'.",
                    hint=f"Known: {', '.join(sorted(known)) or 'none'}; 'parlance outbox webhooks add' makes one.",
                )
            targets = [(webhook, None)]
        elif url is not None:
            same = [name for name, one in known.items() if one.url == check_url(url)]
            targets = [(same[0], None)] if same else [(None, url)]
        else:
            targets = [(name, None) for name, one in known.items() if one.wants(kind)]
        payload = json_dumps({"type": kind, "timestamp": now, "data": body})
        rows: list[dict[str, Any]] = []
        for name, address in targets:
            off = known[name].disabled_at is not None if name is not None else False
            rows.append(
                {
                    "id": _message_id(now),
                    "kind": kind,
                    "payload": payload,
                    "webhook": name,
                    "url": address,
                    "status": "dead" if off else "pending",
                    "attempts": 0,
                    "tries_left": 0 if off else self.settings.attempts,
                    "due_at": now,
                    "created_at": now,
                    "settled_at": now if off else None,
                    "last_error": "the endpoint is disabled" if off else None,
                }
            )
        if rows:
            await connection.execute(insert(outbox), rows)
            self.database.after_commit(connection, self._notify)
        return [row["id"] for row in rows]

    async def add_webhook(
        self, *, name: str, url: str, kinds: Sequence[str] = ("*",), secret: str | None = None
    ) -> Webhook:
        """Register an endpoint.

        Returns:
            It, with its secret: the only time that it is shown.

        Raises:
            ValidationFailed: the URL, kinds or secret cannot be used.
            Conflict: the name is taken (``webhook_exists``).
        """
        signing = check_secret(secret) if secret is not None else new_secret()
        made = Webhook(name, check_url(url), check_kinds(kinds), self.clock.now(), secret=signing)
        async with self.database.transaction() as connection:
            if await connection.scalar(select(webhooks.c.name).where(webhooks.c.name == name)) is not None:
                raise Conflict(f"A webhook named '{name}' exists already.", code="webhook_exists")
            values = {"kinds": list(made.kinds), "secret": signing, "created_at": made.created_at}
            await connection.execute(insert(webhooks).values(name=name, url=url, **values))
        return made

    async def list_webhooks(self) -> list[Webhook]:
        """All endpoints by name, without their secrets."""
        async with self.database.read() as connection:
            return [
                _webhook(row) for row in (await connection.execute(select(webhooks).order_by(webhooks.c.name))).all()
            ]

    async def remove_webhook(self, name: str) -> None:
        """Forget an endpoint; its messages that are still to be sent become dead letters.

        Raises:
            NotFound: no endpoint of this name.
        """
        async with self.database.transaction() as connection:
            result = await connection.execute(delete(webhooks).where(webhooks.c.name == name))
            if not result.rowcount:
                raise NotFound(f"There is no webhook named '{name}'.")
            await connection.execute(
                update(outbox)
                .where(outbox.c.webhook == name, outbox.c.status == "pending")
                .values(status="dead", settled_at=self.clock.now(), last_error="the endpoint was removed")
            )

    async def enable_webhook(self, name: str) -> None:
        """Deliver to a disabled endpoint again; its dead letters are redelivered one by one where wanted.

        Raises:
            NotFound: no endpoint of this name.
        """
        async with self.database.transaction() as connection:
            values = {"disabled_at": None, "disabled_reason": None}
            result = await connection.execute(update(webhooks).where(webhooks.c.name == name).values(values))
            if not result.rowcount:
                raise NotFound(f"There is no webhook named '{name}'.")

    async def list_messages(
        self, *, status: Status | None = None, limit: int = 100, cursor: str | None = None
    ) -> list[Message]:
        """Messages, newest first.

        Args:
            status: only these.
            limit: at most so many.
            cursor: the id of the last message of the page before.
        """
        query = select(outbox).order_by(outbox.c.id.desc()).limit(limit)
        if status is not None:
            query = query.where(outbox.c.status == status)
        if cursor is not None:
            query = query.where(outbox.c.id < cursor)
        async with self.database.read() as connection:
            return [_message(row) for row in (await connection.execute(query)).all()]

    async def attempts(self, message_id: str) -> list[Attempt]:
        """The delivery log of a message, first try first.

        Raises:
            NotFound: no message of this id.
        """
        query = select(outbox_attempts).where(outbox_attempts.c.message_id == message_id).order_by(outbox_attempts.c.id)
        async with self.database.read() as connection:
            if await connection.scalar(select(outbox.c.id).where(outbox.c.id == message_id)) is None:
                raise NotFound(f"There is no message '{message_id}'.")
            rows = (await connection.execute(query)).all()
        return [Attempt(r.number, r.at, r.status, r.duration_ms, r.error, r.response_excerpt) for r in rows]

    async def redeliver(self, message_id: str) -> Message:
        """Send a message again, now, with all its tries; it keeps its id, so a receiver can tell.

        Raises:
            NotFound: no message of this id.
        """
        async with self.database.transaction() as connection:
            now = self.clock.now()
            fresh = {"status": "pending", "due_at": now, "tries_left": self.settings.attempts, "settled_at": None}
            changed = update(outbox).where(outbox.c.id == message_id).values(fresh).returning(*outbox.c)
            row = (await connection.execute(changed)).one_or_none()
            if row is None:
                raise NotFound(f"There is no message '{message_id}'.")
            self.database.after_commit(connection, self._notify)
        return _message(row)

    async def prune(self, *, before: datetime) -> int:
        """Delete messages that were delivered before a moment, with their log; dead letters stay. Says how many."""
        old = delete(outbox).where(outbox.c.status == "delivered", outbox.c.settled_at < before)
        async with self.database.transaction() as connection:
            return (await connection.execute(old)).rowcount

    def _notify(self) -> None:
        for listener in self._listeners:
            listener()


def _message_id(now: datetime) -> str:
    """Ids that sort by time: 48 bits of milliseconds, 80 random bits, in hexadecimal."""
    return f"msg_{int(now.timestamp() * 1000):012x}{secrets.token_hex(10)}"


def _webhook(row: Row[Any]) -> Webhook:
    return Webhook(row.name, row.url, tuple(row.kinds), row.created_at, row.disabled_at, row.disabled_reason)


def _message(row: Row[Any]) -> Message:
    return Message(
        id=row.id,
        kind=row.kind,
        webhook=row.webhook,
        url=row.url,
        status=row.status,
        attempts=row.attempts,
        due_at=row.due_at,
        created_at=row.created_at,
        settled_at=row.settled_at,
        last_error=row.last_error,
        payload=row.payload,
    )
