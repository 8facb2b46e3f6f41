"""Rows of alerts."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from datetime import datetime
from typing import Any

import msgspec
from sqlalchemy import ColumnElement, func, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from parlance.storage.upsert import insert_or_ignore
from parlance_sentiment.alerts import Alert, Evidence
from parlance_sentiment.alerts.alert import Resolution
from parlance_sentiment.store.paging import before, encode_cursor
from parlance_sentiment.tables import alerts

__all__ = ["AlertQuery", "acknowledge", "count_open", "find", "latest", "open_alerts", "page", "raise_", "resolve"]

_CHUNK = 400


class AlertQuery(msgspec.Struct, frozen=True, kw_only=True):
    """Filters of a list; ``start`` is included, ``end`` is not (both on ``starts_at``)."""

    state: str | None = None
    rule: str | None = None
    key: str | None = None
    acknowledged: bool | None = None
    start: datetime | None = None
    end: datetime | None = None
    cursor: str | None = None
    limit: int = 50


async def raise_(connection: AsyncConnection, alert: Alert) -> bool:
    """Store a new firing alert; ``False`` when one of the same fingerprint fires already."""
    row = {
        **{name: getattr(alert, name) for name in alert.__struct_fields__ if name not in ("evidence", "resolution")},
        "open_fingerprint": alert.fingerprint,
        "evidence": msgspec.to_builtins(alert.evidence),
        "resolution": None,
    }
    result = await connection.execute(insert_or_ignore(alerts, [row], key=["open_fingerprint"]).returning(alerts.c.id))
    return result.scalar_one_or_none() is not None


async def resolve(
    connection: AsyncConnection, identity: str, *, ends_at: datetime, now: datetime, resolution: Resolution
) -> Alert | None:
    """End a firing alert and give it back; ``None`` when it had ended already."""
    statement = (
        update(alerts)
        .where(alerts.c.id == identity, alerts.c.state == "firing")
        .values(
            state="resolved",
            open_fingerprint=None,
            ends_at=ends_at,
            resolved_at=now,
            resolution=msgspec.to_builtins(resolution),
        )
    )
    if not (await connection.execute(statement)).rowcount:
        return None
    return await find(connection, identity)


async def acknowledge(connection: AsyncConnection, identity: str, *, by: str, comment: str, now: datetime) -> bool:
    """Note who took notice; ``False`` when the alert does not fire or was acknowledged before."""
    statement = (
        update(alerts)
        .where(alerts.c.id == identity, alerts.c.state == "firing", alerts.c.acknowledged_at.is_(None))
        .values(acknowledged_at=now, acknowledged_by=by, comment=comment)
    )
    return bool((await connection.execute(statement)).rowcount)


async def find(connection: AsyncConnection, identity: str) -> Alert | None:
    """One alert."""
    row = (await connection.execute(select(alerts).where(alerts.c.id == identity))).mappings().first()
    return _alert(row) if row is not None else None


async def open_alerts(connection: AsyncConnection) -> list[Alert]:
    """All that fire."""
    query = select(alerts).where(alerts.c.state == "firing").order_by(alerts.c.id)
    return [_alert(row) for row in (await connection.execute(query)).mappings()]


async def latest(connection: AsyncConnection, rule: str, keys: Collection[str]) -> dict[str, Alert]:
    """The newest alert of a rule for each key that ever had one."""
    found: dict[str, Alert] = {}
    ordered = sorted(keys)
    for first in range(0, len(ordered), _CHUNK):
        chosen = alerts.c.key.in_(ordered[first : first + _CHUNK])
        newest = (
            select(alerts.c.key, func.max(alerts.c.starts_at).label("starts_at"))
            .where(alerts.c.rule == rule, chosen)
            .group_by(alerts.c.key)
            .subquery()
        )
        query = (
            select(alerts)
            .join(newest, (alerts.c.key == newest.c.key) & (alerts.c.starts_at == newest.c.starts_at))
            .where(alerts.c.rule == rule)
            .order_by(alerts.c.raised_at, alerts.c.state.desc())
        )
        for row in (await connection.execute(query)).mappings():
            alert = _alert(row)
            if alert.state == "firing" or alert.key not in found or found[alert.key].state != "firing":
                found[alert.key] = alert
    return found


async def count_open(connection: AsyncConnection) -> int:
    """How many fire."""
    return int(await connection.scalar(select(func.count()).where(alerts.c.state == "firing")) or 0)


async def page(connection: AsyncConnection, query: AlertQuery) -> tuple[list[Alert], str | None]:
    """One page, the latest start first, and the cursor of the next one."""
    conditions: list[ColumnElement[bool]] = [
        alerts.c[name] == value for name in ("state", "rule", "key") if (value := getattr(query, name)) is not None
    ]
    if query.acknowledged is not None:
        taken = alerts.c.acknowledged_at
        conditions.append(taken.is_not(None) if query.acknowledged else taken.is_(None))
    if query.start:
        conditions.append(alerts.c.starts_at >= query.start)
    if query.end:
        conditions.append(alerts.c.starts_at < query.end)
    if query.cursor:
        conditions.append(before(query.cursor, alerts.c.starts_at, alerts.c.id))
    statement = (
        select(alerts).where(*conditions).order_by(alerts.c.starts_at.desc(), alerts.c.id.desc()).limit(query.limit + 1)
    )
    rows = [_alert(row) for row in (await connection.execute(statement)).mappings()]
    shown = rows[: query.limit]
    more = encode_cursor(shown[-1].starts_at, shown[-1].id) if len(rows) > query.limit else None
    return shown, more


def _alert(row: Mapping[Any, Any]) -> Alert:
    plain = {name: row[name] for name in Alert.__struct_fields__ if name not in ("evidence", "resolution")}
    resolution = row["resolution"]
    return Alert(
        **plain,
        evidence=msgspec.convert(row["evidence"], Evidence),
        resolution=msgspec.convert(resolution, Resolution) if resolution is not None else None,
    )
