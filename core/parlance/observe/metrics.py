"""Counters, gauges and histograms of one owner (a plugin or a part of the core), kept in one Prometheus registry.

Every name becomes ``parlance_<owner>_<name>``; asking twice for the same name gives the same object. Names carry their
unit (``_seconds``, ``_bytes``, ``_total`` is added to counters by the exposition format).
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import TypeVar

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.metrics import MetricWrapperBase

from parlance.errors import PluginError

__all__ = ["LATENCY_BUCKETS", "SIZE_BUCKETS", "Metrics", "add_process_metrics"]

LATENCY_BUCKETS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
"""Upper bounds in seconds: from a request that touches no model to one at the longest deadline."""
SIZE_BUCKETS = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024, 2048, 4096, 8192)
"""Upper bounds for counts: texts or tokens of a batch."""

M = TypeVar("M", bound=MetricWrapperBase)


class _Known:
    """The metrics that one registry holds, by full name; shared by all owners."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.metrics: dict[str, MetricWrapperBase] = {}


class Metrics:
    """One owner's metrics. Safe to use from any thread."""

    def __init__(self, registry: CollectorRegistry, plugin: str, *, _known: _Known | None = None) -> None:
        self.registry = registry
        self.plugin = plugin
        self._known = _known if _known is not None else _Known()

    def child(self, plugin: str) -> Metrics:
        """The same registry with another owner's name."""
        return Metrics(self.registry, plugin, _known=self._known)

    def counter(self, name: str, description: str, labels: Sequence[str] = ()) -> Counter:
        """A number that only grows; ``_total`` is added to its name where it is shown."""
        return self._get(Counter, name, description, labels)

    def gauge(self, name: str, description: str, labels: Sequence[str] = ()) -> Gauge:
        """A number that goes up and down."""
        return self._get(Gauge, name, description, labels)

    def histogram(
        self, name: str, description: str, labels: Sequence[str] = (), *, buckets: Sequence[float] = LATENCY_BUCKETS
    ) -> Histogram:
        """A distribution; the default buckets are meant for seconds."""
        return self._get(Histogram, name, description, labels, buckets=buckets)

    def _get(
        self,
        kind: type[M],
        name: str,
        description: str,
        labels: Sequence[str],
        *,
        buckets: Sequence[float] | None = None,
    ) -> M:
        full_name = f"parlance_{self.plugin}_{name}".replace("-", "_")
        with self._known.lock:
            known = self._known.metrics.get(full_name)
            if known is None:
                known = self._make(kind, full_name, description, labels, buckets)
                self._known.metrics[full_name] = known
        if type(known) is not kind or known._labelnames != tuple(labels):  # noqa: SLF001  # no public accessor
            raise PluginError(
                f"The metric {full_name} exists already as a {type(known).__name__.lower()} with labels "
                f"{list(known._labelnames)}; it was asked for as a {kind.__name__.lower()} with {list(labels)}.",  # noqa: SLF001
                hint="Give one of the two another name.",
            )
        return known

    def _make(
        self, kind: type[M], name: str, description: str, labels: Sequence[str], buckets: Sequence[float] | None
    ) -> M:
        if buckets is None:
            return kind(name, description, tuple(labels), registry=self.registry)
        return kind(name, description, tuple(labels), registry=self.registry, buckets=tuple(buckets))  # type: ignore[call-arg]  # only histograms get here


def add_process_metrics(registry: CollectorRegistry) -> None:
    """Let a registry also tell about the process: CPU, memory, open files, interpreter, garbage collection."""
    from prometheus_client import GCCollector, PlatformCollector, ProcessCollector

    ProcessCollector(registry=registry)
    PlatformCollector(registry=registry)
    GCCollector(registry=registry)
