"""A collection's index in memory: texts, full-text index and vectors of one model version, and how they are ranked."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from parlance.search.documents import Hit
from parlance.search.fulltext import FullTextIndex
from parlance.search.fusion import fuse
from parlance.search.store import StoredState
from parlance.search.vectors import VectorIndex

__all__ = ["Changes", "MemoryIndex"]

_LEAST_DEPTH = 50
_INLINE_WORK = 2_000_000
_INLINE_DOCUMENTS = 5_000


@dataclass(slots=True)
class Changes:
    """What the database has beyond the index.

    ``model`` is the version whose vectors ``vectors`` holds: all of them where it is new to the index. ``present`` is
    the set of all ids, where something was deleted.
    """

    state: StoredState
    model: str | None
    documents: list[tuple[str, str, Mapping[str, str]]] = field(default_factory=list)
    vectors: list[tuple[list[str], NDArray[np.float32]]] = field(default_factory=list)
    present: set[str] | None = None


class MemoryIndex:
    """Derived from the database and thrown away at will.

    ``apply`` runs in one thread at a time; ``rank`` may run meanwhile in others.
    """

    def __init__(self) -> None:
        self.state = StoredState()
        self.model: str | None = None
        self.texts: dict[str, tuple[str, Mapping[str, str]]] = {}
        self._words = FullTextIndex()
        self._vectors: VectorIndex | None = None

    def __len__(self) -> int:
        return len(self.texts)

    @property
    def heavy(self) -> bool:
        """Whether a ranking takes longer than the event loop should be kept."""
        dense = self._vectors.work() if self._vectors is not None else 0
        return dense > _INLINE_WORK or len(self.texts) > _INLINE_DOCUMENTS

    def missing(self) -> list[str]:
        """Documents without a vector of the present model version."""
        vectors = self._vectors
        return [name for name in self.texts if vectors is None or name not in vectors]

    def vector(self, identifier: str) -> NDArray[np.float32] | None:
        """A document's vector of the present model version."""
        if self._vectors is None or identifier not in self._vectors:
            return None
        found: NDArray[np.float32] = self._vectors.vectors([identifier])[0]
        return found

    def apply(self, changes: Changes) -> None:
        """Bring the index to the database's state."""
        if changes.model != self.model:
            self._vectors = None
            self.model = changes.model
        gone = [name for name in self.texts if name not in changes.present] if changes.present is not None else []
        texts = dict(self.texts)
        for name in gone:
            del texts[name]
        for name, text, filters in changes.documents:
            texts[name] = (text, filters)
        self._words.change(changes.documents, gone)
        if self._vectors is not None:
            # A document that was written again has lost its old vector; the new one, if any, comes below.
            self._vectors.delete([*gone, *(name for name, _, _ in changes.documents)])
        for names, values in changes.vectors:
            self._add_vectors(names, values, texts)
        self.texts = texts
        self.state = changes.state

    def rank(
        self,
        text: str,
        vector: NDArray[np.float32] | None,
        *,
        limit: int,
        filters: Mapping[str, str] | None,
        weights: tuple[float, float],
    ) -> list[Hit]:
        """The best documents by both rankings fused (see ``fusion``), each looked at down to five times ``limit``."""
        depth = max(_LEAST_DEPTH, 5 * limit)
        texts, vectors = self.texts, self._vectors
        lexical = self._words.search(text, limit=depth, filters=filters)
        if vectors is None or vector is None or vector.shape != (vectors.width,):
            return _hits(fuse([_names(lexical)]), limit, texts, {}, dict(lexical))
        dense = dict(vectors.search(vector, limit=depth, filters=filters))
        fused = fuse([_names(dense.items()), _names(lexical)], weights=weights)
        for name, _ in fused[:limit]:
            if name not in dense and name in vectors:
                dense[name] = float(vectors.vectors([name])[0] @ vector)
        return _hits(fused, limit, texts, dense, dict(lexical))

    def _add_vectors(
        self, names: list[str], values: NDArray[np.float32], texts: Mapping[str, tuple[str, Mapping[str, str]]]
    ) -> None:
        if self._vectors is None:
            self._vectors = VectorIndex(values.shape[1])
        known = [row for row, name in enumerate(names) if name in texts]
        self._vectors.upsert([names[row] for row in known], values[known], [texts[names[row]][1] for row in known])


def _names(ranking: Iterable[tuple[str, float]]) -> list[str]:
    return [name for name, _ in ranking]


def _hits(
    fused: Sequence[tuple[str, float]],
    limit: int,
    texts: Mapping[str, tuple[str, Mapping[str, str]]],
    dense: Mapping[str, float],
    lexical: Mapping[str, float],
) -> list[Hit]:
    hits = []
    for name, score in fused:
        if name in texts:  # an index that changed during the search may name what is gone
            text, filters = texts[name]
            hits.append(
                Hit(id=name, score=score, dense=dense.get(name), lexical=lexical.get(name), text=text, filters=filters)
            )
            if len(hits) == limit:
                break
    return hits
