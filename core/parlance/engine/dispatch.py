"""From a call's texts to their values: tokenise, admit, queue, wait; and back from the workers to all who wait."""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from parlance.clock import Clock
from parlance.engine.admission import Admission, Limit
from parlance.engine.metrics import EngineMetrics
from parlance.engine.queue import WorkQueue
from parlance.engine.served import ServedModel
from parlance.engine.work import Call, Entry, Tokens
from parlance.engine.workers import Answer, Workers
from parlance.errors import DeadlineExceeded, Overloaded, Unavailable
from parlance.observe.stages import add_stage
from parlance.settings import EngineSettings
from parlance.tasks.options import CallOptions

__all__ = ["Computed", "Dispatcher"]

_JOIN_S = 10.0
Input = str | tuple[str, str]


@dataclass(frozen=True, slots=True)
class Computed:
    """One text's value as ``decode`` gives it, and what the model read of the text."""

    value: Any
    tokens: int
    truncated: bool


class Dispatcher:
    """Owns the queue and the workers. Event loop only."""

    def __init__(self, *, threads: int, settings: EngineSettings, clock: Clock, metrics: EngineMetrics) -> None:
        self.queue = WorkQueue(threads=threads)
        self._clock = clock
        self._metrics = metrics
        self._admission = Admission(self.queue, settings)
        self._workers = Workers(self.queue, deliver=self._deliver, clock=clock, metrics=metrics)
        self._tokenising = ThreadPoolExecutor(1, thread_name_prefix="parlance-tokenise")
        self._loop: asyncio.AbstractEventLoop | None = None
        self._calls: set[Call] = set()
        self._closed = False
        metrics.watch(self.queue)

    def start(self) -> None:
        """Start the workers; call it in the event loop that will use the engine."""
        self._loop = asyncio.get_running_loop()
        self._workers.start()

    async def close(self) -> None:
        """Fail what waits, let running batches finish."""
        self._closed = True
        if self._loop is None:
            return
        gone = Unavailable("The server is shutting down.", hint="Send it to another one.", code="shutting_down")
        for entry in self.queue.close():
            self._settle(Answer(entry, error=gone))
        await asyncio.to_thread(self._workers.join, _JOIN_S)
        for call in list(self._calls):
            call.fail(gone)
        self._tokenising.shutdown(wait=False, cancel_futures=True)

    async def compute(
        self, model: ServedModel, inputs: Sequence[Input], options: CallOptions, *, indices: Sequence[int]
    ) -> list[Computed]:
        """Values in the order of the inputs.

        A caller that is cancelled meanwhile leaves nothing behind but texts that others wait for too.

        Raises:
            Overloaded, DeadlineExceeded, ValidationFailed, ModelError, Unavailable.
        """
        if self._loop is None or self._closed:
            raise Unavailable("The engine is not running.", hint="Wait until /health/ready says so.")
        limit = self._admission.limit(options)
        began = self._clock.monotonic()
        self._admit(limit, options)
        started = time.perf_counter()
        tokens = await model.tokeniser.tokenise(
            inputs, overlong=options.overlong, indices=indices, thread=self._tokenising
        )
        tokenised_s = time.perf_counter() - started
        self._metrics.stage(model, "tokenise", tokenised_s)
        add_stage("tokenise", tokenised_s)
        own_s = self._own_s(model, tokens)
        self._admit(limit, options, own_s)
        if self._closed:
            raise Unavailable("The server is shutting down.", hint="Send it to another one.", code="shutting_down")
        deadline = limit.deadline(began, own_s)
        call = self._enqueue(model, inputs, tokens, options, deadline)
        await self._wait(call, deadline)
        self._metrics.stage(model, "queue", call.wait_s)
        add_stage("queue", call.wait_s)
        add_stage("run", call.run_s)
        return [Computed(value, len(one.ids), one.truncated) for value, one in zip(call.results, tokens, strict=True)]

    def _admit(self, limit: Limit, options: CallOptions, own_s: float = 0.0) -> None:
        try:
            self._admission.check(limit, options, own_s)
        except Overloaded:
            self._metrics.rejected.labels("overloaded").inc()
            raise

    def _own_s(self, model: ServedModel, tokens: Sequence[Tokens]) -> float:
        """Estimated time of the call itself: shared by the workers, but no shorter than its longest text."""
        lengths = [len(one.ids) for one in tokens]
        return max(model.cost_s(max(lengths)), model.cost_s(sum(lengths)) / self.queue.threads)

    def _enqueue(
        self,
        model: ServedModel,
        inputs: Sequence[Input],
        tokens: Sequence[Tokens],
        options: CallOptions,
        deadline: float,
    ) -> Call:
        call = Call(len(inputs), asyncio.get_running_loop())
        call.pending = len(inputs)
        fresh: list[Entry] = []
        for index, (key, one) in enumerate(zip(inputs, tokens, strict=True)):
            entry = model.in_flight.get(key)
            if entry is None:
                entry = Entry(
                    model=model,
                    key=key,
                    tokens=one,
                    priority=options.priority,
                    charge_to=options.charge_to,
                    deadline=deadline,
                )
                model.in_flight[key] = entry
                fresh.append(entry)
            else:
                self.queue.join(entry, priority=options.priority, charge_to=options.charge_to, deadline=deadline)
                self._metrics.shared.inc()
            entry.waiters.append((call, index))
            call.entries.append(entry)
        self._calls.add(call)
        self.queue.put(fresh, now=self._clock.monotonic())
        return call

    async def _wait(self, call: Call, deadline: float) -> None:
        loop = asyncio.get_running_loop()
        timer = None
        if not math.isinf(deadline):
            timer = loop.call_later(max(0.0, deadline - self._clock.monotonic()), self._expire, call)
        try:
            await call.future
        finally:
            if timer is not None:
                timer.cancel()
            self._calls.discard(call)
            if call.pending:
                self._leave(call, reason="cancelled" if call.future.cancelled() else "failed")

    def _expire(self, call: Call) -> None:
        if not call.future.done():
            self._leave(call, reason="deadline")
            call.fail(DeadlineExceeded("The deadline passed before the result was there.", hint="Allow more time."))

    def _leave(self, call: Call, *, reason: str) -> None:
        """The call waits no more: texts that nobody else waits for leave the queue."""
        for entry in set(call.entries):
            entry.waiters = [waiter for waiter in entry.waiters if waiter[0] is not call]
            if not entry.waiters and self.queue.remove(entry):
                self._forget(entry)
                self._metrics.dropped.labels(reason).inc()
        call.entries = []

    def _deliver(self, answers: list[Answer]) -> None:
        """From a worker thread into the loop."""
        loop = self._loop
        try:
            if loop is not None:
                loop.call_soon_threadsafe(self._settle_all, answers)
        except RuntimeError:
            return  # the loop is closed: nobody waits any more

    def _settle_all(self, answers: list[Answer]) -> None:
        for answer in answers:
            self._settle(answer)

    def _settle(self, answer: Answer) -> None:
        entry = answer.entry
        self._forget(entry)
        for call, index in entry.waiters:
            if answer.error is not None:
                call.fail(answer.error)
            else:
                call.wait_s = max(call.wait_s, answer.wait_s)
                call.run_s = max(call.run_s, answer.run_s)
                call.settle(index, answer.value)
        entry.waiters = []

    @staticmethod
    def _forget(entry: Entry) -> None:
        if entry.model.in_flight.get(entry.key) is entry:
            del entry.model.in_flight[entry.key]
