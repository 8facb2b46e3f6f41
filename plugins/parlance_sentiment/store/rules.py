"""Rows of the rules that were created over HTTP."""

from __future__ import annotations

from datetime import datetime

import msgspec
from sqlalchemy import delete, select
from sqlalchemy.ext.asyncio import AsyncConnection

from parlance.storage.upsert import upsert
from parlance_sentiment.rules import ThresholdRule
from parlance_sentiment.tables import rules

__all__ = ["load", "remove", "save"]


async def load(connection: AsyncConnection) -> list[ThresholdRule]:
    """All stored rules, by name."""
    specs = (await connection.execute(select(rules.c.spec).order_by(rules.c.name))).scalars()
    return [msgspec.convert(spec, ThresholdRule) for spec in specs]


async def save(connection: AsyncConnection, rule: ThresholdRule, *, now: datetime) -> None:
    """Create a rule or replace the one of the same name."""
    row = {"name": rule.name, "spec": msgspec.to_builtins(rule), "created_at": now, "updated_at": now}
    await connection.execute(upsert(rules, [row], key=["name"], update=["spec", "updated_at"]))


async def remove(connection: AsyncConnection, name: str) -> bool:
    """Delete a rule; says whether there was one."""
    return bool((await connection.execute(delete(rules).where(rules.c.name == name))).rowcount)
