"""The plugin's metrics."""

from __future__ import annotations

from typing import ClassVar

from parlance.observe.metrics import Metrics

__all__ = ["Measures"]


class Measures:
    """Counters and gauges; making it again gives the same ones."""

    NAMES: ClassVar = ("events", "rankings", "degraded", "rank_seconds", "items", "items_encoded")

    def __init__(self, metrics: Metrics) -> None:
        self.events = metrics.counter("events", "Events written, by kind", ("kind",))
        self.rankings = metrics.counter("rankings", "Rankings answered", ("model",))
        self.degraded = metrics.counter("degraded", "Rankings that had to do without a part", ("reason",))
        self.seconds = metrics.histogram("rank_seconds", "Time of one ranking")
        self.items = metrics.gauge("items", "Items in the catalogue")
        self.encoded = metrics.gauge("items_encoded", "Items whose text has a vector")
