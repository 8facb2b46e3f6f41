"""Popularity with forgetting, and the smoothed mean rating: what is known of an item whoever asks."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

__all__ = ["DAY_MS", "Popularity"]

DAY_MS = 86_400_000
_MUCH = 20.0
"""Weight of events that counts as popular where no item has more: one click in a new shop is no best-seller."""


@dataclass(slots=True)
class _Tally:
    weight: float = 0.0
    at_ms: int = 0
    events: int = 0
    rating_sum: float = 0.0
    ratings: int = 0


class Popularity:
    """Per item: decayed weight of events, and a Bayesian-smoothed rating.

    The order in which events come does not matter: an older event is decayed to the time of the newest before it is
    added. Ratings are given on a 0–1 scale.
    """

    def __init__(self, *, half_life_days: float, prior: float) -> None:
        self._half_life_ms = half_life_days * DAY_MS
        self._prior = prior
        self._tallies: dict[str, _Tally] = {}
        self._rating_sum = 0.0
        self._ratings = 0
        self._newest_ms = 0
        self._highest: tuple[float, int] = (0.0, 0)

    def add(self, item: str, *, weight: float, at_ms: int, rating: float | None = None) -> None:
        """Count one event."""
        tally = self._tallies.setdefault(item, _Tally())
        tally.events += 1
        if at_ms >= tally.at_ms:
            tally.weight = tally.weight * self._decay(at_ms - tally.at_ms) + weight
            tally.at_ms = at_ms
        else:
            tally.weight += weight * self._decay(tally.at_ms - at_ms)
        if rating is not None:
            tally.rating_sum += rating
            tally.ratings += 1
            self._rating_sum += rating
            self._ratings += 1
        self._newest_ms = max(self._newest_ms, at_ms)
        highest, then = self._highest
        self._highest = max((tally.weight, tally.at_ms), (highest, then), key=self._at_newest)

    def events(self, item: str) -> int:
        """How many events the item has."""
        tally = self._tallies.get(item)
        return 0 if tally is None else tally.events

    def popularity(self, items: list[str]) -> NDArray[np.float64]:
        """``log(1 + weight) / log(1 + max(highest weight, 20))``: 0 for never seen, 1 for a much used favourite.

        All weights are those at the time of the newest event, so a shop that was closed for a week keeps its order.
        """
        top = math.log1p(max(_MUCH, self._at_newest(self._highest)))
        known = (self._tallies.get(item) for item in items)
        values = [0.0 if t is None else math.log1p(self._at_newest((t.weight, t.at_ms))) / top for t in known]
        return np.asarray(values, np.float64)

    def quality(self, items: list[str]) -> NDArray[np.float64]:
        """Smoothed mean rating less the mean of all ratings: ``(Σ(r − m)) / (n + prior)``; 0 where nobody rated."""
        if self._ratings == 0:
            return np.zeros(len(items))
        mean = self._rating_sum / self._ratings
        known = (self._tallies.get(item) for item in items)
        values = [0.0 if t is None else (t.rating_sum - mean * t.ratings) / (t.ratings + self._prior) for t in known]
        return np.asarray(values, np.float64)

    def _decay(self, age_ms: int) -> float:
        return 1.0 if self._half_life_ms == 0 else 2.0 ** (-age_ms / self._half_life_ms)

    def _at_newest(self, tally: tuple[float, int]) -> float:
        weight, at_ms = tally
        return weight * self._decay(self._newest_ms - at_ms)
