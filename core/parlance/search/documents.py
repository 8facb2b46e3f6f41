"""What goes into a collection and what comes out, and what the search needs of an engine."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from parlance.tasks import Embeddings, Role
from parlance.tasks.options import DEFAULT_OPTIONS, CallOptions

__all__ = ["Document", "Embedder", "Hit", "Prepared"]


@dataclass(frozen=True, slots=True)
class Document:
    """A text to be found. ``id`` is unique in its collection, at most 200 characters; ``filters`` narrow searches."""

    id: str
    text: str
    filters: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Prepared:
    """Documents with their vectors, ready to be written: no model runs inside a transaction.

    ``vectors``: float32, shape ``(len(documents), width)``, or ``None`` in a collection without a model.
    ``model``: ``name@version`` of what computed them.
    """

    documents: tuple[Document, ...]
    vectors: NDArray[np.float32] | None = None
    model: str | None = None


@dataclass(frozen=True, slots=True)
class Hit:
    """A document that was found.

    ``score`` is the fused one and orders the hits (see ``fusion``); it says nothing across queries. ``dense`` is the
    cosine to the query, ``None`` where the document has no vector of the present model version (yet). ``lexical`` is
    the BM25 score, ``None`` where the document is not among the best by words.
    """

    id: str
    score: float
    dense: float | None
    lexical: float | None
    text: str
    filters: Mapping[str, str]


class Embedder(Protocol):
    """The part of ``parlance.engine.interface.Engine`` that the search uses."""

    async def embed(
        self, texts: Sequence[str], *, model: str, role: Role = Role.PASSAGE, options: CallOptions = DEFAULT_OPTIONS
    ) -> Embeddings: ...
