"""Leases: one holder at a time, takeover when it dies, fencing numbers that grow."""

from __future__ import annotations

import asyncio

import pytest

from parlance.clock import ManualClock
from parlance.storage.database import Database
from parlance.storage.locks import LeaseLost, Leases, LeaseTaken


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
    first, second = Leases(database), Leases(database)
    async with first.hold("job", 0.3) as lease:
        with pytest.raises(LeaseTaken):
            async with second.hold("job", 0.3, wait_s=0.5):
                pass
    async with second.hold("job", 0.3) as later:
        assert later.fence == lease.fence + 1


async def test_a_block_whose_lease_was_stolen_is_cancelled(database: Database) -> None:
    clock = ManualClock()
    first, thief = Leases(database, clock=clock), Leases(database, clock=clock)
    with pytest.raises(LeaseLost):
        async with asyncio.timeout(10), first.hold("job", 0.06):
            clock.advance(1)
            assert await thief.try_acquire("job", 1000) is not None
            await asyncio.Event().wait()
