"""Sends the outbox's messages: claims them by lease, signs, retries with backoff, keeps the log, makes dead letters."""

from __future__ import annotations

import asyncio
import contextlib
import random
import secrets
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from types import TracebackType
from typing import TYPE_CHECKING, Any, Protocol, Self

from sqlalchemy import ColumnElement, and_, func, insert, or_, select, update

from parlance.errors import ParlanceError
from parlance.observe.logging import get_logger
from parlance.storage.tables import outbox, outbox_attempts, webhooks
from parlance.storage.webhooks import signature

if TYPE_CHECKING:
    from parlance.storage.outbox import Outbox

__all__ = ["Answer", "Delivery", "Sender"]

EXCERPT_CHARS = 500
LONGEST_RETRY_AFTER_S = 86_400.0
IDLE_S = 1.0
"""How often messages of other processes, and retries, are looked for."""
OLDEST_LOOKED_AT = 1000


class Answer(Protocol):
    """What a sender gives back; ``parlance.http.client.Response`` is one."""

    @property
    def status(self) -> int: ...

    @property
    def headers(self) -> Mapping[str, str]: ...

    @property
    def body(self) -> bytes: ...


class Sender(Protocol):
    """What can send a request; ``parlance.http.client.HttpClient`` is one."""

    async def request(
        self,
        method: str,
        url: str,
        *,
        headers: Mapping[str, str] | None = None,
        content: bytes = b"",
        timeout_s: float | None = None,
        cut: bool = False,
    ) -> Answer: ...


@dataclass(frozen=True, slots=True)
class _Claimed:
    id: str
    payload: bytes
    attempts: int
    tries_left: int
    endpoint: str
    """The webhook's name, or the URL: what fairness counts by."""
    webhook: str | None
    url: str | None
    secret: str | None
    disabled: bool


@dataclass(frozen=True, slots=True)
class _Outcome:
    """What one try came to."""

    status: int | None = None
    error: str | None = None
    excerpt: str | None = None
    retry_after_s: float = 0.0
    duration_ms: int = 0

    @property
    def delivered(self) -> bool:
        return self.status is not None and 200 <= self.status < 300

    @property
    def gone(self) -> bool:
        return self.status == 410


