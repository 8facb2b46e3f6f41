"""The plugin's metrics, all in one place."""

from __future__ import annotations

from parlance.observe.metrics import Metrics

__all__ = ["Measures"]

_DELAYS_S = (1.0, 5.0, 15.0, 60.0, 300.0, 900.0, 3600.0, 4 * 3600.0, 86400.0, 7 * 86400.0)
_LABELLING_S = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)


class Measures:
    """Counters and histograms, named ``parlance_sentiment_…`` on ``/metrics``."""

    NAMES = ("documents", "labelling_seconds", "published_to_ingested_seconds", "alerts", "alerts_firing")

    def __init__(self, metrics: Metrics) -> None:
        self.documents = metrics.counter("documents", "Documents taken in, by outcome and label.", ("outcome", "label"))
        self.labelling_seconds = metrics.histogram(
            "labelling_seconds", "Time of one call for labels, queue included.", buckets=_LABELLING_S
        )
        self.delay_seconds = metrics.histogram(
            "published_to_ingested_seconds", "From published time to arrival, for new documents.", buckets=_DELAYS_S
        )
        self.alerts = metrics.counter("alerts", "Alerts that fired or were resolved, by rule.", ("rule", "transition"))
        self.firing = metrics.gauge("alerts_firing", "Alerts that fire at the moment.")
