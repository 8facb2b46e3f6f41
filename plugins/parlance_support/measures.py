"""What the plugin counts."""

from __future__ import annotations

from dataclasses import dataclass

from prometheus_client import Counter, Histogram

from parlance.observe.metrics import Metrics

__all__ = ["NAMES", "Measures", "measures"]

NAMES = ("turns", "repeated", "turn_seconds", "confidence")
_TENTHS = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0)


@dataclass(frozen=True, slots=True)
class Measures:
    """The plugin's metrics."""

    turns: Counter
    repeated: Counter
    turn_seconds: Histogram
    confidence: Histogram


def measures(metrics: Metrics) -> Measures:
    """Create the metrics, or get those that exist."""
    return Measures(
        turns=metrics.counter("turns", "Messages replied to.", ("channel", "language", "outcome")),
        repeated=metrics.counter("repeated", "Messages sent again with a known message_id."),
        turn_seconds=metrics.histogram("turn_seconds", "Time from a message to its stored reply."),
        confidence=metrics.histogram("confidence", "Confidence of the best entry.", buckets=_TENTHS),
    )
