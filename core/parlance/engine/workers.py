"""Threads that run batches: each takes what waits as soon as it is free, computes outside the interpreter lock, and
hands the answers to the event loop."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from parlance.clock import Clock
from parlance.engine.batching import padded_inputs
from parlance.engine.decode import decode
from parlance.engine.metrics import EngineMetrics
from parlance.engine.queue import WorkQueue
from parlance.engine.work import Entry
from parlance.errors import DeadlineExceeded, ModelError, ParlanceError

__all__ = ["Answer", "Workers"]


@dataclass(frozen=True, slots=True)
class Answer:
    """What became of one text: a value or an error, and its times in seconds."""

    entry: Entry
    value: Any = None
    error: ParlanceError | None = None
    wait_s: float = 0.0
    run_s: float = 0.0


class Workers:
    """As many threads as the queue counts on.

    Args:
        deliver: takes the answers of a batch; called on a worker thread, must not block.
    """

    def __init__(
        self, queue: WorkQueue, *, deliver: Callable[[list[Answer]], None], clock: Clock, metrics: EngineMetrics
    ) -> None:
        self._queue = queue
        self._deliver = deliver
        self._clock = clock
        self._metrics = metrics
        self._threads = [
            threading.Thread(target=self._work, name=f"parlance-run-{number}", daemon=True)
            for number in range(queue.threads)
        ]

    def start(self) -> None:
        """Start the threads."""
        for thread in self._threads:
            thread.start()

    def join(self, timeout_s: float) -> bool:
        """Wait for the threads after the queue was closed; false when one is still inside a model. Blocking."""
        limit = time.monotonic() + timeout_s
        for thread in self._threads:
            thread.join(max(0.0, limit - time.monotonic()))
        return not any(thread.is_alive() for thread in self._threads)

    def _work(self) -> None:
        while (batch := self._queue.take()) is not None:
            cost_s = sum(entry.cost_s for entry in batch)
            try:
                answers = self._answers(batch)
            except BaseException as error:  # a worker outlives whatever a runner raises, SystemExit too
                logging.getLogger(__name__).exception("a batch of %s failed", batch[0].model.artefact.reference)
                failure = _failure(batch[0], error)
                answers = [Answer(entry, error=failure) for entry in batch]
            self._queue.done(cost_s)
            self._deliver(answers)

    def _answers(self, batch: list[Entry]) -> list[Answer]:
        now = self._clock.monotonic()
        late = [entry for entry in batch if entry.deadline <= now]
        alive = [entry for entry in batch if entry.deadline > now]
        answers = [
            Answer(entry, error=DeadlineExceeded("The deadline passed while the text waited in the queue."))
            for entry in late
        ]
        if late:
            self._metrics.dropped.labels("deadline").inc(len(late))
        if alive:
            answers += self._run(alive, now)
        return answers

    def _run(self, batch: Sequence[Entry], now: float) -> list[Answer]:
        try:
            values, run_s = self._compute(batch)
        except BaseException as error:  # noqa: BLE001  # as above
            if len(batch) == 1:
                model = batch[0].model
                self._metrics.failed.labels(model.artefact.name, model.artefact.version).inc()
                logging.getLogger(__name__).warning("%s failed on a text: %r", model.artefact.reference, error)
                return [Answer(batch[0], error=_failure(batch[0], error))]
            # One text may have broken the whole batch: run each by itself, so that only its own callers fail.
            return [answer for entry in batch for answer in self._run([entry], now)]
        return [
            Answer(entry, value=value, wait_s=max(0.0, now - entry.put_at), run_s=run_s)
            for entry, value in zip(batch, values, strict=True)
        ]

    def _compute(self, batch: Sequence[Entry]) -> tuple[list[Any], float]:
        model = batch[0].model
        texts = [entry.tokens for entry in batch]
        started = time.perf_counter()
        inputs = padded_inputs(model.artefact, texts)
        output = model.runner.run(inputs)
        ran = time.perf_counter()
        values = decode(model.artefact, output, texts)
        decoded = time.perf_counter()
        tokens = sum(entry.length for entry in batch)
        padded = inputs[model.artefact.inputs[0]].size
        model.learn(tokens, padded, ran - started)
        self._metrics.batch(
            model, texts=len(batch), tokens=tokens, padded=padded, run_s=ran - started, decode_s=decoded - ran
        )
        return values, ran - started


def _failure(entry: Entry, error: BaseException) -> ModelError:
    if isinstance(error, ModelError):
        return error
    artefact = entry.model.artefact
    failure = ModelError(
        f"{artefact.reference} failed: {type(error).__name__}: {error}.", model=artefact.name, version=artefact.version
    )
    failure.__cause__ = error
    return failure
