"""Rows of documents and of the keys that they count for."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

import msgspec
from sqlalchemy import ColumnElement, and_, bindparam, delete, exists, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from parlance.storage.upsert import insert_or_ignore
from parlance_sentiment.documents import Document, Labelling
from parlance_sentiment.store.paging import before, encode_cursor
from parlance_sentiment.tables import document_keys, documents

__all__ = ["DocumentQuery", "add", "find", "get_many", "page", "remove", "replace"]

_CHUNK = 400


class DocumentQuery(msgspec.Struct, frozen=True, kw_only=True):
    """Filters of a list; ``start`` is included, ``end`` is not."""

    company: str | None = None
    topic: str | None = None
    source: str | None = None
    label: str | None = None
    start: datetime | None = None
    end: datetime | None = None
    cursor: str | None = None
    limit: int = 50


async def get_many(connection: AsyncConnection, ids: Collection[str], *, lock: bool = False) -> dict[str, Document]:
    """Stored documents by id. ``lock`` holds their rows until the transaction ends (PostgreSQL), in order of id."""
    found: dict[str, Document] = {}
    ordered = sorted(ids)
    for start in range(0, len(ordered), _CHUNK):
        query = select(documents).where(documents.c.id.in_(ordered[start : start + _CHUNK])).order_by(documents.c.id)
        for row in (await connection.execute(query.with_for_update() if lock else query)).mappings():
            found[row["id"]] = _document(row)
    return found


async def find(connection: AsyncConnection, identity: str) -> Document | None:
    """One document."""
    return (await get_many(connection, [identity])).get(identity)


async def add(connection: AsyncConnection, new: Sequence[Document]) -> set[str]:
    """Insert documents whose ids are not there yet; says which were inserted. Their ids must differ."""
    inserted: set[str] = set()
    ordered = sorted(new, key=lambda document: document.id)
    for start in range(0, len(ordered), _CHUNK):
        rows = [_row(document) for document in ordered[start : start + _CHUNK]]
        statement = insert_or_ignore(documents, rows, key=["id"]).returning(documents.c.id)
        inserted.update((await connection.execute(statement)).scalars())
    await _add_keys(connection, [document for document in ordered if document.id in inserted])
    return inserted


async def replace(connection: AsyncConnection, changed: Sequence[Document]) -> None:
    """Put new versions in the place of stored documents."""
    if not changed:
        return
    columns = [column.name for column in documents.columns if column.name != "id"]
    statement = (
        update(documents)
        .where(documents.c.id == bindparam("row_id"))
        .values({name: bindparam(f"new_{name}", type_=documents.c[name].type) for name in columns})
    )
    rows = [_row(document) for document in changed]
    await connection.execute(
        statement, [{"row_id": row["id"], **{f"new_{name}": row[name] for name in columns}} for row in rows]
    )
    await _drop_keys(connection, [document.id for document in changed])
    await _add_keys(connection, changed)


async def remove(connection: AsyncConnection, identity: str) -> None:
    """Delete a document and its keys."""
    await connection.execute(delete(document_keys).where(document_keys.c.document_id == identity))
    await connection.execute(delete(documents).where(documents.c.id == identity))


async def page(connection: AsyncConnection, query: DocumentQuery) -> tuple[list[Document], str | None]:
    """One page, newest first, and the cursor of the next one."""
    conditions: list[ColumnElement[bool]] = [
        _has_key(f"{kind}:{name}") for kind, name in (("company", query.company), ("topic", query.topic)) if name
    ]
    if query.source:
        conditions.append(documents.c.source == query.source)
    if query.label:
        conditions.append(documents.c.label == query.label)
    if query.start:
        conditions.append(documents.c.published_at >= query.start)
    if query.end:
        conditions.append(documents.c.published_at < query.end)
    if query.cursor:
        conditions.append(before(query.cursor, documents.c.published_at, documents.c.id))
    statement = (
        select(documents)
        .where(*conditions)
        .order_by(documents.c.published_at.desc(), documents.c.id.desc())
        .limit(query.limit + 1)
    )
    rows = [_document(row) for row in (await connection.execute(statement)).mappings()]
    shown = rows[: query.limit]
    more = encode_cursor(shown[-1].published_at, shown[-1].id) if len(rows) > query.limit else None
    return shown, more


def _has_key(key: str) -> ColumnElement[bool]:
    return exists().where(and_(document_keys.c.document_id == documents.c.id, document_keys.c.key == key))


async def _add_keys(connection: AsyncConnection, new: Iterable[Document]) -> None:
    rows = [
        {
            "key": key,
            "document_id": document.id,
            "published_at": document.published_at,
            "source": document.source,
            "label": document.labelling.label,
            "score": document.labelling.score,
        }
        for document in new
        for key in document.keys
    ]
    if rows:
        await connection.execute(insert(document_keys), rows)


async def _drop_keys(connection: AsyncConnection, ids: Sequence[str]) -> None:
    for start in range(0, len(ids), _CHUNK):
        chosen = document_keys.c.document_id.in_(ids[start : start + _CHUNK])
        await connection.execute(delete(document_keys).where(chosen))


def _row(document: Document) -> dict[str, Any]:
    labelling = document.labelling
    return {
        "id": document.id,
        "fingerprint": document.fingerprint,
        "text": document.text,
        "title": document.title,
        "published_at": document.published_at,
        "received_at": document.received_at,
        "updated_at": document.updated_at,
        "source": document.source,
        "companies": list(document.companies),
        "topics": list(document.topics),
        "language": document.language,
        "label": labelling.label,
        "positive": labelling.positive,
        "neutral": labelling.neutral,
        "negative": labelling.negative,
        "model": labelling.model,
        "truncated": labelling.truncated,
        "revision": document.revision,
    }


def _document(row: Mapping[Any, Any]) -> Document:
    return Document(
        id=row["id"],
        fingerprint=row["fingerprint"],
        text=row["text"],
        title=row["title"],
        published_at=row["published_at"],
        received_at=row["received_at"],
        updated_at=row["updated_at"],
        source=row["source"],
        companies=tuple(row["companies"]),
        topics=tuple(row["topics"]),
        language=row["language"],
        labelling=Labelling(
            label=row["label"],
            positive=row["positive"],
            neutral=row["neutral"],
            negative=row["negative"],
            model=row["model"],
            truncated=row["truncated"],
        ),
        revision=row["revision"],
    )
