"""The event log: in the caller's transaction, nothing skipped, nothing twice."""

from __future__ import annotations

import asyncio

import pytest

from parlance.clock import ManualClock
from parlance.storage.database import Database
from parlance.storage.events import CursorTooOld, EventLog


async def add(database: Database, log: EventLog, topic: str, *kinds: str) -> list[int]:
    async with database.transaction() as connection:
        return [await log.append(connection, topic=topic, kind=kind, body={"文": kind}) for kind in kinds]


async def take(log: EventLog, count: int, *, topic: str = "a", after: int = 0) -> list[int]:
    found = []
    async for event in log.follow(topic=topic, after=after):
        found.append(event.id)
        if len(found) == count:
            break
    return found


async def test_events_are_read_by_topic_and_cursor(database: Database) -> None:
    log = EventLog(database)
    ids = await add(database, log, "a", "one", "two", "three")
    await add(database, log, "b", "other")
    assert [e.kind for e in await log.read(topic="a")] == ["one", "two", "three"]
    assert [e.id for e in await log.read(topic="a", after=ids[0], limit=1)] == [ids[1]]
    assert (await log.read(topic="a"))[0].body == {"文": "one"}
    assert await log.last_id(topic="a") == ids[2]
    assert await log.last_id(topic="none") == 0


async def test_a_rolled_back_event_is_never_seen(database: Database) -> None:
    log = EventLog(database)
    with pytest.raises(KeyError):
        async with database.transaction() as connection:
            await log.append(connection, topic="a", kind="k", body={})
            raise KeyError
    assert await log.read(topic="a") == []


async def test_a_follower_gets_old_and_new_events_at_once_in_process(database: Database) -> None:
    log = EventLog(database, poll_s=60.0)
    first = await add(database, log, "a", "one")
    follower = asyncio.create_task(take(log, 3))
    second = await add(database, log, "a", "two", "three")
    async with asyncio.timeout(10):
        assert await follower == first + second


async def test_a_follower_gets_events_of_another_process(database: Database, database_settings) -> None:
    log = EventLog(database, poll_s=0.02)
    other = Database.open(database_settings)
    follower = asyncio.create_task(take(log, 1))
    ids = await add(other, EventLog(other), "a", "one")
    async with asyncio.timeout(10):
        assert await follower == ids
    await other.close()


async def test_concurrent_writers_never_make_a_reader_skip_an_event(database: Database, database_settings) -> None:
    """On PostgreSQL ids are given before the commit, so a plain reader would skip a late one."""
    others = [Database.open(database_settings) for _ in range(3)]
    log = EventLog(database, poll_s=0.001)
    follower = asyncio.create_task(take(log, 90))

    async def write(one: Database) -> list[int]:
        own = EventLog(one)
        return [n for _ in range(10) for n in await add(one, own, "a", "x", "y", "z")]

    written = await asyncio.gather(*(write(one) for one in others))
    async with asyncio.timeout(30):
        assert await follower == sorted(n for ids in written for n in ids)
    for one in others:
        await one.close()


async def test_a_cursor_before_pruned_events_is_told_so(database: Database) -> None:
    clock = ManualClock()
    log = EventLog(database, clock=clock)
    ids = await add(database, log, "a", "one", "two")
    clock.advance(100)
    ids += await add(database, log, "a", "three", "four")
    assert await log.prune(topic="a", before=clock.now()) == 2
    with pytest.raises(CursorTooOld) as caught:
        await log.read(topic="a", after=ids[0])
    assert caught.value.code == "cursor_too_old"
    assert caught.value.facts["oldest_cursor"] == ids[1]
    assert [e.id for e in await log.read(topic="a", after=ids[1])] == ids[2:]
    assert await log.prune(topic="a", keep=1) == 1
    assert await log.prune(topic="a", keep=0) == 1
    assert await log.last_id(topic="a") == ids[3]
    assert (await add(database, log, "a", "five"))[0] > ids[3]


async def test_events_older_than_is_kept_are_deleted_in_every_topic(database: Database) -> None:
    clock = ManualClock()
    log = EventLog(database, clock=clock, keep_days=7)
    await add(database, log, "a", "old")
    await add(database, log, "b", "old", "old")
    clock.advance(8 * 86400)
    young = await add(database, log, "a", "young")
    assert await log.expire() == 3
    assert [event.id for event in await log.read(topic="a", after=young[0] - 1)] == young
    assert await log.expire() == 0
