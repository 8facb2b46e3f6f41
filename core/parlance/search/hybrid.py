"""The search of one process: hands out collections and keeps one object per name."""

from __future__ import annotations

import asyncio

from parlance.errors import ConfigError
from parlance.observe.metrics import Metrics
from parlance.search.collection import Collection
from parlance.search.documents import Document, Embedder, Hit, Prepared
from parlance.search.measures import measures
from parlance.storage.database import Database

__all__ = ["Collection", "Document", "Hit", "Prepared", "Search"]


class Search:
    """Collections of documents on one database, embedded by one engine.

    Args:
        database: where documents and vectors are kept (tables of ``search/tables.py``).
        engine: what embeds; any object with the engine's ``embed``.
        refresh_s: how late a write by another process may be seen.
        metrics: where documents and searches are counted; ``None`` counts nothing.
    """

    def __init__(
        self, database: Database, engine: Embedder, *, refresh_s: float = 0.5, metrics: Metrics | None = None
    ) -> None:
        self._measures = measures(metrics) if metrics is not None else None
        self._database = database
        self._engine = engine
        self._refresh_s = refresh_s
        self._collections: dict[str, Collection] = {}

    def collection(self, name: str, *, model: str | None, weights: tuple[float, float] = (1.0, 1.0)) -> Collection:
        """The collection of that name; nothing is read or written yet.

        Args:
            name: prefixed by its owner: ``support.knowledge``.
            model: embedding model or alias for the dense half; ``None`` searches by words alone.
            weights: of the dense and of the lexical ranking in the fusion.

        Raises:
            ConfigError: the same name was asked for with another model before.
        """
        known = self._collections.get(name)
        if known is None:
            known = self._collections[name] = Collection(
                name,
                model=model,
                database=self._database,
                embedder=self._engine,
                weights=weights,
                refresh_s=self._refresh_s,
                measures=self._measures,
            )
        elif known.model != model:
            raise ConfigError(f"The collection '{name}' is open with model {known.model!r}, not {model!r}.")
        return known

    async def start(self) -> None:
        """Bring the indexes of all collections up by words; vectors are loaded when the model is first asked."""
        await asyncio.gather(*(known.follow() for known in self._collections.values()))

    async def close(self) -> None:
        """Stop the background work of all collections."""
        await asyncio.gather(*(known.close() for known in self._collections.values()))
