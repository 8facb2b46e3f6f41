"""Scores of a classifier: accuracy, macro-F1, per-label figures, expected calibration error."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
import numpy as np
from numpy.typing import NDArray

__all__ = ["LabelScore", "Scores", "score"]


class LabelScore(msgspec.Struct, frozen=True, kw_only=True):
    """Precision, recall and F1 of one label; ``support`` is its number of texts."""

    precision: float
    recall: float
    f1: float
    support: int


class Scores(msgspec.Struct, frozen=True, kw_only=True):
    """Scores of one data set.

    ``ece``: expected calibration error over 15 equal bins (Guo et al. 2017). ``accepted``: share of texts at or above
    the abstention threshold, ``accepted_accuracy`` their accuracy.
    """

    texts: int
    accuracy: float
    macro_f1: float
    labels: dict[str, LabelScore]
    ece: float | None = None
    accepted: float | None = None
    accepted_accuracy: float | None = None


def score(
    probabilities: NDArray[np.floating], gold: NDArray[np.integer], labels: Sequence[str], *,
    among: Sequence[str] = (), threshold: float | None = None,
) -> Scores:  # fmt: skip
    """Scores calibrated ``probabilities`` ``(texts, labels)`` against ``gold`` indices ``(texts,)``.

    ``among`` limits the choice to some labels, for data that has no others; macro-F1 is the mean over these.
    """
    considered = [label for label in labels if not among or label in among]
    allowed = np.array([label in considered for label in labels])
    chosen = np.where(allowed, probabilities, -1.0).argmax(axis=1)
    right = chosen == gold
    per_label = {}
    for label in considered:
        at = labels.index(label)
        hits = int(((chosen == at) & (gold == at)).sum())
        predicted, actual = int((chosen == at).sum()), int((gold == at).sum())
        precision = hits / predicted if predicted else 0.0
        recall = hits / actual if actual else 0.0
        f1 = 2 * hits / (predicted + actual) if predicted + actual else 0.0
        per_label[label] = LabelScore(
            precision=round(precision, 4), recall=round(recall, 4), f1=round(f1, 4), support=actual
        )
    scored = [entry.f1 for entry in per_label.values() if entry.support]
    confidence = probabilities[np.arange(len(chosen)), chosen]
    accepted = confidence >= threshold if threshold is not None else None
    return Scores(
        texts=len(gold),
        accuracy=round(float(right.mean()), 4),
        macro_f1=round(float(np.mean(scored)), 4) if scored else 0.0,
        labels=per_label,
        ece=None if among else round(_calibration_error(confidence, right), 4),
        accepted=None if accepted is None else round(float(accepted.mean()), 4),
        accepted_accuracy=None if accepted is None or not accepted.any() else round(float(right[accepted].mean()), 4),
    )


def _calibration_error(confidence: NDArray[np.floating], right: NDArray[np.bool_], bins: int = 15) -> float:
    which = np.minimum((confidence * bins).astype(int), bins - 1)
    error = 0.0
    for bin_ in range(bins):
        inside = which == bin_
        if inside.any():
            error += float(inside.mean()) * abs(float(confidence[inside].mean()) - float(right[inside].mean()))
    return error
