"""A user's interests: the items of the history with their weights, and the groups that they fall into."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from parlance_recommend.behaviour.signal import Signal
from parlance_recommend.ranking.popularity import DAY_MS

__all__ = ["Interest", "Profile", "build_profile", "group_interests"]

_SAME_INTEREST = 0.3
"""Cosine in the evened-out space from which two items count as one interest (unrelated pairs lie around 0)."""


@dataclass(frozen=True, slots=True)
class Profile:
    """``items[j]`` has weight ``weights[j] > 0`` and the unit vector ``vectors[j]``, newest first.

    ``weights``: float64, shape ``(history,)``; ``vectors``: float32, shape ``(history, width)``.
    ``mass`` is the weight of all events, also of items without a vector.
    """

    items: tuple[str, ...]
    weights: NDArray[np.float64]
    vectors: NDArray[np.float32]
    mass: float

    @property
    def empty(self) -> bool:
        """Nothing is known that text could be compared with."""
        return not self.items


@dataclass(frozen=True, slots=True)
class Interest:
    """One group of similar history items; ``share`` of the profile's weight."""

    items: tuple[str, ...]
    share: float


def build_profile(
    signals: Sequence[Signal],
    vectors: Mapping[str, NDArray[np.float32]],
    *,
    now_ms: int,
    half_life_days: float,
    width: int,
) -> Profile:
    """Weigh a history.

    Args:
        signals: the user's events, newest first, each with its weight before decay.
        vectors: unit vectors of the items that have one.
        now_ms: the moment to decay to; later events count whole.
        half_life_days: age at which an event counts half; 0 never forgets.
        width: of the vectors.
    """
    totals: dict[str, float] = {}
    for signal in signals:
        age = max(0, now_ms - signal.at_ms)
        decay = 1.0 if half_life_days == 0 else 2.0 ** (-age / (half_life_days * DAY_MS))
        totals[signal.item] = totals.get(signal.item, 0.0) + signal.weight * decay
    kept = [(item, weight) for item, weight in totals.items() if weight > 0 and item in vectors]
    return Profile(
        items=tuple(item for item, _ in kept),
        weights=np.asarray([weight for _, weight in kept], np.float64),
        vectors=np.stack([vectors[item] for item, _ in kept]) if kept else np.zeros((0, width), np.float32),
        mass=sum(totals.values()),
    )


def group_interests(profile: Profile) -> list[Interest]:
    """Group the history: each item joins the nearest group found so far, heaviest items first.

    Leader clustering (Hartigan 1975): deterministic, one pass, no number of groups to choose.
    """
    order = sorted(range(len(profile.items)), key=lambda index: (-profile.weights[index], index))
    groups: list[list[int]] = []
    leaders: list[NDArray[np.float32]] = []
    for index in order:
        near = [float(leader @ profile.vectors[index]) for leader in leaders]
        best = int(np.argmax(near)) if near else -1
        if best >= 0 and near[best] >= _SAME_INTEREST:
            groups[best].append(index)
        else:
            groups.append([index])
            leaders.append(profile.vectors[index])
    total = float(profile.weights.sum())
    found = [
        Interest(tuple(profile.items[index] for index in group), float(profile.weights[group].sum()) / total)
        for group in groups
    ]
    return sorted(found, key=lambda interest: -interest.share)
