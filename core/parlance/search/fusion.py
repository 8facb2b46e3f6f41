"""Reciprocal rank fusion (Cormack, Clarke and Büttcher, SIGIR 2009): one ranking out of several, by ranks alone."""

from __future__ import annotations

from collections.abc import Sequence

__all__ = ["RANK_CONSTANT", "fuse"]

RANK_CONSTANT = 60
"""The paper's k: how much the first ranks stand out; it found results flat around this value."""


def fuse(rankings: Sequence[Sequence[str]], *, weights: Sequence[float] | None = None) -> list[tuple[str, float]]:
    """Fuse rankings: the score of an item is the sum over rankings of ``weight / (60 + rank)``, ranks from 1.

    Returns:
        Items with scores, best first; equal scores in the order of first appearance.
    """
    scores: dict[str, float] = {}
    for ranking, weight in zip(rankings, weights or [1.0] * len(rankings), strict=True):
        for rank, item in enumerate(ranking, 1):
            scores[item] = scores.get(item, 0.0) + weight / (RANK_CONSTANT + rank)
    return sorted(scores.items(), key=lambda pair: -pair[1])
