"""Background jobs: rounds, back-off, one leader, graceful stop."""

from __future__ import annotations

import asyncio
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry
from sqlalchemy import update

from parlance.clock import ManualClock, SystemClock
from parlance.errors import Overloaded, PluginError, StorageError
from parlance.jobs.leader import Leader
from parlance.jobs.supervisor import JobQueue, Supervisor
from parlance.observe.metrics import Metrics
from parlance.plugins.items import Job
from parlance.storage.database import Database
from parlance.storage.locks import Lease
from parlance.storage.tables import leases


class Counting:
    """A job that counts its rounds and can be waited for."""

    def __init__(self, *results: bool | Exception) -> None:
        self.results = list(results)
        self.rounds = 0
        self.changed = asyncio.Condition()

    async def __call__(self) -> bool:
        async with self.changed:
            self.rounds += 1
            self.changed.notify_all()
        result = self.results.pop(0) if self.results else False
        if isinstance(result, Exception):
            raise result
        return result

    async def reached(self, rounds: int) -> None:
        async with asyncio.timeout(60), self.changed:
            await self.changed.wait_for(lambda: self.rounds >= rounds)


async def test_rounds_follow_at_once_while_there_is_more_and_on_waking(database: Database) -> None:
    supervisor, work = Supervisor(database), Counting(True, True, False)
    wake = supervisor.add("shop", Job("sync", work, every_s=3600, scope="every"))
    await supervisor.start()
    await work.reached(3)
    wake()
    await work.reached(4)
    assert supervisor.status()["shop.sync"] in ("waiting", "running")
    await supervisor.stop(1)
    assert supervisor.status() == {"shop.sync": "stopped"}


async def test_a_failing_job_is_tried_again_and_counted_and_harms_no_other(database: Database) -> None:
    registry = CollectorRegistry()
    supervisor = Supervisor(database, metrics=Metrics(registry, "core"))
    bad = Counting(RuntimeError("once"), ValueError("twice"), False)
    good = Counting()
    supervisor.add("shop", Job("bad", bad, every_s=3600, scope="every", backoff_s=0.01))
    supervisor.add("shop", Job("good", good, every_s=3600, scope="every"))
    await supervisor.start()
    await bad.reached(3)
    await good.reached(1)
    await supervisor.stop(1)
    labels = {"job": "shop.bad", "result": "failed"}
    assert registry.get_sample_value("parlance_core_job_rounds_total", labels) == 2


async def test_one_process_leads_and_another_takes_over_when_it_stops(database: Database) -> None:
    clock, works = ManualClock(), [Counting(), Counting()]
    supervisors = [Supervisor(database, clock=clock, lease_ttl_s=0.3) for _ in works]
    for supervisor, work in zip(supervisors, works, strict=True):
        supervisor.add("shop", Job("only", work, every_s=0.01, scope="one"))
    await supervisors[0].start()
    await works[0].reached(1)
    await supervisors[1].start()
    await works[0].reached(works[0].rounds + 3)
    assert works[1].rounds == 0
    assert supervisors[1].status() == {"shop.only": "standby"}
    await supervisors[0].stop(1)
    rounds = works[0].rounds
    await works[1].reached(2)
    assert works[0].rounds == rounds
    await supervisors[1].stop(1)


async def test_another_process_takes_over_from_one_that_was_killed(database: Database, database_settings) -> None:
    child = await asyncio.create_subprocess_exec(
        sys.executable,
        str(Path(__file__).with_name("leading_child.py")),
        database_settings.url,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        env={"PYTHONPATH": str(Path(__file__).parents[3] / "core")},
    )
    while (line := await child.stdout.readline()) != b"round\n":
        assert line, "the child ended"
    clock, work = ManualClock(datetime.now(UTC)), Counting()
    supervisor = Supervisor(database, clock=clock, lease_ttl_s=0.3)
    supervisor.add("shop", Job("only", work, every_s=0.01, scope="one"))
    await supervisor.start()
    child.kill()
    await child.communicate()
    assert work.rounds == 0
    clock.advance(31)  # the child's lease lasted 30 s
    await work.reached(1)
    await supervisor.stop(1)


