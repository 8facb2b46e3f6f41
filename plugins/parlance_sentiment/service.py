"""What the plugin does, for handlers, commands, jobs and the demonstration alike."""

from __future__ import annotations

import asyncio
import zoneinfo
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta, tzinfo
from typing import Any, Literal, get_args

import msgspec

from parlance.engine.interface import Priority
from parlance.errors import Conflict, NotFound, ParlanceError, TooLarge, ValidationFailed
from parlance.plugins.context import PluginContext
from parlance_sentiment.alerts import Alert
from parlance_sentiment.documents import Document, Draft, DraftLimits, Labelling, check_key, make_draft
from parlance_sentiment.documents.draft import latest_believable
from parlance_sentiment.ingestion import Ingested, Ingestion, unknown_document
from parlance_sentiment.judging import TOPIC, Judging
from parlance_sentiment.measures import Measures
from parlance_sentiment.rules import ThresholdRule, rule_version
from parlance_sentiment.schemas import (
    DocumentIn,
    KeyOut,
    KeysOut,
    LineError,
    RuleOut,
    SeriesOut,
    TrendOut,
)
from parlance_sentiment.settings import SentimentSettings
from parlance_sentiment.store import alerts as alert_rows
from parlance_sentiment.store import buckets as bucket_rows
from parlance_sentiment.store import documents as document_rows
from parlance_sentiment.store import rules as rule_rows
from parlance_sentiment.store.alerts import AlertQuery
from parlance_sentiment.store.documents import DocumentQuery
from parlance_sentiment.store.turns import take_turn
from parlance_sentiment.trends import Tally, Totals, floor_time, next_time, roll_up
from parlance_sentiment.trends.rollup import BucketSize

__all__ = ["SentimentService"]

_MAX_KEYS = 20
_DEFAULT_SPAN = {"hour": timedelta(hours=48), "day": timedelta(days=30), "week": timedelta(weeks=26)}


