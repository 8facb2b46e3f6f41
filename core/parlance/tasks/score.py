"""The ``score`` task: a pair of texts → a number (reranking, matching)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from parlance.tasks.origin import Origin

__all__ = ["Scores"]


@dataclass(frozen=True, slots=True)
class Scores:
    """Scores in the order of the pairs: float32, shape ``(pairs,)``; higher means a better match."""

    values: NDArray[np.float32]
    origin: Origin
