"""A collection of documents: written in the caller's transaction, found by words and by meaning.

The database is the truth. The index in memory follows it: a write only marks it as behind, and the next search brings
it up by what changed since its revision, whichever process wrote. Vectors belong to a model version; when the engine
answers with another version, the search goes on by words while the documents are embedded again in the background.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial

import numpy as np
import structlog
from numpy.typing import NDArray
from sqlalchemy.ext.asyncio import AsyncConnection

from parlance.errors import ParlanceError, ValidationFailed
from parlance.search import store
from parlance.search.documents import Document, Embedder, Hit, Prepared
from parlance.search.measures import Measures
from parlance.search.memory import Changes, MemoryIndex
from parlance.storage.database import Database
from parlance.tasks import Embeddings, Role
from parlance.tasks.options import CallOptions, Priority

__all__ = ["Collection"]

_EMBED_CHUNK = 128
_RETRY_S = 30.0
_LONGEST_NAME = 200
_BACKGROUND = CallOptions(priority=Priority.BACKGROUND)
_log = structlog.get_logger(__name__)


class Collection:
    """Documents under one name; get it from ``Search.collection``, which keeps one object per name.

    Args:
        name: its name in the database.
        model: embedding model or alias; ``None`` searches by words alone.
        weights: of the dense and of the lexical ranking in the fusion.
        refresh_s: a write by another process is seen after this many seconds at the latest; this process's own writes
            are seen by the next search.
    """

    def __init__(
        self,
        name: str,
        *,
        model: str | None,
        database: Database,
        embedder: Embedder,
        weights: tuple[float, float] = (1.0, 1.0),
        refresh_s: float = 0.5,
        monotonic: Callable[[], float] = time.monotonic,
        measures: Measures | None = None,
    ) -> None:
        self._measures = measures
        self.name = name
        self.model = model
        self._database = database
        self._embedder = embedder
        self._weights = weights
        self._refresh_s = refresh_s
        self._monotonic = monotonic
        self._index = MemoryIndex()
        self._turn = asyncio.Lock()
        self._behind = True
        self._checked = 0.0
        self._reembedding: asyncio.Task[None] | None = None
        self._retry_at = 0.0

    async def prepare(self, documents: Sequence[Document], *, options: CallOptions = _BACKGROUND) -> Prepared:
        """Embed documents, outside of any transaction; texts that the collection already has are not embedded again.

        Raises:
            ValidationFailed: a name is empty, too long or given twice, or a text is blank; the index is named.
            ParlanceError: whatever the engine raises.
        """
        _check(documents)
        if self.model is None or not documents:
            return Prepared(tuple(documents))
        index, current = self._index, self._index.model
        known = {item.id: vector for item in documents if (vector := _reusable(index, item)) is not None}
        if fresh := [item.text for item in documents if item.id not in known]:
            vectors, version = await self._embed(fresh, options)
            if known and version != current:  # what is known is of an older model version
                known = {}
                vectors, version = await self._embed([item.text for item in documents], options)
            new = iter(vectors)
            known.update({item.id: next(new) for item in documents if item.id not in known})
            current = version
        return Prepared(tuple(documents), np.stack([known[item.id] for item in documents]), current)

    async def upsert(self, connection: AsyncConnection, prepared: Prepared) -> None:
        """Add or replace documents in the caller's transaction; they are found once it has committed."""
        if not prepared.documents:
            return
        revision = await store.write_documents(connection, self.name, prepared.documents)
        if prepared.vectors is not None and prepared.model is not None:
            ids = [item.id for item in prepared.documents]
            await store.write_vectors(
                connection, self.name, ids, prepared.vectors, model=prepared.model, revision=revision
            )
        self._database.after_commit(connection, self._mark_behind)

    async def delete(self, connection: AsyncConnection, ids: Sequence[str]) -> int:
        """Delete documents in the caller's transaction; returns how many there were."""
        if not ids:
            return 0
        gone = await store.delete_documents(connection, self.name, ids)
        self._database.after_commit(connection, self._mark_behind)
        return gone

    async def search(
        self,
        text: str,
        *,
        limit: int = 10,
        filters: Mapping[str, str] | None = None,
        deadline_s: float | None = None,
    ) -> list[Hit]:
        """The documents nearest to a text, by words and by meaning, best first.

        Args:
            text: a question or some words; nothing in it is an operator.
            limit: most hits.
            filters: only documents that have all these values.
            deadline_s: for the embedding of the text.

        Raises:
            ValidationFailed: the text is blank.
            ParlanceError: whatever the engine raises (unknown model, overloaded, deadline), or ``StorageError``.
        """
        if not text.strip():
            raise ValidationFailed("The search text is blank.", hint="Send at least one word.")
        vector: NDArray[np.float32] | None = None
        version: str | None = None
        if self.model is not None:
            options = CallOptions(deadline_s=deadline_s)
            embeddings = await self._embedder.embed([text], model=self.model, role=Role.QUERY, options=options)
            vector, version = embeddings.vectors[0], _version(embeddings)
        await self._refresh(version)
        index = self._index
        if version != index.model:
            vector = None  # the model was swapped while this text was embedded
        began = self._monotonic()
        rank = partial(index.rank, text, vector, limit=limit, filters=filters, weights=self._weights)
        hits = await asyncio.to_thread(rank) if index.heavy else rank()
        if self._measures is not None:
            self._measures.seconds.labels(self.name).observe(self._monotonic() - began)
        return hits

    async def count(self) -> int:
        """How many documents the database has."""
        async with self._database.read() as connection:
            return await store.count(connection, self.name)

    async def follow(self) -> None:
        """Bring the index up to the database now; asks no model."""
        self._behind = True
        await self._refresh(None)

    async def warm(self) -> int:
        """Bring the index up to date now, so that the first search need not; returns how many documents it has."""
        version = None
        if self.model is not None:
            embeddings = await self._embedder.embed(["ready?"], model=self.model, role=Role.QUERY)
            version = _version(embeddings)
        self._behind = True
        await self._refresh(version)
        return len(self._index)

    async def rebuild(self) -> None:
        """Read everything from the database again; embed every document anew that lacks a current vector; wait for it.

        Drops the vectors of all other model versions.
        """
        async with self._turn:
            self._index = MemoryIndex()
            self._behind = True
        await self.warm()
        await self.settled()
        if (current := self._index.model) is not None:
            async with self._database.transaction() as connection:
                await store.prune_models(connection, self.name, keep=current, others=0)

    async def close(self) -> None:
        """Stop background work; what it did so far is kept."""
        if self._reembedding is not None:
            self._reembedding.cancel()
            await self.settled()

    async def settled(self) -> None:
        """Wait until no document is being embedded again."""
        if self._reembedding is not None:
            await asyncio.gather(self._reembedding, return_exceptions=True)

    @property
    def reembedding(self) -> bool:
        """Whether documents are being embedded again at this moment."""
        return self._reembedding is not None and not self._reembedding.done()

    def _mark_behind(self) -> None:
        self._behind = True

    async def _refresh(self, version: str | None) -> None:
        """Follow the database, and the model version that the engine has now."""
        if self._is_fresh(version):
            return
        async with self._turn:
            if self._is_fresh(version):
                return
            now = self._monotonic()
            self._behind = False
            try:
                changes = await self._changes(version)
                if changes is not None:
                    await asyncio.to_thread(self._index.apply, changes)
                    if self._measures is not None:
                        self._measures.documents.labels(self.name).set(len(self._index))
            except BaseException:
                self._behind = True
                raise
            self._checked = now
        if version is not None:
            self._start_reembedding()

    def _is_fresh(self, version: str | None) -> bool:
        recent = self._monotonic() - self._checked < self._refresh_s
        return recent and not self._behind and version in (None, self._index.model)

    async def _changes(self, version: str | None) -> Changes | None:
        index = self._index
        model = version or index.model
        async with self._database.read() as connection:
            state = await store.read_state(connection, self.name)
            swapped = model != index.model
            if state == index.state and not swapped:
                return None
            changes = Changes(state, model)
            if state != index.state:
                async for part in store.read_documents(connection, self.name, after=index.state.revision):
                    changes.documents.extend(part)
                if state.removals != index.state.removals:
                    changes.present = await store.identifiers(connection, self.name)
            if model is not None:
                after = 0 if swapped else index.state.revision
                stream = store.read_vectors(connection, self.name, model=model, after=after)
                changes.vectors = [part async for part in stream]
        return changes

    def _start_reembedding(self) -> None:
        if self.reembedding or self._monotonic() < self._retry_at or not self._index.missing():
            return
        self._reembedding = asyncio.create_task(self._reembed(), name=f"search-reembed-{self.name}")

    async def _reembed(self) -> None:
        """Embed what lacks a vector of the present version, in parts; each part is found as soon as it is written."""
        try:
            while (names := self._index.missing()) and await self._reembed_part(names[:_EMBED_CHUNK]):
                self._behind = True
                await self._refresh(None)
            if (current := self._index.model) is not None and not self._index.missing():
                async with self._database.transaction() as connection:
                    await store.prune_models(connection, self.name, keep=current)
        except ParlanceError as error:
            self._retry_at = self._monotonic() + _RETRY_S
            _log.warning("search.reembedding_failed", collection=self.name, code=error.code, retry_s=_RETRY_S)

    async def _reembed_part(self, names: Sequence[str]) -> bool:
        index = self._index
        texts = {name: index.texts[name][0] for name in names}
        embeddings = await self._embedder.embed(
            list(texts.values()), model=str(self.model), role=Role.PASSAGE, options=_BACKGROUND
        )
        version = _version(embeddings)
        if version != index.model:
            return False  # swapped again; the next search starts over
        async with self._database.transaction() as connection:
            same = await store.unchanged(connection, self.name, texts)
            rows = [row for row, name in enumerate(texts) if name in same]
            kept = [name for name in texts if name in same]
            await store.write_vectors(connection, self.name, kept, embeddings.vectors[rows], model=version)
        if self._measures is not None:
            self._measures.reembedded.labels(self.name).inc(len(kept))
        return True

    async def _embed(self, texts: Sequence[str], options: CallOptions) -> tuple[NDArray[np.float32], str]:
        """Embed texts in parts, all with one model version: a swap in between starts over."""
        parts: list[NDArray[np.float32]] = []
        version = ""
        while sum(map(len, parts)) < len(texts):
            start = sum(map(len, parts))
            embeddings = await self._embedder.embed(
                texts[start : start + _EMBED_CHUNK], model=str(self.model), role=Role.PASSAGE, options=options
            )
            if parts and version != _version(embeddings):
                parts = []
                continue
            version = _version(embeddings)
            parts.append(embeddings.vectors)
        return np.concatenate(parts), version


def _version(embeddings: Embeddings) -> str:
    return f"{embeddings.origin.model}@{embeddings.origin.version}"


def _reusable(index: MemoryIndex, item: Document) -> NDArray[np.float32] | None:
    text, _ = index.texts.get(item.id, (None, {}))
    return index.vector(item.id) if text == item.text else None


def _check(documents: Sequence[Document]) -> None:
    seen: set[str] = set()
    for number, item in enumerate(documents):
        if not item.id or len(item.id) > _LONGEST_NAME:
            raise ValidationFailed(
                f"Document {number} has an id of {len(item.id)} characters; 1 to {_LONGEST_NAME} are allowed.",
                index=number,
            )
        if item.id in seen:
            raise ValidationFailed(f"Document {number} has the id '{item.id}' of one before it.", index=number)
        if not item.text.strip():
            raise ValidationFailed(f"Document {number} ('{item.id}') has a blank text.", index=number)
        seen.add(item.id)
