"""The event log and users in the database."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from datetime import datetime
from typing import Any, NamedTuple

from sqlalchemy import ColumnElement, and_, delete, func, or_, select, true
from sqlalchemy.ext.asyncio import AsyncConnection

from parlance.storage.upsert import upsert
from parlance_recommend.behaviour.event import Event
from parlance_recommend.behaviour.signal import Interaction
from parlance_recommend.catalogue.item import merge_fields
from parlance_recommend.tables import events, users

__all__ = [
    "Counted",
    "Erased",
    "append",
    "count_subject",
    "erase_user",
    "history",
    "interactions_since",
    "merge_users",
    "new_ids",
]

_CHUNK = 500


class Counted(NamedTuple):
    """The part of an interaction that popularity needs."""

    revision: int
    item: str
    type: str
    value: float | None
    at_ms: int


class Erased(NamedTuple):
    """How many rows of a user were deleted."""

    interactions: int
    rankings: int
    attributes: int


async def new_ids(connection: AsyncConnection, ids: Sequence[str]) -> set[str]:
    """Those of the ids that the log does not hold. Take the revision first: its lock makes the answer last."""
    known: set[str] = set()
    for start in range(0, len(ids), _CHUNK):
        known.update(await connection.scalars(select(events.c.id).where(events.c.id.in_(ids[start : start + _CHUNK]))))
    return set(ids) - known


async def append(connection: AsyncConnection, new: Sequence[Event], *, revision: int) -> None:
    """Write events that are not in the log yet."""
    rows: list[dict[str, Any]] = [
        {
            "id": event.id,
            "kind": event.kind,
            "at_ms": event.at_ms,
            "user_id": event.user,
            "session_id": event.session,
            "item_id": event.item,
            "ranking_id": event.ranking,
            "type": event.type,
            "value": event.value,
            "body": {"fields": event.fields, "items": event.items} if event.items else {"fields": event.fields},
            "revision": revision,
        }
        for event in new
    ]
    if rows:
        await connection.execute(events.insert(), rows)


async def merge_users(connection: AsyncConnection, new: Sequence[Event], *, now: datetime) -> int:
    """Bring users' attributes up to date from user events; returns how many users changed."""
    ids = sorted({event.user for event in new if event.user is not None})
    if not ids:
        return 0
    state: dict[str, tuple[dict[str, Any], dict[str, int]]] = {identity: ({}, {}) for identity in ids}
    for start in range(0, len(ids), _CHUNK):
        for row in await connection.execute(select(users).where(users.c.id.in_(ids[start : start + _CHUNK]))):
            state[row.id] = (row.fields, row.field_times)
    for event in new:
        if event.user is not None:
            state[event.user] = merge_fields(*state[event.user], event.fields, event.at_ms)
    rows = [
        {"id": identity, "fields": fields, "field_times": times, "updated_at": now}
        for identity, (fields, times) in state.items()
    ]
    await connection.execute(upsert(users, key=["id"], update=["fields", "field_times", "updated_at"]), rows)
    return len(rows)


async def history(
    connection: AsyncConnection, *, user: str | None, session: str | None, limit: int
) -> list[Interaction]:
    """The latest interactions of a user and a session, newest first; not what another user did in the session."""
    rows: dict[str, Any] = {}
    conditions: list[ColumnElement[bool]] = []
    if user is not None:
        conditions.append(events.c.user_id == user)
    if session is not None:
        own = true() if user is None else or_(events.c.user_id.is_(None), events.c.user_id == user)
        conditions.append(and_(events.c.session_id == session, own))
    for condition in conditions:
        statement = (
            select(events.c.id, events.c.item_id, events.c.type, events.c.value, events.c.at_ms)
            .where(condition, events.c.kind == "interaction")
            .order_by(events.c.at_ms.desc(), events.c.id)
            .limit(limit)
        )
        rows.update({row.id: row for row in await connection.execute(statement)})
    newest = sorted(rows.values(), key=lambda row: (-row.at_ms, row.id))[:limit]
    return [Interaction(row.item_id, row.type, int(row.at_ms), row.value) for row in newest]


async def interactions_since(connection: AsyncConnection, revision: int) -> AsyncIterator[Counted]:
    """Interactions written after a revision, in the order of their writing."""
    statement = (
        select(events.c.revision, events.c.item_id, events.c.type, events.c.value, events.c.at_ms)
        .where(events.c.revision > revision, events.c.kind == "interaction")
        .order_by(events.c.revision)
    )
    async with connection.stream(statement) as result:
        async for rows in result.partitions(5000):
            for row in rows:
                yield Counted(int(row.revision), row.item_id, row.type, row.value, int(row.at_ms))


async def count_subject(connection: AsyncConnection, user: str) -> int:
    """How many rows of any table name the user."""
    logged = select(func.count()).select_from(events).where(events.c.user_id == user)
    kept = select(func.count()).select_from(users).where(users.c.id == user)
    return int((await connection.execute(logged)).scalar_one()) + int((await connection.execute(kept)).scalar_one())


async def erase_user(connection: AsyncConnection, user: str) -> Erased:
    """Delete all about a user: attributes, events, rankings, and the anonymous part of sessions that were theirs.

    A session that a second user took part in as well keeps its anonymous events.
    """
    sessions = (
        await connection.scalars(
            select(events.c.session_id).where(events.c.user_id == user, events.c.session_id.is_not(None)).distinct()
        )
    ).all()
    shared: set[str] = set()
    for start in range(0, len(sessions), _CHUNK):
        chunk = sessions[start : start + _CHUNK]
        others = select(events.c.session_id).where(events.c.session_id.in_(chunk), events.c.user_id != user).distinct()
        shared.update(await connection.scalars(others))
    own = sorted(set(sessions) - shared)
    conditions: list[ColumnElement[bool]] = [events.c.user_id == user]
    conditions += [events.c.session_id.in_(own[start : start + _CHUNK]) for start in range(0, len(own), _CHUNK)]
    counts = {"interaction": 0, "ranking": 0}
    by_kind = select(events.c.kind, func.count()).where(or_(*conditions)).group_by(events.c.kind)
    for kind, count in await connection.execute(by_kind):
        counts[kind] = int(count)
    await connection.execute(delete(events).where(or_(*conditions)))
    kept = await connection.execute(delete(users).where(users.c.id == user))
    return Erased(counts["interaction"], counts["ranking"], max(kept.rowcount, 0) + counts.get("user", 0))