class SentimentService:
    """The operations of the plugin. Keeps no state of its own: any number may exist over one context."""

    def __init__(self, context: PluginContext[SentimentSettings]) -> None:
        self._context = context
        self._storage = context.storage
        self.measures = Measures(context.metrics)
        self._judging = Judging(context, self.measures)
        self._ingestion = Ingestion(context, self._judging, self.measures)

    # Documents

    def draft(self, document: DocumentIn) -> Draft:
        """Check a document as it came over the wire.

        Raises:
            ValidationFailed: names the field.
        """
        return make_draft(limits=self.draft_limits(), **msgspec.structs.asdict(document))

    def draft_limits(self) -> DraftLimits:
        """What documents may be at the moment."""
        latest = latest_believable(self._context.clock.now(), self._context.settings.future_tolerance_s)
        return DraftLimits(text_chars=self._context.limits.text_chars, latest=latest)

    async def ingest(self, documents: Sequence[DocumentIn], *, charge_to: str = "") -> list[Ingested]:
        """Label and store a batch, all or nothing.

        Raises:
            TooLarge: code ``batch_too_large``.
            ValidationFailed: a document cannot be taken; ``index`` and ``field`` name it. Nothing was stored.
            Overloaded, DeadlineExceeded, ModelError, StorageError: nothing was stored.
        """
        limit = self._context.limits.batch_texts
        if len(documents) > limit:
            raise TooLarge(
                f"The request holds {len(documents):,} documents; the limit is {limit:,}.",
                hint="Send several requests, or application/x-ndjson.",
                code="batch_too_large",
                limit=limit,
            )
        if not documents:
            raise ValidationFailed("The request holds no documents.", code="empty_batch")
        drafts = await asyncio.to_thread(self._drafts, documents)
        return await self._ingestion.ingest(drafts, charge_to=charge_to)

    async def ingest_lines(
        self, lines: Iterable[tuple[int, DocumentIn]], errors: Iterable[LineError] = (), *, charge_to: str = ""
    ) -> tuple[list[Ingested], list[LineError]]:
        """Label and store what can be, in batches that are stored each by itself; the rest is reported by line.

        Lines of a batch that fails as a whole (model overloaded …) are reported too: sending them again is safe.
        """
        good, bad = await asyncio.to_thread(self._checked, list(lines))
        bad += errors
        results: list[Ingested] = []
        size = self._context.limits.batch_texts
        for start in range(0, len(good), size):
            part = good[start : start + size]
            try:
                results += await self._ingestion.ingest(
                    [draft for _, draft in part], priority=Priority.BACKGROUND, charge_to=charge_to
                )
            except ParlanceError as error:
                bad += [LineError(line=line, code=error.code, message=str(error)) for line, _ in part]
        return results, sorted(bad, key=lambda error: error.line)

    async def ingest_drafts(self, drafts: Sequence[Draft]) -> list[Ingested]:
        """Store checked documents as background work (imports, demonstration): all or nothing."""
        return await self._ingestion.ingest(drafts, priority=Priority.BACKGROUND)

    async def label(self, texts: Sequence[str]) -> list[Labelling]:
        """Label texts and store nothing.

        Raises:
            ValidationFailed: a text cannot be read; the message names its place.
        """
        drafts = self._drafts([DocumentIn(text=text) for text in texts])
        return await self._ingestion.label([draft.reading for draft in drafts])

    async def document(self, identity: str) -> Document:
        """One document.

        Raises:
            NotFound: code ``unknown_document``.
        """
        async with self._storage.read() as connection:
            found = await document_rows.find(connection, identity)
        if found is None:
            raise unknown_document(identity)
        return found

    async def known(self, ids: Sequence[str]) -> set[str]:
        """Which of some ids are stored."""
        async with self._storage.read() as connection:
            return set(await document_rows.get_many(connection, ids))

    async def documents(self, query: DocumentQuery) -> tuple[list[Document], str | None]:
        """One page of documents, newest first, and the cursor of the next."""
        async with self._storage.read() as connection:
            return await document_rows.page(connection, query)

    async def withdraw(self, identity: str) -> Document:
        """Delete a document; trends are restated and alerts judged again.

        Raises:
            NotFound: code ``unknown_document``.
        """
        return await self._ingestion.withdraw(identity)

    # Trends

    async def trends(
        self,
        keys: Sequence[str],
        *,
        bucket: str = "day",
        start: datetime | None = None,
        end: datetime | None = None,
        timezone: str = "UTC",
        fill: bool = True,
    ) -> TrendOut:
        """Counts, mean score and negative share per bucket, for each key.

        Raises:
            ValidationFailed: ``bad_key``, ``too_many_keys``, ``unknown_timezone``, ``bad_range``, ``range_too_long``.
        """
        wanted = list(dict.fromkeys(check_key(key) for key in keys)) or ["all"]
        if len(wanted) > _MAX_KEYS:
            raise ValidationFailed(
                f"{len(wanted)} keys were asked for; the limit is {_MAX_KEYS}.", code="too_many_keys", limit=_MAX_KEYS
            )
        size = _bucket_size(bucket)
        zone = _zone(timezone)
        first, last = self._whole_buckets(start, end, size, zone)
        async with self._storage.read() as connection:
            found = await bucket_rows.read(connection, wanted, start=first.astimezone(UTC), end=last.astimezone(UTC))
        series = []
        for key in wanted:
            hours = [(hour, tally) for hour, _, tally in found[key]]
            points = roll_up(hours, size=size, zone=zone, start=first, end=last, fill=fill)
            total = sum((tally for _, tally in hours), Tally())
            models = tuple(sorted({model for _, model, _ in found[key]}))
            series.append(SeriesOut(key=key, totals=Totals.of(total), models=models, points=tuple(points)))
        return TrendOut(bucket=size, timezone=timezone, start=first, end=last, series=tuple(series))

    async def keys(
        self, *, prefix: str = "", start: datetime | None = None, end: datetime | None = None, limit: int = 50
    ) -> KeysOut:
        """Keys that begin with ``prefix``, those with the most documents first; by default of the last 30 days."""
        first, last = self._whole_buckets(start, end, "hour", UTC, span=_DEFAULT_SPAN["day"])
        async with self._storage.read() as connection:
            found = await bucket_rows.busiest(connection, prefix=prefix, start=first, end=last, limit=limit)
        return KeysOut(
            start=first, end=last, keys=tuple(KeyOut(key=key, totals=Totals.of(tally)) for key, tally in found)
        )

    # Rules

    async def rules(self) -> list[RuleOut]:
        """All rules in force, by name."""
        async with self._storage.read() as connection:
            rules = await self._judging.rules(connection)
        return [self._shown(rules[name]) for name in sorted(rules)]

    async def rule(self, name: str) -> RuleOut:
        """One rule.

        Raises:
            NotFound: code ``unknown_rule``.
        """
        async with self._storage.read() as connection:
            rules = await self._judging.rules(connection)
        if name not in rules:
            raise _unknown_rule(name)
        return self._shown(rules[name])

    async def save_rule(self, rule: ThresholdRule, *, replace: bool) -> RuleOut:
        """Create a rule, or replace it, and judge it at once on what is stored.

        Raises:
            Conflict: ``rule_exists``, or ``rule_in_settings`` (it can be changed there only).
        """
        self._refuse_configured(rule.name)
        async with self._storage.transaction() as connection:
            await take_turn(connection)
            if not replace and rule.name in await self._judging.rules(connection):
                raise Conflict(
                    f"There is a rule '{rule.name}' already.",
                    hint=f"Replace it with PUT /sentiment/rules/{rule.name}.",
                    code="rule_exists",
                )
            await rule_rows.save(connection, rule, now=self._context.clock.now())
            await self._judging.drop_orphans(connection)
            if rule.enabled:
                await self._judging.judge_rule(connection, rule, reason="rule_changed")
        return self._shown(rule)

    async def remove_rule(self, name: str) -> None:
        """Delete a rule; its open alerts are resolved.

        Raises:
            NotFound: code ``unknown_rule``.
            Conflict: code ``rule_in_settings``.
        """
        self._refuse_configured(name)
        async with self._storage.transaction() as connection:
            await take_turn(connection)
            if not await rule_rows.remove(connection, name):
                raise _unknown_rule(name)
            await self._judging.drop_orphans(connection)

    async def judge(self) -> None:
        """One round of the periodic job."""
        await self._judging.round()

    # Alerts

    async def alerts(self, query: AlertQuery) -> tuple[list[Alert], str | None]:
        """One page of alerts, the latest start first, and the cursor of the next."""
        async with self._storage.read() as connection:
            return await alert_rows.page(connection, query)

    async def alert(self, identity: str) -> Alert:
        """One alert.

        Raises:
            NotFound: code ``unknown_alert``.
        """
        async with self._storage.read() as connection:
            return _found(await alert_rows.find(connection, identity), identity)

    async def acknowledge(self, identity: str, *, by: str, comment: str = "") -> Alert:
        """Note that somebody took notice. A second time changes nothing: the first one stands.

        Raises:
            NotFound: code ``unknown_alert``.
            Conflict: code ``alert_resolved``.
        """
        async with self._storage.transaction() as connection:
            await take_turn(connection)
            now = self._context.clock.now()
            changed = await alert_rows.acknowledge(connection, identity, by=by, comment=comment, now=now)
            alert = _found(await alert_rows.find(connection, identity), identity)
            if alert.state != "firing":
                raise Conflict(f"The alert {identity} is resolved already.", code="alert_resolved")
            if changed:
                await self._context.events.append(
                    connection, topic=TOPIC, kind="alert.updated", body=alert.as_body(), key=alert.key
                )
        return alert

    # Steps

    def _drafts(self, documents: Sequence[DocumentIn]) -> list[Draft]:
        drafts = []
        for index, document in enumerate(documents):
            try:
                drafts.append(self.draft(document))
            except ValidationFailed as error:
                field = error.facts.get("field", "")
                path = f"documents[{index}].{field}"
                raise ValidationFailed(
                    f"documents[{index}]: {error.detail}",
                    hint=error.hint,
                    code=error.code,
                    **error.facts | {"index": index, "errors": [{"path": path, "message": error.detail}]},
                ) from error
        return drafts

    def _checked(self, lines: Sequence[tuple[int, DocumentIn]]) -> tuple[list[tuple[int, Draft]], list[LineError]]:
        good: list[tuple[int, Draft]] = []
        bad: list[LineError] = []
        for line, document in lines:
            try:
                good.append((line, self.draft(document)))
            except ValidationFailed as error:
                bad.append(LineError(line=line, code=error.code, message=str(error)))
        return good, bad

    def _whole_buckets(
        self,
        start: datetime | None,
        end: datetime | None,
        size: BucketSize,
        zone: tzinfo,
        *,
        span: timedelta | None = None,
    ) -> tuple[datetime, datetime]:
        """The range that was asked for, widened to whole buckets."""
        until = end or self._context.clock.now()
        since = start or until - (span or _DEFAULT_SPAN[size])
        if since > until or (start is not None and since == until):
            raise ValidationFailed(
                f"'from' ({since.isoformat()}) does not lie before 'to' ({until.isoformat()}).", code="bad_range"
            )
        first, last = floor_time(since, size, zone), floor_time(until, size, zone)
        if end is None or last < until:
            last = next_time(last, size)
        return first, last

    def _shown(self, rule: ThresholdRule) -> RuleOut:
        configured = rule.name in {one.name for one in self._context.settings.rules}
        return RuleOut(origin="settings" if configured else "http", version=rule_version(rule), rule=rule)

    def _refuse_configured(self, name: str) -> None:
        if any(rule.name == name for rule in self._context.settings.rules):
            raise Conflict(
                f"The rule '{name}' comes with the server's settings.",
                hint="Change it under [[sentiment.rules]] in parlance.toml and restart, or use another name.",
                code="rule_in_settings",
            )


