"""What one event says about interest: a weight from its type and, for a rating, from its value."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import msgspec

__all__ = ["Interaction", "Signal", "SignalRules", "signals_of"]


@dataclass(frozen=True, slots=True)
class Signal:
    """An event about an item, weighed but not yet decayed. ``weight`` is never negative."""

    item: str
    weight: float
    at_ms: int
    type: str


class Interaction(msgspec.Struct, frozen=True):
    """The part of a stored interaction that weighing reads."""

    item: str
    type: str
    at_ms: int
    value: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class SignalRules:
    """Weights by type and the rating scale."""

    weights: Mapping[str, float]
    other: float
    lowest: float
    highest: float

    def base(self, kind: str) -> float:
        """Weight of a type."""
        return self.weights.get(kind, self.other)

    def rating(self, value: float | None) -> float | None:
        """A rating on the 0–1 scale; ``None`` stays ``None``."""
        if value is None:
            return None
        return min(1.0, max(0.0, (value - self.lowest) / (self.highest - self.lowest)))

    def popular(self, kind: str, value: float | None) -> float:
        """What an event adds to an item's popularity: a rating counts by how good it is, from the middle upwards."""
        rating = self.rating(value)
        return self.base(kind) * (1.0 if rating is None else max(0.0, 2 * rating - 1))


def signals_of(history: Sequence[Interaction], rules: SignalRules) -> list[Signal]:
    """Weigh a user's history.

    A rating counts from 0 (half of the scale below the user's own mean, or worse) to 1 (half of it above): people use
    scales differently (Herlocker et al. 1999, mean-centring).
    """
    ratings = [rating for one in history if (rating := rules.rating(one.value)) is not None]
    mean = sum(ratings) / len(ratings) if ratings else 0.5
    if len(ratings) < 2:  # one rating has no mean of its own to be measured against
        mean = 0.5
    found = []
    for one in history:
        rating = rules.rating(one.value)
        strength = 1.0 if rating is None else min(1.0, max(0.0, rating - mean + 0.5))
        found.append(Signal(one.item, rules.base(one.type) * strength, one.at_ms, one.type))
    return found
