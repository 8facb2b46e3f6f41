"""Runs plugins' background jobs: rounds in a loop, back-off after failures, one leader where a job must run once."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import TYPE_CHECKING, Literal, Protocol

from parlance.clock import Clock, SystemClock
from parlance.errors import PluginError
from parlance.jobs.leader import Leader
from parlance.jobs.queue import JobQueue
from parlance.observe.logging import get_logger
from parlance.storage.database import Database
from parlance.storage.locks import Leases

if TYPE_CHECKING:
    from parlance.observe.metrics import Metrics

__all__ = ["JobLike", "JobQueue", "Supervisor"]


class JobLike(Protocol):
    """What is run; ``parlance.plugins.items.Job`` is one and describes the fields."""

    @property
    def name(self) -> str: ...
    @property
    def run(self) -> Callable[[], Awaitable[bool | None]]: ...
    @property
    def every_s(self) -> float: ...
    @property
    def scope(self) -> Literal["one", "every"]: ...
    @property
    def backoff_s(self) -> float: ...
    @property
    def longest_backoff_s(self) -> float: ...


class _Running:
    """One job and what it is doing."""

    def __init__(self, owner: str, job: JobLike) -> None:
        self.label = f"{owner}.{job.name}"
        self.job = job
        self.woken = asyncio.Event()
        self.loop: asyncio.Task[None] | None = None
        self.round: asyncio.Future[bool | None] | None = None


class Supervisor:
    """All background jobs of one process."""

    def __init__(
        self,
        database: Database,
        *,
        clock: Clock | None = None,
        metrics: Metrics | None = None,
        lease_ttl_s: float = 30.0,
    ) -> None:
        clock = clock or SystemClock()
        self._clock = clock
        self._jobs: dict[str, _Running] = {}
        self._leader = Leader(Leases(database, clock=clock), clock=clock, ttl_s=lease_ttl_s, on_lost=self._lost)
        self._leading: asyncio.Task[None] | None = None
        self._stopping = asyncio.Event()
        self._started = False
        self._log = get_logger("jobs")
        self._count = (
            metrics.counter("job_rounds", "Rounds of jobs, by result.", ("job", "result")) if metrics else None
        )
        self._seconds = metrics.histogram("job_round_seconds", "Duration of a round.", ("job",)) if metrics else None

    def add(self, owner: str, job: JobLike) -> Callable[[], None]:
        """Take a job on; it starts with :meth:`start`, or at once after that.

        Returns:
            A function that begins the next round at once instead of after ``every_s``.

        Raises:
            PluginError: the owner has a job of this name already.
        """
        running = _Running(owner, job)
        if running.label in self._jobs:
            raise PluginError(f"The plugin '{owner}' has two jobs named '{job.name}'.", plugin=owner)
        self._jobs[running.label] = running
        if self._started:
            self._launch(running)
        return running.woken.set

    async def start(self) -> None:
        """Start all jobs."""
        self._started = True
        self._stopping.clear()
        for running in self._jobs.values():
            self._launch(running)

    async def stop(self, drain_s: float = 15.0) -> None:
        """Begin no further round, let the running ones finish for ``drain_s``, cancel the rest, stop leading."""
        self._started = False
        self._stopping.set()
        for running in self._jobs.values():
            running.woken.set()
        loops = [running.loop for running in self._jobs.values() if running.loop is not None]
        if loops:
            _, late = await asyncio.wait(loops, timeout=drain_s)
            for loop in late:
                loop.cancel()
            await asyncio.gather(*late, return_exceptions=True)
        if self._leading is not None:
            self._leading.cancel()
            await asyncio.gather(self._leading, return_exceptions=True)
            self._leading = None

    def status(self) -> dict[str, str]:
        """Each job by ``owner.name``: ``running``, ``waiting`` (for its next round), ``standby`` (another leads) or
        ``stopped``."""
        return {label: self._state(running) for label, running in self._jobs.items()}

    def _state(self, running: _Running) -> str:
        if running.loop is None or running.loop.done():
            return "stopped"
        if running.round is not None:
            return "running"
        return "standby" if running.job.scope == "one" and not self._leader.leading.is_set() else "waiting"

    def _launch(self, running: _Running) -> None:
        if running.job.scope == "one" and self._leading is None:
            self._leading = asyncio.create_task(self._leader.run(), name="leader")
        running.loop = asyncio.create_task(self._loop(running), name=running.label)

    async def _loop(self, running: _Running) -> None:
        job, failures = running.job, 0
        while not self._stopping.is_set():
            running.woken.clear()
            if job.scope == "one" and not await self._lead():
                return
            more, failed = await self._round(running)
            failures = failures + 1 if failed else 0
            if failed:
                pause = min(job.longest_backoff_s, job.backoff_s * 2.0 ** min(failures - 1, 60))
            else:
                pause = 0.0 if more else job.every_s
            if self._stopping.is_set():
                return
            if pause <= 0:
                await asyncio.sleep(0)
                continue
            with suppress(TimeoutError):
                async with asyncio.timeout(pause):
                    await running.woken.wait()

    async def _lead(self) -> bool:
        """Wait until this process leads; ``False`` when it is told to stop first."""
        waits = [asyncio.create_task(self._leader.leading.wait()), asyncio.create_task(self._stopping.wait())]
        try:
            await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for wait in waits:
                wait.cancel()
        return not self._stopping.is_set()

    async def _round(self, running: _Running) -> tuple[bool, bool]:
        """One round; says whether there is more to do, and whether it failed."""
        started = self._clock.monotonic()
        result, more = "cancelled", False
        round_ = asyncio.ensure_future(running.job.run())
        running.round = round_
        try:
            await asyncio.wait([round_])
            if not round_.cancelled():
                more = bool(round_.result())
                result = "done"
        except asyncio.CancelledError:
            round_.cancel()
            await asyncio.gather(round_, return_exceptions=True)
            raise
        except Exception as error:  # noqa: BLE001  # a job's failure must not end its loop, nor another's
            result = "failed"
            self._log.error("job_round_failed", job=running.label, error=f"{type(error).__name__}: {error}")
        finally:
            running.round = None
            if self._count is not None:
                self._count.labels(running.label, result).inc()
            if self._seconds is not None:
                self._seconds.labels(running.label).observe(self._clock.monotonic() - started)
        return more, result == "failed"

    def _lost(self) -> None:
        """The lease went to another process: break off what only the leader may do."""
        for running in self._jobs.values():
            if running.job.scope == "one" and running.round is not None:
                running.round.cancel()