async def test_a_round_is_broken_off_when_another_process_leads(database: Database) -> None:
    started, broken_off = asyncio.Event(), asyncio.Event()

    async def work() -> None:
        started.set()
        try:
            await asyncio.Event().wait()
        finally:
            broken_off.set()

    supervisor = Supervisor(database, lease_ttl_s=0.3)
    supervisor.add("shop", Job("only", work, every_s=0.01, scope="one"))
    await supervisor.start()
    async with asyncio.timeout(60):
        await started.wait()
        async with database.transaction() as connection:
            later = datetime.now(UTC) + timedelta(hours=1)
            await connection.execute(update(leases).values(holder="other", fence=99, expires_at=later))
        await broken_off.wait()
        while supervisor.status() != {"shop.only": "standby"}:
            await asyncio.sleep(0)
    await supervisor.stop(1)


class Unreachable:
    """Leases that are given once and can then not be renewed."""

    def __init__(self, *, silent: bool) -> None:
        self.silent = silent

    async def try_acquire(self, name: str, ttl_s: float) -> Lease:
        return Lease(name, "me", 1, datetime.now(UTC))

    async def renew(self, lease: Lease, ttl_s: float) -> Lease:
        if self.silent:
            await asyncio.Event().wait()
        raise StorageError("gone")

    async def release(self, lease: Lease) -> None:
        raise StorageError("gone")


@pytest.mark.parametrize("silent", [True, False])
async def test_a_leader_that_cannot_renew_its_lease_stops_leading_before_it_runs_out(silent: bool) -> None:
    lost = asyncio.Event()
    leader = Leader(Unreachable(silent=silent), clock=SystemClock(), ttl_s=0.2, on_lost=lost.set)
    running = asyncio.create_task(leader.run())
    async with asyncio.timeout(60):
        await leader.leading.wait()
        await lost.wait()
    assert not leader.leading.is_set()
    for task in asyncio.all_tasks() - {asyncio.current_task()}:
        task.cancel()
    await asyncio.gather(running, return_exceptions=True)


async def test_a_stop_lets_a_round_finish_or_breaks_it_off(database: Database) -> None:
    started, release, finished = asyncio.Event(), asyncio.Event(), []

    async def slow() -> None:
        started.set()
        await release.wait()
        finished.append(True)

    supervisor = Supervisor(database)
    supervisor.add("shop", Job("slow", slow, every_s=1, scope="every"))
    await supervisor.start()
    await started.wait()
    stopping = asyncio.create_task(supervisor.stop(10))
    release.set()
    await stopping
    assert finished == [True]
    release.clear()
    started.clear()
    await supervisor.start()
    await started.wait()
    await supervisor.stop(0.01)
    assert finished == [True]


async def test_two_jobs_of_one_name_are_a_mistake_of_the_plugin(database: Database) -> None:
    supervisor = Supervisor(database)
    supervisor.add("shop", Job("a", Counting(), every_s=1))
    with pytest.raises(PluginError, match="two jobs named 'a'"):
        supervisor.add("shop", Job("a", Counting(), every_s=1))


async def test_the_queue_runs_work_logs_failures_and_refuses_when_full_or_stopping() -> None:
    queue = JobQueue(concurrency=1, limit=2)
    await queue.start()
    done: list[int] = []

    async def work() -> None:
        done.append(1)

    async def fail() -> None:
        raise RuntimeError("broken")

    first, second = queue.submit("fail", fail), queue.submit("work", work)
    with pytest.raises(Overloaded):
        queue.submit("more", work)
    await asyncio.gather(first, second)
    assert done == [1]
    stuck = queue.submit("stuck", asyncio.Event().wait)
    await queue.stop(0.01)
    assert stuck.cancelled()
    with pytest.raises(Overloaded, match="stopping"):
        queue.submit("late", work)
