"""The space in which item vectors are compared: centred and evened out on the catalogue itself.

Embeddings of a text model crowd into a narrow cone (Ethayarajh 2019), so that raw cosines say little; removing the
catalogue's mean (Mu & Viswanath 2018) and partly whitening (Su et al. 2021, "Whitening sentence representations")
spreads them out. A multilingual model also keeps languages apart, so that any two Chinese texts look alike beside an
English one; the mean is therefore taken for each writing system of its own (Libovický et al. 2020, "On the language
neutrality of pre-trained multilingual representations"). Fitted without labels: nothing of the users' behaviour enters.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from parlance_recommend.ranking.writing import WRITINGS

__all__ = ["Space", "fit_space", "identity_space"]

_SMOOTHING = 0.05
"""Share of the mean variance that is added to every direction: keeps rare directions, and small catalogues, tame."""
_FULL_STRENGTH = 1000
"""Catalogue size from which the configured strength is used whole; smaller ones use a proportional share."""
_FIT_ROWS = 20_000
_LEAST_ROWS = 8


@dataclass(frozen=True, slots=True)
class Space:
    """``project(v) = unit((v − means[writing]) @ matrix)``; ``means``: ``(WRITINGS, width)``, ``matrix``: square."""

    means: NDArray[np.float32]
    matrix: NDArray[np.float32] | None
    fitted_on: int

    def project(self, vectors: NDArray[np.float32], writings: NDArray[np.int64]) -> NDArray[np.float32]:
        """Vectors and each one's writing in, unit vectors out: float32, shape ``(rows, width)``.

        A vector equal to its mean becomes zero.
        """
        centred = vectors - self.means[writings]
        if self.matrix is not None:
            centred = centred @ self.matrix
        lengths = np.linalg.norm(centred, axis=1, keepdims=True)
        return np.asarray(np.divide(centred, lengths, out=np.zeros_like(centred), where=lengths > 1e-6), np.float32)


def identity_space(width: int) -> Space:
    """A space that leaves directions as they are."""
    return Space(np.zeros((WRITINGS, width), np.float32), None, 0)


def fit_space(vectors: NDArray[np.float32], writings: NDArray[np.int64], *, strength: float) -> Space:
    """Fit the space on a catalogue.

    Args:
        vectors: float32, shape ``(items, width)``, unit length; an evenly spaced sample is used above 20 000 rows.
        writings: int64, shape ``(items,)``, from :func:`~parlance_recommend.ranking.writing.writing_of`.
        strength: 0 centres only, 1 gives every direction the same variance.

    Returns:
        The identity for fewer than eight items, whose mean would be an accident.
    """
    rows, width = vectors.shape
    if rows < _LEAST_ROWS:
        return identity_space(width)
    if rows > _FIT_ROWS:
        sample = np.linspace(0, rows - 1, _FIT_ROWS).astype(np.int64)
        vectors, writings = vectors[sample], writings[sample]
    known = min(1.0, rows / _FULL_STRENGTH)
    mean = vectors.mean(axis=0) * np.float32(rows / (rows + _LEAST_ROWS))
    # A writing system with few texts leans on the mean of all.
    sums = [(vectors[writings == one].sum(axis=0), int((writings == one).sum())) for one in range(WRITINGS)]
    means = np.stack([(total + _LEAST_ROWS * mean) / np.float32(count + _LEAST_ROWS) for total, count in sums])
    power = strength * known
    if power == 0:
        return Space(means, None, rows)
    centred = (vectors - means[writings]).astype(np.float64)
    values, directions = np.linalg.eigh(centred.T @ centred / len(centred))
    smoothed = np.maximum(values, 0) + _SMOOTHING * max(float(values.mean()), 1e-12)
    matrix = directions * (smoothed / smoothed.max()) ** (-power / 2)
    return Space(means, np.asarray(matrix, np.float32), rows)
