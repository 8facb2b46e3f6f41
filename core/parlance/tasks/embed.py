"""The ``embed`` task: text → unit vector."""

from __future__ import annotations

import enum
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from parlance.tasks.origin import Origin

__all__ = ["Embeddings", "Role"]


class Role(enum.StrEnum):
    """What a text is to an asymmetric retrieval model; symmetric models ignore it."""

    QUERY = "query"
    PASSAGE = "passage"


@dataclass(frozen=True, slots=True)
class Embeddings:
    """Vectors in the order of the texts.

    ``vectors``: float32, shape ``(texts, width)``, every row of unit length.
    """

    vectors: NDArray[np.float32]
    origin: Origin
