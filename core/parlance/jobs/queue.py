"""One-off background work of this process that need not survive a crash."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

from parlance.errors import Overloaded
from parlance.observe.logging import get_logger

if TYPE_CHECKING:
    from parlance.observe.metrics import Metrics

__all__ = ["JobQueue"]


class JobQueue:
    """Runs what is submitted, a few at a time, in order of submission."""

    def __init__(self, *, metrics: Metrics | None = None, concurrency: int = 4, limit: int = 1000) -> None:
        self._slots = asyncio.Semaphore(concurrency)
        self._limit = limit
        self._tasks: set[asyncio.Task[None]] = set()
        self._stopping = False
        self._log = get_logger("jobs")
        self._count = (
            metrics.counter("queue_jobs", "One-off jobs, by name and result.", ("job", "result")) if metrics else None
        )

    async def start(self) -> None:
        """Accept work again after a stop."""
        self._stopping = False

    def submit(self, name: str, work: Callable[[], Awaitable[object]]) -> asyncio.Task[None]:
        """Run ``work`` in the background; an exception is logged and counted.

        Returns:
            The task, for whoever wants to wait for it or cancel it; it never raises the work's exception.

        Raises:
            Overloaded: too much is waiting, or the server is stopping.
        """
        if self._stopping or len(self._tasks) >= self._limit:
            why = "the server is stopping" if self._stopping else f"{self._limit} are waiting"
            raise Overloaded(f"The background job '{name}' was not accepted: {why}.", retry_after_s=5.0)
        task = asyncio.create_task(self._run(name, work), name=f"job {name}")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    async def stop(self, drain_s: float = 5.0) -> None:
        """Refuse new work, let the rest finish for ``drain_s``, then cancel it."""
        self._stopping = True
        if self._tasks:
            _, late = await asyncio.wait(self._tasks, timeout=drain_s)
            for task in late:
                task.cancel()
            await asyncio.gather(*late, return_exceptions=True)

    async def _run(self, name: str, work: Callable[[], Awaitable[object]]) -> None:
        async with self._slots:
            result = "cancelled"
            try:
                await work()
                result = "done"
            except Exception as error:  # noqa: BLE001  # one job's failure must not reach anybody else
                result = "failed"
                self._log.error("job_failed", job=name, error=f"{type(error).__name__}: {error}")
            finally:
                if self._count is not None:
                    self._count.labels(name, result).inc()