def _bucket_size(bucket: str) -> BucketSize:
    known: tuple[Literal["hour", "day", "week"], ...] = get_args(BucketSize)
    for size in known:
        if bucket == size:
            return size
    raise ValidationFailed(
        f"'bucket' cannot be {bucket[:40]!r}.",
        hint=f"Use one of {', '.join(known)}.",
        code="bad_bucket",
        field="bucket",
    )


def _zone(name: str) -> tzinfo:
    if name == "UTC":
        return UTC
    try:
        return zoneinfo.ZoneInfo(name)
    except (zoneinfo.ZoneInfoNotFoundError, ValueError, OSError) as error:
        raise ValidationFailed(
            f"There is no time zone {name[:80]!r} here.",
            hint="Use an IANA name such as Asia/Shanghai, Europe/London or UTC.",
            code="unknown_timezone",
            field="timezone",
        ) from error


def _found(alert: Alert | None, identity: str) -> Alert:
    if alert is None:
        facts: dict[str, Any] = {"id": identity[:200]}
        raise NotFound(f"There is no alert {identity[:200]!r}.", code="unknown_alert", **facts)
    return alert


def _unknown_rule(name: str) -> NotFound:
    facts: dict[str, Any] = {"rule": name[:200]}
    return NotFound(f"There is no rule {name[:200]!r}.", code="unknown_rule", **facts)