class Delivery:
    """Sends what is due. Any number of processes may run one on the same database.

    A message is claimed for as long as one try can take; if the process dies, another takes it over when the claim has
    run out. So a receiver may get a message twice, with the same ``webhook-id``, and never less than once. At most half
    of the slots serve one endpoint, so that a slow one does not stop the others.
    """

    def __init__(self, box: Outbox, sender: Sender, *, seed: int | None = None) -> None:
        self._box = box
        self._sender = sender
        self._database = box.database
        self._settings = box.settings
        self._clock = box.clock
        self._holder = secrets.token_hex(8)
        self._random = random.Random(seed)  # noqa: S311  # jitter
        self._running: dict[asyncio.Task[None], str] = {}
        self._woken = asyncio.Event()
        self._log = get_logger("outbox")
        self._count = (
            box.metrics.counter("outbox_deliveries", "Tries to deliver a message, by result.", ("result",))
            if box.metrics is not None
            else None
        )
        box.on_put(self._woken.set)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def run(self) -> bool:
        """Start sending what is due, as far as slots are free; waits a moment when nothing is.

        Returns:
            ``True``: call again at once.
        """
        self._woken.clear()
        claimed = await self._claim()
        for message in claimed:
            task = asyncio.create_task(self._deliver(message), name=f"deliver {message.id}")
            self._running[task] = message.endpoint
            task.add_done_callback(self._finished)
        if not claimed:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(IDLE_S):
                    await self._woken.wait()
        return True

    async def flush(self) -> None:
        """Send everything that is due now and wait for it: for commands and tests."""
        while True:
            claimed = await self._claim()
            if not claimed and not self._running:
                return
            async with asyncio.TaskGroup() as group:
                for message in claimed:
                    group.create_task(self._deliver(message))
            if self._running:
                await asyncio.wait(self._running)

    async def close(self, *, drain_s: float | None = None) -> None:
        """Wait for the tries that are under way, then break off; what was broken off is tried again later."""
        if self._running:
            _, late = await asyncio.wait(
                self._running, timeout=self._settings.timeout_s if drain_s is None else drain_s
            )
            for task in late:
                task.cancel()
            await asyncio.gather(*late, return_exceptions=True)

    def _finished(self, task: asyncio.Task[None]) -> None:
        self._running.pop(task, None)
        self._woken.set()
        if not task.cancelled() and (error := task.exception()) is not None:
            # The claim runs out by itself and the message is tried again.
            self._log.error("outbox_try_not_recorded", error=f"{type(error).__name__}: {error}")

    async def _claim(self) -> list[_Claimed]:
        """Take messages that are due, oldest first, fairly between endpoints."""
        slots = self._settings.concurrency
        free = slots - len(self._running)
        if free <= 0:
            return []
        now = self._clock.now()
        due = and_(
            outbox.c.status == "pending",
            outbox.c.due_at <= now,
            or_(outbox.c.claimed_until.is_(None), outbox.c.claimed_until <= now),
        )
        busy = Counter(self._running.values())
        share = max(1, slots // 2)
        full = [endpoint for endpoint, count in busy.items() if count >= share]
        async with self._database.read() as connection:  # costs no write lock when nothing is due
            if await connection.scalar(select(outbox.c.id).where(due).limit(1)) is None:
                return []
        async with self._database.transaction() as connection:
            ids = list((await connection.scalars(self._chosen(due, full, share, free))).all())
            if not ids:
                return []
            taken = (
                update(outbox)
                .where(outbox.c.id.in_(ids))
                .values(
                    claimed_by=self._holder, claimed_until=now + timedelta(seconds=2 * self._settings.timeout_s + 30)
                )
            )
            await connection.execute(taken)
            joined = outbox.outerjoin(webhooks, outbox.c.webhook == webhooks.c.name)
            columns = (*outbox.c, webhooks.c.url.label("to"), webhooks.c.secret, webhooks.c.disabled_at)
            rows = (await connection.execute(select(*columns).select_from(joined).where(outbox.c.id.in_(ids)))).all()
        return [
            _Claimed(
                id=row.id,
                payload=row.payload.encode(),
                attempts=row.attempts,
                tries_left=row.tries_left,
                endpoint=row.webhook or row.url or "",
                webhook=row.webhook,
                url=row.to if row.webhook is not None else row.url,
                secret=row.secret,
                disabled=row.disabled_at is not None,
            )
            for row in rows
        ]

    def _chosen(self, due: ColumnElement[bool], full: list[str], share: int, free: int) -> Any:
        """Ids to claim: of the oldest that are due, at most ``share`` for one endpoint."""
        endpoint = func.coalesce(outbox.c.webhook, outbox.c.url)
        oldest = (
            select(outbox.c.id, outbox.c.due_at, endpoint.label("endpoint"))
            .where(due, endpoint.not_in(full))
            .order_by(outbox.c.due_at)
            .limit(OLDEST_LOOKED_AT)
            .subquery()
        )
        rank = func.row_number().over(partition_by=oldest.c.endpoint, order_by=oldest.c.due_at).label("rank")
        ranked = select(oldest.c.id, oldest.c.due_at, rank).subquery()
        fair = select(ranked.c.id).where(ranked.c.rank <= share).order_by(ranked.c.due_at).limit(free)
        if self._database.dialect == "sqlite":
            return fair
        return select(outbox.c.id).where(due, outbox.c.id.in_(fair)).with_for_update(skip_locked=True)

    async def _deliver(self, message: _Claimed) -> None:
        if message.url is None or message.disabled:
            reason = "the endpoint is disabled" if message.disabled else "the endpoint was removed"
            await self._record(message, _Outcome(error=reason), dead=True, attempted=False)
            return
        started = self._clock.monotonic()
        outcome = await self._try(message, message.url)
        last = message.tries_left <= 1 and not outcome.delivered
        taken = int((self._clock.monotonic() - started) * 1000)
        await self._record(message, outcome, dead=last or outcome.gone, duration_ms=taken)

    async def _try(self, message: _Claimed, url: str) -> _Outcome:
        now = self._clock.now()
        headers = {
            "content-type": "application/json",
            "webhook-id": message.id,
            "webhook-timestamp": str(int(now.timestamp())),
        }
        if message.secret is not None:
            headers["webhook-signature"] = signature(
                message.secret, message_id=message.id, timestamp=int(now.timestamp()), payload=message.payload
            )
        try:
            answer = await self._sender.request(
                "POST", url, headers=headers, content=message.payload, timeout_s=self._settings.timeout_s, cut=True
            )
        except ParlanceError as error:
            return _Outcome(error=f"{error.code}: {error.detail}"[:EXCERPT_CHARS])
        # PostgreSQL stores no NUL.
        excerpt = answer.body[: EXCERPT_CHARS * 4].decode("utf-8", "replace")[:EXCERPT_CHARS].replace("\0", "�")
        fine = 200 <= answer.status < 300
        return _Outcome(
            status=answer.status,
            error=None if fine else f"the endpoint answered {answer.status}",
            excerpt=excerpt or None,
            retry_after_s=_retry_after(answer.headers.get("retry-after"), now),
        )

    async def _record(
        self, message: _Claimed, outcome: _Outcome, *, dead: bool, attempted: bool = True, duration_ms: int = 0
    ) -> None:
        now = self._clock.now()
        values: dict[str, Any] = {"claimed_by": None, "claimed_until": None, "last_error": outcome.error}
        if attempted:
            values |= {"attempts": outbox.c.attempts + 1, "tries_left": outbox.c.tries_left - 1}
        if outcome.delivered or dead:
            values |= {"status": "delivered" if outcome.delivered else "dead", "settled_at": now}
        else:
            values["due_at"] = now + timedelta(seconds=self._wait_s(message, outcome))
        changed = update(outbox).where(outbox.c.id == message.id, outbox.c.status == "pending")
        if not outcome.delivered:  # a failure must not undo what another process did after our claim ran out
            changed = changed.where(outbox.c.claimed_by == self._holder)
        async with self._database.transaction() as connection:
            if attempted:
                await connection.execute(
                    insert(outbox_attempts).values(
                        message_id=message.id,
                        number=message.attempts + 1,
                        at=now,
                        status=outcome.status,
                        duration_ms=duration_ms,
                        error=outcome.error,
                        response_excerpt=outcome.excerpt,
                    )
                )
            await connection.execute(changed.values(values))
            if outcome.gone and message.webhook is not None:
                off = {"disabled_at": now, "disabled_reason": "the endpoint answered 410 Gone"}
                await connection.execute(update(webhooks).where(webhooks.c.name == message.webhook).values(off))
        result = "delivered" if outcome.delivered else "dead" if dead else "retry"
        if self._count is not None:
            self._count.labels(result).inc()
        if not outcome.delivered:
            self._log.warning("outbox_not_delivered", message=message.id, webhook=message.webhook, result=result)

    def _wait_s(self, message: _Claimed, outcome: _Outcome) -> float:
        """Exponential backoff with jitter of one half (so that endpoints are not met by a wave), or Retry-After."""
        longest = self._settings.longest_retry_s
        wait = min(longest, self._settings.first_retry_s * 2.0 ** min(message.attempts, 60))
        return max(wait * self._random.uniform(0.5, 1.0), min(outcome.retry_after_s, LONGEST_RETRY_AFTER_S))


def _retry_after(value: str | None, now: datetime) -> float:
    """Seconds that a Retry-After header asks for (a number or a date, RFC 9110 10.2.3); 0 for none."""
    if value is None:
        return 0.0
    if value.strip().isdecimal() and len(value.strip()) < 10:
        return float(value)
    try:
        moment = parsedate_to_datetime(value)
    except ValueError:
        return 0.0
    return max(0.0, ((moment if moment.tzinfo else moment.replace(tzinfo=UTC)) - now).total_seconds())
