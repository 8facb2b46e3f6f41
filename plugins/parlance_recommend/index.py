"""All item vectors of one model version in memory, row by row, ready for a matrix product."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from parlance_recommend.ranking.space import Space, fit_space, identity_space
from parlance_recommend.store.items import IndexRow

__all__ = ["ItemIndex"]

_FIRST_ROWS = 256
_REFIT_GROWTH = 1.2


class ItemIndex:
    """Vectors of the catalogue in the evened-out space. Not safe for use from several threads at once."""

    def __init__(self, version: str, *, whitening: float) -> None:
        self.version = version
        self.revision = 0
        self.titles: dict[str, str] = {}
        self._whitening = whitening
        self._hashes: dict[str, str] = {}
        self._rows: dict[str, int] = {}
        self._raw = np.zeros((0, 0), np.float32)
        self._projected = np.zeros((0, 0), np.float32)
        self._writings = np.zeros(0, np.int64)
        self._used = 0
        self.space: Space = identity_space(0)

    def __len__(self) -> int:
        return len(self.titles)

    @property
    def width(self) -> int:
        """Width of the vectors; 0 before the first one."""
        return int(self._raw.shape[1])

    @property
    def encoded(self) -> int:
        """How many items have a vector."""
        return len(self._rows)

    def apply(self, changed: Iterable[IndexRow]) -> None:
        """Take over items as they are in the database; fits the space anew when the catalogue has grown by a fifth."""
        fresh: list[int] = []
        for identity, title, digest, writing, vector, revision in changed:
            self.titles[identity] = title
            self.revision = max(self.revision, revision)
            if vector is None:
                self._rows.pop(identity, None)
            elif self._hashes.get(identity) != digest or identity not in self._rows:
                fresh.append(self._put(identity, vector, writing))
            self._hashes[identity] = digest
        if not fresh:
            return
        if self._used > self.space.fitted_on * _REFIT_GROWTH:
            raw, writings = self._raw[: self._used], self._writings[: self._used]
            self.space = fit_space(raw, writings, strength=self._whitening)
            self._projected[: self._used] = self.space.project(raw, writings)
        else:
            self._projected[fresh] = self.space.project(self._raw[fresh], self._writings[fresh])

    def holds(self, identity: str, digest: str) -> bool:
        """Whether the item's vector is that of the text with this hash."""
        return identity in self._rows and self._hashes.get(identity) == digest

    def has_vector(self, identity: str) -> bool:
        """Whether the item is encoded."""
        return identity in self._rows

    def vectors(self, ids: Sequence[str]) -> NDArray[np.float32]:
        """Unit vectors by item id, float32, shape ``(len(ids), width)``; a zero row for an item without one."""
        rows = [self._rows.get(identity, -1) for identity in ids]
        found = np.zeros((len(rows), self.width), np.float32)
        have = [position for position, row in enumerate(rows) if row >= 0]
        if have:
            found[have] = self._projected[[rows[position] for position in have]]
        return found

    def _put(self, identity: str, vector: NDArray[np.float32], writing: int) -> int:
        row = self._rows.get(identity, self._used)
        if row == self._used:
            if self._used == len(self._raw):
                size = max(_FIRST_ROWS, 2 * len(self._raw))
                self._raw = _grown(self._raw, size, len(vector))
                self._projected = _grown(self._projected, size, len(vector))
                self._writings = np.concatenate([self._writings, np.zeros(size - len(self._writings), np.int64)])
                if self._used == 0:
                    self.space = identity_space(len(vector))
            self._used += 1
        self._raw[row] = vector
        self._writings[row] = writing
        self._rows[identity] = row
        return row


def _grown(matrix: NDArray[np.float32], rows: int, width: int) -> NDArray[np.float32]:
    larger = np.zeros((rows, width), np.float32)
    if matrix.size:
        larger[: len(matrix)] = matrix
    return larger
