"""Background jobs: rounds, back-off, one leader, graceful stop."""

from __future__ import annotations

import asyncio

import pytest
from prometheus_client import CollectorRegistry

from parlance.errors import Overloaded, PluginError
from parlance.jobs.supervisor import JobQueue, Supervisor
from parlance.observe.metrics import Metrics
from parlance.plugins.items import Job
from parlance.storage.database import Database


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
        async with asyncio.timeout(10), self.changed:
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


async def test_one_process_leads_and_another_takes_over_when_it_stops_or_dies(database: Database) -> None:
    works = [Counting() for _ in range(3)]
    supervisors = [Supervisor(database, lease_ttl_s=0.3) for _ in works]
    for supervisor, work in zip(supervisors, works, strict=True):
        supervisor.add("shop", Job("only", work, every_s=0.01, scope="one"))
    await supervisors[0].start()
    await works[0].reached(1)
    await supervisors[1].start()
    assert works[1].rounds == 0
    assert supervisors[1].status() == {"shop.only": "standby"}
    await supervisors[0].stop(1)
    await works[1].reached(1)
    rounds = works[0].rounds
    await supervisors[2].start()
    for task in (supervisors[1]._leading, supervisors[1]._jobs["shop.only"].loop):
        task.cancel()
    await works[2].reached(2)
    assert works[0].rounds == rounds
    for supervisor in supervisors:
        await supervisor.stop(1)


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
