"""Leases: a name that one process holds for a time, with a fencing number; for leader election and locks."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import Update, or_, select, update

from parlance.clock import Clock, SystemClock
from parlance.errors import Conflict, ParlanceError
from parlance.storage.database import Database
from parlance.storage.tables import leases
from parlance.storage.upsert import insert_or_ignore

__all__ = ["Lease", "LeaseLost", "LeaseTaken", "Leases"]


@dataclass(frozen=True, slots=True)
class Lease:
    """A held name. ``fence`` grows with every new holder: storage that remembers it can refuse a late one."""

    name: str
    holder: str
    fence: int
    expires_at: datetime


class LeaseTaken(Conflict):
    """Somebody else holds the name."""

    code = "lease_taken"


class LeaseLost(Conflict):
    """The lease ran out and somebody else may hold the name."""

    code = "lease_lost"


class Leases:
    """Leases of one holder (a process). Clocks of machines on one database must agree to well under a ``ttl_s``."""

    def __init__(self, database: Database, *, clock: Clock | None = None, holder: str | None = None) -> None:
        self._database = database
        self._clock: Clock = clock or SystemClock()
        self.holder = holder or secrets.token_hex(8)

    async def try_acquire(self, name: str, ttl_s: float) -> Lease | None:
        """Take a free or run-out name; ``None`` when somebody holds it (this object's own other lease counts too)."""
        now = self._clock.now()
        async with self._database.read() as connection:  # asking costs no write
            expires = await connection.scalar(select(leases.c.expires_at).where(leases.c.name == name))
        if expires is not None and expires > now:
            return None
        until = now + timedelta(seconds=ttl_s)
        async with self._database.transaction() as connection:
            empty = {"name": name, "holder": None, "fence": 0, "expires_at": now}
            await connection.execute(insert_or_ignore(leases, [empty], key=["name"]))
            taken = await connection.scalar(
                update(leases)
                .where(leases.c.name == name, or_(leases.c.holder.is_(None), leases.c.expires_at <= now))
                .values(holder=self.holder, fence=leases.c.fence + 1, expires_at=until)
                .returning(leases.c.fence)
            )
        return None if taken is None else Lease(name, self.holder, int(taken), until)

    async def renew(self, lease: Lease, ttl_s: float) -> Lease:
        """Hold a lease for another ``ttl_s`` from now.

        Raises:
            LeaseLost: it ran out and was taken, or was released.
        """
        until = self._clock.now() + timedelta(seconds=ttl_s)
        async with self._database.transaction() as connection:
            result = await connection.execute(_held(lease).values(expires_at=until))
        if not result.rowcount:
            raise LeaseLost(f"The lease '{lease.name}' was taken by somebody else.")
        return Lease(lease.name, lease.holder, lease.fence, until)

    async def release(self, lease: Lease) -> None:
        """Give a lease back; nothing happens where it was lost already."""
        async with self._database.transaction() as connection:
            await connection.execute(_held(lease).values(holder=None, expires_at=self._clock.now()))

    @asynccontextmanager
    async def hold(self, name: str, ttl_s: float = 30.0, *, wait_s: float = 0.0) -> AsyncIterator[Lease]:
        """Hold a name for the length of a block, renewing it; the block is cancelled if the lease is lost.

        Args:
            name: what to hold.
            ttl_s: after so many seconds without a renewal others may take it.
            wait_s: how long to wait for it.

        Raises:
            LeaseTaken: not free in time.
            LeaseLost: lost inside the block, which was cancelled.
        """
        lease = await self._wait_for(name, ttl_s, wait_s)
        body = asyncio.current_task()
        lost = False

        async def keep() -> None:
            nonlocal lost
            held = lease
            renewed = self._clock.monotonic()
            while True:
                await asyncio.sleep(ttl_s / 3)
                try:
                    held = await self.renew(held, ttl_s)
                    renewed = self._clock.monotonic()
                except LeaseLost:
                    break
                except ParlanceError:
                    if self._clock.monotonic() - renewed > ttl_s:
                        break
            lost = True
            if body is not None:
                body.cancel()

        keeper = asyncio.create_task(keep(), name=f"lease {name}")
        try:
            yield lease
        except asyncio.CancelledError as error:
            if lost and body is not None and body.uncancel() == 0:
                raise LeaseLost(f"The lease '{name}' was lost.") from error
            raise
        finally:
            keeper.cancel()
            await asyncio.gather(keeper, return_exceptions=True)
            with suppress(ParlanceError):
                await self.release(lease)

    async def _wait_for(self, name: str, ttl_s: float, wait_s: float) -> Lease:
        end = self._clock.monotonic() + wait_s
        while True:
            lease = await self.try_acquire(name, ttl_s)
            if lease is not None:
                return lease
            if self._clock.monotonic() >= end:
                raise LeaseTaken(f"'{name}' is held by another process.", hint="Wait until it has finished.")
            await asyncio.sleep(min(0.1, ttl_s / 10))


def _held(lease: Lease) -> Update:
    own = (leases.c.name == lease.name, leases.c.holder == lease.holder, leases.c.fence == lease.fence)
    return update(leases).where(*own)
