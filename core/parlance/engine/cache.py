"""Embeddings of texts seen before, least recently used out first, bounded in bytes. Event loop only."""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

__all__ = ["CachedVector", "EmbeddingCache", "cache_key"]

Key = tuple[str, str, bytes]
_OVERHEAD_BYTES = 400
"""Of the key, the array's header and the dictionary's entry."""


@dataclass(frozen=True, slots=True)
class CachedVector:
    """A text's vector (float32, shape ``(width,)``) and what the model read of it."""

    vector: NDArray[np.float32]
    tokens: int
    truncated: bool


def cache_key(reference: str, precision: str, text: str) -> Key:
    """The key of a text with its role's prefix, for one model version and precision."""
    return reference, precision, hashlib.blake2b(text.encode(), digest_size=16).digest()


class EmbeddingCache:
    """A bounded map from key to vector; ``limit_bytes`` 0 keeps nothing."""

    def __init__(self, limit_bytes: int) -> None:
        self.limit_bytes = limit_bytes
        self.size_bytes = 0
        self._vectors: OrderedDict[Key, CachedVector] = OrderedDict()

    def __len__(self) -> int:
        return len(self._vectors)

    def get(self, key: Key) -> CachedVector | None:
        """The vector, which counts as used now."""
        found = self._vectors.get(key)
        if found is not None:
            self._vectors.move_to_end(key)
        return found

    def put(self, key: Key, value: CachedVector) -> None:
        """Keep a vector; the ones unused for longest make room."""
        if key in self._vectors or _size(value) > self.limit_bytes:
            return
        self._vectors[key] = value
        self.size_bytes += _size(value)
        while self.size_bytes > self.limit_bytes:
            _, old = self._vectors.popitem(last=False)
            self.size_bytes -= _size(old)

    def forget(self, reference: str) -> None:
        """Drop all vectors of a model version that has gone."""
        for key in [key for key in self._vectors if key[0] == reference]:
            self.size_bytes -= _size(self._vectors.pop(key))


def _size(value: CachedVector) -> int:
    return int(value.vector.nbytes) + _OVERHEAD_BYTES
