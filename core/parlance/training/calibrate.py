"""Temperature scaling and the abstention threshold, fitted on held-out logits."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

__all__ = ["abstention_threshold", "fit_temperature", "softmax"]


def softmax(logits: NDArray[np.floating], temperature: float = 1.0) -> NDArray[np.float64]:
    """Probabilities along the last axis of ``logits / temperature``."""
    scaled = np.asarray(logits, dtype=np.float64) / temperature
    scaled = scaled - scaled.max(axis=-1, keepdims=True)
    exponentials = np.exp(scaled)
    result: NDArray[np.float64] = exponentials / exponentials.sum(axis=-1, keepdims=True)
    return result


def fit_temperature(logits: NDArray[np.floating], gold: NDArray[np.integer]) -> float:
    """The temperature with the least negative log-likelihood (Guo et al. 2017), by golden-section search in its log.

    The likelihood is unimodal in the inverse temperature, so the search finds the optimum between 0.05 and 20.
    """
    rows = np.arange(len(gold))

    def loss(log_temperature: float) -> float:
        chosen = softmax(logits, float(np.exp(log_temperature)))[rows, gold]
        return -float(np.log(np.maximum(chosen, 1e-300)).mean())

    low, high = float(np.log(0.05)), float(np.log(20.0))
    ratio = (np.sqrt(5.0) - 1.0) / 2.0
    left, right = high - ratio * (high - low), low + ratio * (high - low)
    for _ in range(60):
        if loss(left) < loss(right):
            high, right = right, left
            left = high - ratio * (high - low)
        else:
            low, left = left, right
            right = low + ratio * (high - low)
    return float(np.exp((low + high) / 2.0))


def abstention_threshold(
    probabilities: NDArray[np.floating], gold: NDArray[np.integer], *, accepted_accuracy: float
) -> float:
    """The lowest confidence at or above which the accepted texts are right at least ``accepted_accuracy`` of the time.

    When no confidence reaches it, the highest confidence seen; chance level when every text may be accepted.
    """
    confidence = probabilities.max(axis=1)
    order = np.argsort(-confidence, kind="stable")
    right = (probabilities.argmax(axis=1) == gold)[order]
    accuracy = np.cumsum(right) / np.arange(1, len(right) + 1)
    good = np.flatnonzero(accuracy >= accepted_accuracy)
    if good.size == 0:
        return float(confidence.max())
    if good[-1] == len(right) - 1:
        return 1.0 / int(probabilities.shape[1])
    return float(confidence[order[good[-1]]])
