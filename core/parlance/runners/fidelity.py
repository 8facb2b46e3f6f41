"""Logits → probabilities, and how far a runner's answers agree with the fp32 reference."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from parlance.models.artefact import Artefact

__all__ = ["agreement", "probabilities"]


def agreement(artefact: Artefact, reference: NDArray[np.float32], other: NDArray[np.float32]) -> float:
    """Worst agreement of two outputs on the same inputs, 1 when equal.

    ``embed``: smallest cosine of a row; otherwise 1 − largest absolute difference of probabilities.
    """
    if reference.shape != other.shape or not np.isfinite(other).all():
        return 0.0
    if artefact.task == "embed":
        lengths = np.linalg.norm(reference, axis=-1) * np.linalg.norm(other, axis=-1)
        return float(((reference * other).sum(axis=-1) / np.maximum(lengths, 1e-12)).min())
    return float(1.0 - np.abs(probabilities(artefact, reference) - probabilities(artefact, other)).max())


def probabilities(artefact: Artefact, logits: NDArray[np.float32]) -> NDArray[np.float64]:
    """Calibrated probabilities over the last axis: softmax, or sigmoid where several labels may hold.

    Logits are divided by the temperature first (Guo et al. 2017, On Calibration of Modern Neural Networks).
    """
    scaled = logits.astype(np.float64) / artefact.temperature
    if artefact.multi_label or artefact.task == "score":
        return np.asarray(1.0 / (1.0 + np.exp(-np.clip(scaled, -500, 500))), dtype=np.float64)
    powers = np.exp(scaled - scaled.max(axis=-1, keepdims=True))
    return np.asarray(powers / powers.sum(axis=-1, keepdims=True), dtype=np.float64)
