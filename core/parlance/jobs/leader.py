"""Which of several processes on one database runs the jobs that must run once: the holder of a lease."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress

from parlance.clock import Clock
from parlance.errors import ParlanceError
from parlance.observe.logging import get_logger
from parlance.storage.locks import Lease, LeaseLost, Leases

__all__ = ["Leader"]

LEASE = "jobs.leader"


class Leader:
    """Tries to lead, renews while leading, and says when that changes.

    A leader that dies is replaced after at most ``ttl_s`` and a third; one that stops gives the lease back. A leader
    that cannot reach the database stops leading before its lease runs out.
    """

    def __init__(self, leases: Leases, *, clock: Clock, ttl_s: float, on_lost: Callable[[], None]) -> None:
        self.leading = asyncio.Event()
        self._leases = leases
        self._clock = clock
        self._ttl_s = ttl_s
        self._on_lost = on_lost
        self._lease: Lease | None = None
        self._renewed = 0.0
        self._log = get_logger("jobs")

    async def run(self) -> None:
        """Go on until cancelled, then give the lease back."""
        turn: asyncio.Task[None] | None = None
        try:
            while True:
                turn = asyncio.create_task(self.round(), name="leader round")
                _, late = await asyncio.wait([turn], timeout=self._ttl_s / 3)
                if late:
                    self._lose()  # the lease would run out before the next round could tell
                await asyncio.shield(turn)
                await asyncio.sleep(self._ttl_s / 3)
        finally:
            if turn is not None:  # a lease that is being taken just now is given back too
                await asyncio.gather(turn, return_exceptions=True)
            self._lose()
            if self._lease is not None:
                with suppress(ParlanceError):
                    await self._leases.release(self._lease)

    async def round(self) -> None:
        """Take or renew the lease once."""
        asked = self._clock.monotonic()
        try:
            if self._lease is None:
                self._lease = await self._leases.try_acquire(LEASE, self._ttl_s)
            else:
                self._lease = await self._leases.renew(self._lease, self._ttl_s)
        except LeaseLost:
            self._lease = None
        except Exception as error:  # noqa: BLE001  # whatever it is, this process must go on trying
            self._log.warning("leader_lease_failed", error=f"{type(error).__name__}: {error}")
            if asked - self._renewed > self._ttl_s / 2:
                self._lose()
            return
        if self._lease is None:
            self._lose()
            return
        self._renewed = asked
        if not self.leading.is_set():
            self._log.info("leader", fence=self._lease.fence)
            self.leading.set()

    def _lose(self) -> None:
        if self.leading.is_set():
            self.leading.clear()
            self._on_lost()
