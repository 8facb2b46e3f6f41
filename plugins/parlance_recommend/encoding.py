"""Item texts into stored vectors: only texts that this model version has not read yet."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from parlance.engine.interface import CallOptions, Priority
from parlance.tasks import Role
from parlance_recommend.store import changes
from parlance_recommend.store import items as item_store

if TYPE_CHECKING:
    from parlance.engine.interface import Engine
    from parlance.storage.database import Database

__all__ = ["Encoder"]


class Encoder:
    """Encodes with one embedding model and remembers which version of it answered last."""

    def __init__(self, engine: Engine, storage: Database, *, model: str) -> None:
        self._engine = engine
        self._storage = storage
        self._model = model
        self.version = ""

    async def probe(self) -> str:
        """The version that answers now, as ``name@version``: asked by encoding one word, which the engine caches."""
        await self.encode(["version"], options=CallOptions(priority=Priority.BACKGROUND))
        return self.version

    async def encode(self, texts: Sequence[str], *, options: CallOptions) -> NDArray[np.float32]:
        """Vectors of texts: float32, shape ``(len(texts), width)``, unit length.

        Raises:
            ParlanceError: what the engine raises: ``Overloaded``, ``DeadlineExceeded``, ``NotFound`` …
        """
        result = await self._engine.embed(texts, model=self._model, role=Role.PASSAGE, options=options)
        self.version = f"{result.origin.model}@{result.origin.version}"
        return result.vectors

    async def encode_pending(self, *, batch: int, options: CallOptions) -> tuple[int, bool]:
        """Encode one batch of items that wait for a vector; returns how many texts that were, and whether more wait."""
        version = self.version or await self.probe()
        async with self._storage.read() as connection:
            waiting = await item_store.pending(connection, version, limit=batch + 1)
        more, waiting = len(waiting) > batch, waiting[:batch]
        if not waiting:
            return 0, False
        vectors = await self.encode([text for _, text in waiting], options=options)
        encoded = [(digest, vectors[index]) for index, (digest, _) in enumerate(waiting)]
        async with self._storage.transaction() as connection:
            revision = await changes.next_revision(connection)
            await item_store.save_vectors(connection, self.version, encoded, revision=revision)
        return len(waiting), more
