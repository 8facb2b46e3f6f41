"""The engine's numbers for Prometheus."""

from __future__ import annotations

from functools import partial

from parlance.engine.queue import WorkQueue
from parlance.engine.served import ServedModel
from parlance.observe.metrics import SIZE_BUCKETS, Metrics
from parlance.tasks.options import Priority

__all__ = ["EngineMetrics"]

_MODEL = ("model", "version")


class EngineMetrics:
    """What is counted and timed; safe from any thread."""

    def __init__(self, metrics: Metrics) -> None:
        own = metrics.child("engine")
        self.texts = own.counter("texts", "Texts computed.", _MODEL)
        self.tokens = own.counter("tokens", "Tokens computed, padding excluded.", _MODEL)
        self.batch_texts = own.histogram("batch_texts", "Texts of a batch.", _MODEL, buckets=SIZE_BUCKETS)
        self.batch_tokens = own.histogram("batch_tokens", "Padded tokens of a batch.", _MODEL, buckets=SIZE_BUCKETS)
        shares = tuple(part / 20 for part in range(11))
        self.padding = own.histogram("batch_padding_ratio", "Share of padding in a batch.", _MODEL, buckets=shares)
        self.stages = own.histogram("stage_seconds", "Time by stage: tokenise, queue, run, decode.", (*_MODEL, "stage"))
        self.rejected = own.counter("rejected", "Calls refused before any work.", ("reason",))
        self.dropped = own.counter("dropped", "Texts dropped from the queue.", ("reason",))
        self.failed = own.counter("failed_texts", "Texts on which the model failed.", _MODEL)
        self.busy = own.counter("busy_seconds", "Seconds in which workers ran batches, summed over workers.")
        self.workers = own.gauge("workers", "Workers; busy seconds divided by it and the time is the busy share.")
        self.cache = own.counter("cache_lookups", "Lookups in the embedding cache.", ("result",))
        self.shared = own.counter("shared_texts", "Texts that joined the same text in flight.")
        self._queue_tokens = own.gauge("queue_tokens", "Tokens that wait.", ("priority",))
        self._wait = own.gauge("estimated_wait_seconds", "Estimated wait of a call that comes now.", ("priority",))

    def watch(self, queue: WorkQueue) -> None:
        """Show the queue's state whenever the metrics are read."""
        for priority in Priority:
            name = priority.name.lower()
            self._queue_tokens.labels(name).set_function(partial(queue.tokens, priority))
            self._wait.labels(name).set_function(partial(queue.wait_s, priority=priority, charge_to=""))
        self.workers.set(queue.threads)

    def batch(self, model: ServedModel, *, texts: int, tokens: int, padded: int, run_s: float, decode_s: float) -> None:
        """One batch has run."""
        name = (model.artefact.name, model.artefact.version)
        self.texts.labels(*name).inc(texts)
        self.tokens.labels(*name).inc(tokens)
        self.batch_texts.labels(*name).observe(texts)
        self.batch_tokens.labels(*name).observe(padded)
        self.padding.labels(*name).observe(1 - tokens / padded)
        self.stage(model, "run", run_s)
        self.stage(model, "decode", decode_s)
        self.busy.inc(run_s + decode_s)

    def stage(self, model: ServedModel, stage: str, seconds: float) -> None:
        """One stage of one call or batch."""
        self.stages.labels(model.artefact.name, model.artefact.version, stage).observe(seconds)
