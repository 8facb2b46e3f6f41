"""Rules judged on what is stored, inside the caller's transaction: alerts are raised and resolved with their outbox
messages and events, or nothing is."""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime

from sqlalchemy.ext.asyncio import AsyncConnection

from parlance.plugins.context import PluginContext
from parlance_sentiment.alerts import Alert, alert_message, evidence_of, fingerprint_of
from parlance_sentiment.alerts.alert import Reason, Resolution
from parlance_sentiment.documents import Document
from parlance_sentiment.measures import Measures
from parlance_sentiment.rules import Observation, ThresholdRule, Verdict, judge, rule_version
from parlance_sentiment.settings import SentimentSettings
from parlance_sentiment.store import alerts as alert_rows
from parlance_sentiment.store import rules as rule_rows
from parlance_sentiment.store import windows
from parlance_sentiment.store.turns import take_turn

__all__ = ["TOPIC", "Judging"]

TOPIC = "sentiment.alerts"


class Judging:
    """Turns observations into alerts. A rule of the settings hides a stored one of the same name."""

    def __init__(self, context: PluginContext[SentimentSettings], measures: Measures) -> None:
        self._context = context
        self._measures = measures

    async def rules(self, connection: AsyncConnection) -> dict[str, ThresholdRule]:
        """All rules in force by name, those of the settings first."""
        configured = {rule.name: rule for rule in self._context.settings.rules}
        stored = {rule.name: rule for rule in await rule_rows.load(connection)}
        return configured | {name: rule for name, rule in stored.items() if name not in configured}

    async def after_change(
        self, connection: AsyncConnection, *, came: Sequence[Document], went: Sequence[Document]
    ) -> None:
        """Judge the keys of documents that came, were corrected (both) or withdrawn (``went``)."""
        keys = {key for document in (*came, *went) for key in document.keys}
        if not keys:
            return
        reason: Reason = "restated" if went else "recovered"
        for rule in (await self.rules(connection)).values():
            watched = sorted(key for key in keys if rule.watches(key))
            if rule.enabled and watched:
                instants = await self._instants(connection, rule, watched, came)
                await self._judge(connection, rule, instants, reason=reason)

    async def judge_rule(self, connection: AsyncConnection, rule: ThresholdRule, *, reason: Reason) -> None:
        """Judge one rule on everything that is in its window now, and on its open alerts."""
        now = self._context.clock.now()
        seen = await windows.observe(connection, None, start=now - rule.window_length, end=now)
        firing = [alert.key for alert in await alert_rows.open_alerts(connection) if alert.rule == rule.name]
        watched = sorted({key for key in (*seen, *firing) if rule.watches(key)})
        await self._judge(connection, rule, await self._instants(connection, rule, watched, []), reason=reason)

    async def round(self) -> None:
        """Judge all rules on the clock, so that alerts resolve when the news stops, and end those without a rule.

        Looks first without holding up writers, and writes only where something changes.
        """
        if await self._anything_due():
            async with self._context.storage.transaction() as connection:
                await take_turn(connection)
                await self.drop_orphans(connection)
                for rule in (await self.rules(connection)).values():
                    if rule.enabled and rule.basis == "clock":
                        await self.judge_rule(connection, rule, reason="recovered")
        async with self._context.storage.read() as connection:
            self._measures.firing.set(await alert_rows.count_open(connection))

    async def drop_orphans(self, connection: AsyncConnection) -> None:
        """Resolve open alerts whose rule is gone, is switched off, or no longer watches their key."""
        rules = await self.rules(connection)
        now = self._context.clock.now()
        for alert in await alert_rows.open_alerts(connection):
            rule = rules.get(alert.rule)
            if rule is None or not rule.enabled:
                await self._resolve(connection, alert, at=now, resolution=Resolution(reason="rule_removed"))
            elif not rule.watches(alert.key):
                await self._resolve(connection, alert, at=now, resolution=Resolution(reason="rule_changed"))

    async def _anything_due(self) -> bool:
        now = self._context.clock.now()
        async with self._context.storage.read() as connection:
            rules = await self.rules(connection)
            firing = {(alert.rule, alert.key) for alert in await alert_rows.open_alerts(connection)}
            live = {name for name, rule in rules.items() if rule.enabled}
            if any(rule not in live or not rules[rule].watches(key) for rule, key in firing):
                return True
            for rule in rules.values():
                if not rule.enabled or rule.basis != "clock":
                    continue
                seen = await windows.observe(connection, None, start=now - rule.window_length, end=now)
                for key in {*seen, *(key for name, key in firing if name == rule.name)}:
                    if not rule.watches(key):
                        continue
                    found = seen.get(key) or Observation(key=key, start=now - rule.window_length, end=now)
                    if judge(rule, found, firing=(rule.name, key) in firing) is not Verdict.KEEP:
                        return True
        return False

    async def _instants(
        self, connection: AsyncConnection, rule: ThresholdRule, keys: Sequence[str], came: Iterable[Document]
    ) -> dict[str, list[datetime]]:
        """When to judge each key: now, or on event time at each new document and at the key's newest one."""
        if rule.basis == "clock":
            now = self._context.clock.now()
            return {key: [now] for key in keys}
        moments: dict[str, set[datetime]] = {key: set() for key in keys}
        for document in came:
            for key in document.keys:
                if key in moments:
                    moments[key].add(document.published_at)
        for key, moment in (await windows.newest(connection, keys)).items():
            moments[key].add(moment)
        now = self._context.clock.now()
        return {key: sorted(found) or [now] for key, found in moments.items()}

    async def _judge(
        self,
        connection: AsyncConnection,
        rule: ThresholdRule,
        instants: Mapping[str, Sequence[datetime]],
        *,
        reason: Reason,
    ) -> None:
        """Walk through the instants in order of time; those before the end of a key's newest alert are past."""
        newest = await alert_rows.latest(connection, rule.name, list(instants))
        for at in sorted({moment for moments in instants.values() for moment in moments}):
            keys = [
                key for key, moments in instants.items() if at in moments and not _is_past(newest.get(key), at, rule)
            ]
            start = at - rule.window_length
            seen = await windows.observe(connection, keys, start=start, end=at) if keys else {}
            for key in keys:
                observation = seen.get(key) or Observation(key=key, start=start, end=at)
                alert = newest.get(key)
                changed = await self._settle(connection, rule, observation, alert, reason=reason)
                if changed is not None:
                    newest[key] = changed

    async def _settle(
        self,
        connection: AsyncConnection,
        rule: ThresholdRule,
        seen: Observation,
        alert: Alert | None,
        *,
        reason: Reason,
    ) -> Alert | None:
        firing = alert is not None and alert.state == "firing"
        verdict = judge(rule, seen, firing=firing)
        if verdict is Verdict.FIRE:
            return await self._fire(connection, rule, seen)
        if verdict is Verdict.RESOLVE and alert is not None:
            resolution = Resolution(
                reason=reason,
                documents=seen.documents,
                negative=seen.negative,
                negative_share=round(seen.negative_share, 4),
            )
            return await self._resolve(connection, alert, at=seen.end, resolution=resolution)
        return None

    async def _fire(self, connection: AsyncConnection, rule: ThresholdRule, seen: Observation) -> Alert | None:
        driving = await windows.driving(connection, seen, limit=self._context.settings.driving_documents)
        models = await windows.models_of(connection, seen)
        alert = Alert(
            id=uuid.uuid4().hex,
            fingerprint=fingerprint_of(rule.name, seen.key),
            rule=rule.name,
            rule_version=rule_version(rule),
            kind="threshold.v1",
            key=seen.key,
            severity=rule.severity,
            state="firing",
            starts_at=seen.end,
            raised_at=self._context.clock.now(),
            evidence=evidence_of(rule, seen, driving=driving, models=models),
        )
        if not await alert_rows.raise_(connection, alert):
            return None
        await self._announce(connection, alert, "firing")
        return alert

    async def _resolve(
        self, connection: AsyncConnection, alert: Alert, *, at: datetime, resolution: Resolution
    ) -> Alert | None:
        now = self._context.clock.now()
        ended = await alert_rows.resolve(connection, alert.id, ends_at=at, now=now, resolution=resolution)
        if ended is not None:
            await self._announce(connection, ended, "resolved")
        return ended

    async def _announce(self, connection: AsyncConnection, alert: Alert, state: str) -> None:
        """The message to the outside and the event for followers, in the transaction of the change itself."""
        body = alert_message(alert, external_url=self._context.settings.external_url)
        await self._context.outbox.put(connection, kind=f"sentiment.alert.{state}", body=body)
        await self._context.events.append(
            connection, topic=TOPIC, kind=f"alert.{state}", body=alert.as_body(), key=alert.key
        )
        self._context.storage.after_commit(
            connection, lambda: self._measures.alerts.labels(rule=alert.rule, transition=state).inc()
        )


def _is_past(alert: Alert | None, at: datetime, rule: ThresholdRule) -> bool:
    """Whether an instant of event time lies within or before an alert that is known already."""
    if alert is None or rule.basis == "clock":
        return False
    return at < (alert.ends_at or alert.starts_at)
