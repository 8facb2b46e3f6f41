"""Leases: one holder at a time, takeover when it dies, fencing numbers that grow."""

from __future__ import annotations

import asyncio
from datetime import datetime, timedelta

import pytest
from sqlalchemy import select, update

from parlance.clock import ManualClock
from parlance.storage.database import Database
from parlance.storage.locks import LeaseLost, Leases, LeaseTaken
from parlance.storage.tables import leases


async def test_a_name_has_one_holder_until_it_is_released_or_runs_out(database: Database) -> None:
    clock = ManualClock()
    first, second = Leases(database, clock=clock), Leases(database, clock=clock)
    lease = await first.try_acquire("job", 30)
    assert lease is not None
    assert await second.try_acquire("job", 30) is None
    clock.advance(20)
    lease = await first.renew(lease, 30)
    clock.advance(29)
    assert await second.try_acquire("job", 30) is None
    clock.advance(2)
    taken = await second.try_acquire("job", 30)
    assert taken is not None
    assert taken.fence == lease.fence + 1
    with pytest.raises(LeaseLost):
        await first.renew(lease, 30)
    await first.release(lease)
    assert await first.try_acquire("job", 30) is None
    await second.release(taken)
    assert (await first.try_acquire("job", 30)).fence == 3


async def test_of_many_that_ask_at_once_one_gets_it(database: Database) -> None:
    asking = [Leases(database).try_acquire("job", 30) for _ in range(8)]
    assert sum(lease is not None for lease in await asyncio.gather(*asking)) == 1


async def test_hold_renews_releases_and_refuses_others(database: Database) -> None:
    clock = ManualClock()
    first, second = Leases(database, clock=clock), Leases(database, clock=clock)
    async with asyncio.timeout(60), first.hold("job", 0.3) as lease:
        for _ in range(3):
            clock.advance(0.2)
            await renewed(database, clock.now() + timedelta(seconds=0.3))
        with pytest.raises(LeaseTaken):
            async with second.hold("job", 0.3):
                pass
    async with second.hold("job", 0.3) as later:
        assert later.fence == lease.fence + 1


async def test_hold_waits_for_a_name_that_becomes_free(database: Database) -> None:
    first, second = Leases(database), Leases(database)
    lease = await first.try_acquire("job", 60)
    assert lease is not None

    async def hold() -> int:
        async with second.hold("job", 60, wait_s=60) as later:
            return later.fence

    waiting = asyncio.create_task(hold())
    await asyncio.sleep(0)
    await first.release(lease)
    async with asyncio.timeout(60):
        assert await waiting == lease.fence + 1


async def test_a_block_whose_lease_was_stolen_is_cancelled(database: Database) -> None:
    with pytest.raises(LeaseLost):
        async with asyncio.timeout(60), Leases(database).hold("job", 0.06):
            async with database.transaction() as connection:
                await connection.execute(update(leases).values(holder="thief", fence=leases.c.fence + 1))
            await asyncio.Event().wait()


async def renewed(database: Database, until: datetime) -> None:
    """Wait until the lease lasts that long."""
    while True:
        async with database.read() as connection:
            if await connection.scalar(select(leases.c.expires_at)) == until:
                return
        await asyncio.sleep(0.01)
