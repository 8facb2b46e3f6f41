"""Exact nearest-neighbour search over unit vectors in memory, with filters.

One matrix product finds every cosine: 8 ms for 60,000 vectors of width 384 on two cores, recall 1. Above some 100,000
vectors a collection an approximate index pays; this module is the place for it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from parlance.errors import ValidationFailed

__all__ = ["VectorIndex"]

_FIRST_CAPACITY = 256
_COMPACT_ABOVE = 1024


@dataclass(slots=True)
class VectorIndex:
    """Vectors by identifier.

    Changes come from one thread at a time; searches may run in other threads meanwhile: they see the state before or
    after a change, never a half of it, because rows are only appended and the visible state is replaced whole.
    """

    width: int
    _state: _State = field(init=False)

    def __post_init__(self) -> None:
        self._state = _empty(self.width)

    def __len__(self) -> int:
        return len(self._state.rows)

    def __contains__(self, identifier: str) -> bool:
        return identifier in self._state.rows

    def upsert(
        self,
        identifiers: Sequence[str],
        vectors: NDArray[np.float32],
        filters: Sequence[Mapping[str, str]] | None = None,
    ) -> None:
        """Add vectors, or replace those with the same identifier.

        Args:
            identifiers: distinct.
            vectors: float32, shape ``(len(identifiers), width)``, rows of unit length.
            filters: what each may be filtered by; ``None`` for nothing.

        Raises:
            ValidationFailed: the shape does not fit.
        """
        if vectors.shape != (len(identifiers), self.width):
            raise ValidationFailed(
                f"{len(identifiers)} identifiers and vectors of shape {vectors.shape} do not fit an index of width "
                f"{self.width}."
            )
        if not identifiers:
            return
        state = self._state
        first, last = state.used, state.used + len(identifiers)
        matrix = state.matrix
        if last > len(matrix):
            matrix = np.empty((max(_FIRST_CAPACITY, last, 2 * len(matrix)), self.width), np.float32)
            matrix[:first] = state.matrix[:first]
        matrix[first:last] = vectors
        alive = np.ones(last, np.bool_)
        alive[:first] = state.alive
        rows = dict(state.rows)
        for row, identifier in enumerate(identifiers, first):
            if (old := rows.get(identifier)) is not None:
                alive[old] = False
            rows[identifier] = row
        names = [*state.names, *identifiers]
        given = filters if filters is not None else [{}] * len(identifiers)
        self._publish(_State(matrix, last, alive, names, [*state.filters, *map(dict, given)], rows))

    def delete(self, identifiers: Sequence[str]) -> int:
        """Drop vectors; unknown identifiers are passed over. Returns how many were there."""
        state = self._state
        alive, rows = state.alive.copy(), dict(state.rows)
        gone = [row for identifier in identifiers if (row := rows.pop(identifier, None)) is not None]
        alive[gone] = False
        self._publish(_State(state.matrix, state.used, alive, state.names, state.filters, rows))
        return len(gone)

    def search(
        self, vector: NDArray[np.float32], *, limit: int, filters: Mapping[str, str] | None = None
    ) -> list[tuple[str, float]]:
        """The nearest vectors with their cosines, best first; equal cosines in the order of insertion.

        Args:
            vector: float32, shape ``(width,)``, of unit length.
            limit: most results.
            filters: only vectors that have all these values.
        """
        state = self._state
        mask = state.mask(filters)
        candidates = np.flatnonzero(mask)
        if limit < 1 or not len(candidates):
            return []
        cosines = state.matrix[: state.used] @ vector
        cosines = np.where(mask, cosines, -np.inf)
        keep = min(limit, len(candidates))
        best = np.argpartition(-cosines, keep - 1)[:keep] if keep < len(cosines) else np.arange(len(cosines))
        best = best[np.lexsort((best, -cosines[best]))][:keep]
        return [(state.names[row], float(cosines[row])) for row in best]

    def vectors(self, identifiers: Sequence[str]) -> NDArray[np.float32]:
        """The stored vectors of identifiers that are all known: float32, shape ``(len(identifiers), width)``."""
        state = self._state
        return state.matrix[[state.rows[identifier] for identifier in identifiers]]

    def work(self) -> int:
        """How many multiplications a search takes; the caller decides from it whether a thread is worth its cost."""
        return self._state.used * self.width

    def _publish(self, state: _State) -> None:
        dead = state.used - len(state.rows)
        self._state = state.compacted() if dead > max(_COMPACT_ABOVE, len(state.rows)) else state


@dataclass(frozen=True, slots=True)
class _State:
    """What a search sees. ``matrix`` may be longer than ``used`` and may be shared with later states."""

    matrix: NDArray[np.float32]
    used: int
    alive: NDArray[np.bool_]
    names: list[str]
    filters: list[dict[str, str]]
    rows: dict[str, int]
    _masks: dict[tuple[str, str], NDArray[np.bool_]] = field(default_factory=dict)

    def mask(self, filters: Mapping[str, str] | None) -> NDArray[np.bool_]:
        mask = self.alive
        for pair in (filters or {}).items():
            if (known := self._masks.get(pair)) is None:
                key, value = pair
                known = np.fromiter((given.get(key) == value for given in self.filters), np.bool_, self.used)
                self._masks[pair] = known
            mask = mask & known
        return mask

    def compacted(self) -> _State:
        names = list(self.rows)
        rows = [self.rows[name] for name in names]
        return _State(
            matrix=self.matrix[rows],
            used=len(rows),
            alive=np.ones(len(rows), np.bool_),
            names=names,
            filters=[self.filters[row] for row in rows],
            rows={name: row for row, name in enumerate(names)},
        )


def _empty(width: int) -> _State:
    return _State(np.empty((0, width), np.float32), 0, np.empty(0, np.bool_), [], [], {})
