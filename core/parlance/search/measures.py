"""What the search counts."""

from __future__ import annotations

from dataclasses import dataclass

from prometheus_client import Counter, Gauge, Histogram

from parlance.observe.metrics import Metrics

__all__ = ["Measures", "measures"]


@dataclass(frozen=True, slots=True)
class Measures:
    """The metrics of all collections, labelled by collection."""

    documents: Gauge
    seconds: Histogram
    reembedded: Counter


def measures(metrics: Metrics) -> Measures:
    """Create the metrics, or get those that exist."""
    label = ("collection",)
    return Measures(
        documents=metrics.gauge("search_documents", "Documents in the index in memory.", label),
        seconds=metrics.histogram("search_seconds", "Ranking time of a search, without embedding its text.", label),
        reembedded=metrics.counter("search_reembedded", "Documents embedded again for a new model version.", label),
    )
