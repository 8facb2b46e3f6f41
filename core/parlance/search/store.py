"""The database side of a collection: writing documents and vectors, and reading what changed since a revision.

Writers of one collection take turns on its row in ``core_search_collections``, so revisions commit in their order, and
"everything above my revision" misses nothing.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import delete, func, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from parlance.search.documents import Document
from parlance.search.tables import collections, documents, vectors
from parlance.storage.upsert import insert_or_ignore, upsert

__all__ = [
    "StoredState",
    "count",
    "delete_documents",
    "identifiers",
    "prune_models",
    "read_documents",
    "read_state",
    "read_vectors",
    "unchanged",
    "write_documents",
    "write_vectors",
]

_CHUNK = 500
_KEPT_MODELS = 2


@dataclass(frozen=True, slots=True)
class StoredState:
    """How far a collection is in the database."""

    revision: int = 0
    removals: int = 0


async def read_state(connection: AsyncConnection, collection: str) -> StoredState:
    """The collection's revision; zeros for one that was never written."""
    query = select(collections.c.revision, collections.c.removals).where(collections.c.name == collection)
    row = (await connection.execute(query)).one_or_none()
    return StoredState(row.revision, row.removals) if row else StoredState()


async def next_revision(connection: AsyncConnection, collection: str, *, removes: bool = False) -> int:
    """Raise the revision and keep the collection's row until the commit, so that other writers wait."""
    first = {"name": collection, "revision": 0, "removals": 0}
    await connection.execute(insert_or_ignore(collections, [first], key=["name"]))
    step = (
        update(collections)
        .where(collections.c.name == collection)
        .values(revision=collections.c.revision + 1, removals=collections.c.removals + int(removes))
        .returning(collections.c.revision)
    )
    return int((await connection.execute(step)).scalar_one())


async def write_documents(connection: AsyncConnection, collection: str, given: Sequence[Document]) -> int:
    """Add or replace documents and drop their old vectors. Returns the revision."""
    revision = await next_revision(connection, collection)
    rows = [
        {
            "collection": collection,
            "id": item.id,
            "text": item.text,
            "filters": dict(item.filters),
            "revision": revision,
        }
        for item in given
    ]
    statement = upsert(documents, key=["collection", "id"], update=["text", "filters", "revision"])
    for part in _chunks(rows):
        await connection.execute(statement, part)
    for part in _chunks([item.id for item in given]):
        await connection.execute(delete(vectors).where(vectors.c.collection == collection, vectors.c.id.in_(part)))
    return revision


async def write_vectors(
    connection: AsyncConnection,
    collection: str,
    ids: Sequence[str],
    values: NDArray[np.float32],
    *,
    model: str,
    revision: int | None = None,
) -> None:
    """Add or replace the vectors that ``model`` computed for documents that exist."""
    number = revision if revision is not None else await next_revision(connection, collection)
    little = np.ascontiguousarray(values, dtype="<f4")
    rows = [
        {"collection": collection, "id": name, "model": model, "vector": row.tobytes(), "revision": number}
        for name, row in zip(ids, little, strict=True)
    ]
    statement = upsert(vectors, key=["collection", "id", "model"], update=["vector", "revision"])
    for part in _chunks(rows):
        await connection.execute(statement, part)


async def delete_documents(connection: AsyncConnection, collection: str, ids: Sequence[str]) -> int:
    """Delete documents with their vectors; returns how many there were."""
    await next_revision(connection, collection, removes=True)  # first, as all writers do: no deadlock between them
    gone = 0
    for part in _chunks(list(ids)):
        await connection.execute(delete(vectors).where(vectors.c.collection == collection, vectors.c.id.in_(part)))
        statement = delete(documents).where(documents.c.collection == collection, documents.c.id.in_(part))
        gone += (await connection.execute(statement)).rowcount
    return gone


async def read_documents(
    connection: AsyncConnection, collection: str, *, after: int
) -> AsyncIterator[list[tuple[str, str, Mapping[str, str]]]]:
    """Documents written after a revision: (id, text, filters), in parts."""
    query = select(documents.c.id, documents.c.text, documents.c.filters).where(
        documents.c.collection == collection, documents.c.revision > after
    )
    async with connection.stream(query.order_by(documents.c.revision, documents.c.id)) as result:
        async for part in result.partitions(_CHUNK):
            yield [(row.id, row.text, row.filters) for row in part]


async def read_vectors(
    connection: AsyncConnection, collection: str, *, model: str, after: int
) -> AsyncIterator[tuple[list[str], NDArray[np.float32]]]:
    """Vectors of one model version written after a revision, in parts."""
    query = select(vectors.c.id, vectors.c.vector).where(
        vectors.c.collection == collection, vectors.c.model == model, vectors.c.revision > after
    )
    async with connection.stream(query.order_by(vectors.c.revision, vectors.c.id)) as result:
        async for part in result.partitions(_CHUNK):
            packed = np.frombuffer(b"".join(row.vector for row in part), dtype="<f4")
            yield [row.id for row in part], packed.reshape(len(part), -1).astype(np.float32, copy=False)


async def identifiers(connection: AsyncConnection, collection: str) -> set[str]:
    """All ids of a collection."""
    query = select(documents.c.id).where(documents.c.collection == collection)
    return set((await connection.execute(query)).scalars())


async def count(connection: AsyncConnection, collection: str) -> int:
    """How many documents there are."""
    query = select(func.count()).select_from(documents).where(documents.c.collection == collection)
    return int((await connection.execute(query)).scalar_one())


async def unchanged(connection: AsyncConnection, collection: str, texts: Mapping[str, str]) -> set[str]:
    """Of documents that were read before, the ids of those that still have the same text."""
    query = select(documents.c.id, documents.c.text).where(
        documents.c.collection == collection, documents.c.id.in_(list(texts))
    )
    return {row.id for row in await connection.execute(query) if texts[row.id] == row.text}


async def prune_models(
    connection: AsyncConnection, collection: str, *, keep: str, others: int = _KEPT_MODELS - 1
) -> int:
    """Drop vectors of model versions other than ``keep`` and the ``others`` written last; returns how many rows.

    One earlier version is kept by default, so that rolling an alias back needs no re-embedding.
    """
    newest = func.max(vectors.c.revision)
    query = (
        select(vectors.c.model)
        .where(vectors.c.collection == collection, vectors.c.model != keep)
        .group_by(vectors.c.model)
        .order_by(newest.desc())
    )
    old = list((await connection.execute(query)).scalars())[others:]
    if not old:
        return 0
    statement = delete(vectors).where(vectors.c.collection == collection, vectors.c.model.in_(old))
    return (await connection.execute(statement)).rowcount


def _chunks(items: list[Any]) -> list[list[Any]]:
    return [items[start : start + _CHUNK] for start in range(0, len(items), _CHUNK)]
