"""The score of each candidate, as a sum of named contributions."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from parlance_recommend.ranking.profile import Profile
from parlance_recommend.ranking.weights import Weights

__all__ = ["FEATURES", "Scored", "score"]

FEATURES = ("interest_overall", "interest_nearest", "popularity", "quality")


@dataclass(frozen=True, slots=True)
class Scored:
    """Scores of candidates.

    ``values``: feature values and ``contributions``: their signed shares of the score, both float64, shape
    ``(candidates, len(FEATURES))``; ``scores``: float64, the sums of the contributions' rows; ``order``: candidates by
    falling score, equal ones in the caller's order; ``similarities``: float32 ``(candidates, history)``; ``shares``:
    float64 ``(candidates, history)``, what each history item adds to the two interest contributions.
    """

    values: NDArray[np.float64]
    contributions: NDArray[np.float64]
    scores: NDArray[np.float64]
    order: NDArray[np.int64]
    similarities: NDArray[np.float32]
    shares: NDArray[np.float64]


def score(
    profile: Profile,
    vectors: NDArray[np.float32],
    *,
    popularity: NDArray[np.float64],
    quality: NDArray[np.float64],
    weights: Weights,
) -> Scored:
    """Score candidates.

    Interest is the cosine between candidate and history items, weighted by what the user did with them:
    ``interest_overall`` averages over the whole history, ``interest_nearest`` over the ``nearest`` strongest matches,
    so that one interest among several is enough.

    Args:
        profile: of the user; empty for one who is unknown, whose interest is 0 for every candidate.
        vectors: unit vectors of the candidates, float32, shape ``(candidates, width)``; a zero row has no text.
        popularity: float64, shape ``(candidates,)``; ``quality`` likewise.
        weights: how the parts are blended.
    """
    count = len(vectors)
    values = np.zeros((count, len(FEATURES)))
    values[:, 2], values[:, 3] = popularity, quality
    similarities = vectors @ profile.vectors.T
    shares = np.zeros(similarities.shape)
    trust = profile.mass / (profile.mass + weights.trust_events) if profile.mass > 0 else 0.0
    if not profile.empty:
        weighted = similarities * profile.weights
        overall = weighted / profile.weights.sum()
        k = min(weights.nearest, len(profile.items))
        nearest = np.zeros_like(weighted)
        top = np.argpartition(-weighted, k - 1, axis=1)[:, :k]
        picked = np.take_along_axis(weighted, top, axis=1) / (k * profile.weights.max())
        np.put_along_axis(nearest, top, picked, axis=1)
        values[:, 0], values[:, 1] = overall.sum(axis=1), nearest.sum(axis=1)
        shares = weights.interest * trust * (weights.breadth * overall + (1 - weights.breadth) * nearest)
    factors = np.asarray(
        [
            weights.interest * trust * weights.breadth,
            weights.interest * trust * (1 - weights.breadth),
            weights.popularity,
            weights.quality,
        ]
    )
    contributions = values * factors
    scores = contributions.sum(axis=1)
    return Scored(values, contributions, scores, np.argsort(-scores, kind="stable"), similarities, shares)
