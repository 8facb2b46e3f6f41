"""The knowledge base as a whole: entries in the database and in the search, always together."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from parlance.clock import Clock
from parlance.engine.interface import CallOptions, Priority
from parlance.errors import NotFound, ValidationFailed
from parlance.search.hybrid import Collection, Hit
from parlance.storage.database import Database
from parlance_support.knowledge.entry import Draft, Entry, checked, documents_of, entry_of
from parlance_support.store import knowledge as store

__all__ = ["COLLECTION", "Found", "KnowledgeBase"]

COLLECTION = "support.knowledge"
_BACKGROUND = CallOptions(priority=Priority.BACKGROUND)


@dataclass(frozen=True, slots=True)
class Found:
    """An entry that a search found, with its best hit."""

    entry: Entry
    hit: Hit


class KnowledgeBase:
    """Adds, lists, deletes and finds entries."""

    def __init__(self, storage: Database, collection: Collection, *, clock: Clock, default_language: str) -> None:
        self._storage = storage
        self._collection = collection
        self._clock = clock
        self._default_language = default_language

    def check(self, draft: Draft) -> Entry:
        """Complete and check a draft; see ``entry.checked``."""
        return checked(draft, default_language=self._default_language)

    async def add(self, drafts: Sequence[Draft], *, options: CallOptions = _BACKGROUND) -> list[Entry]:
        """Add entries, or replace those with the same id: all of them, or none.

        Raises:
            ValidationFailed: an entry cannot be used; ``index`` says which.
            ParlanceError: whatever the engine or the database raises.
        """
        entries: list[Entry] = []
        for index, draft in enumerate(drafts):
            try:
                entries.append(self.check(draft))
            except ValidationFailed as error:
                raise ValidationFailed(
                    f"Entry {index}: {error.detail}", hint=error.hint, code=error.code, index=index
                ) from error
        await self.write(entries, options=options)
        return entries

    async def write(self, entries: Sequence[Entry], *, options: CallOptions = _BACKGROUND) -> None:
        """Store checked entries; of two with one id the later counts."""
        latest = list({entry.id: entry for entry in entries}.values())
        if not latest:
            return
        documents = [document for entry in latest for document in documents_of(entry)]
        prepared = await self._collection.prepare(documents, options=options)
        async with self._storage.transaction() as connection:
            before = await store.stored_variants(connection, [entry.id for entry in latest])
            await store.write(connection, latest, now=self._clock.now())
            await self._collection.delete(connection, _surplus(latest, before))
            await self._collection.upsert(connection, prepared)

    async def get(self, ids: Sequence[str]) -> dict[str, Entry]:
        """Entries by id; unknown ids are left out."""
        async with self._storage.read() as connection:
            return await store.get(connection, ids)

    async def page(self, *, after: str = "", limit: int = 50, language: str | None = None) -> list[Entry]:
        """Entries in the order of their ids."""
        async with self._storage.read() as connection:
            return await store.page(connection, after=after, limit=limit, language=language)

    async def count(self) -> dict[str, int]:
        """How many entries there are, by language."""
        async with self._storage.read() as connection:
            return await store.count(connection)

    async def delete(self, entry_id: str) -> None:
        """Delete an entry; it is no longer found once this returns.

        Raises:
            NotFound: there is no such entry (``unknown_entry``).
        """
        async with self._storage.transaction() as connection:
            before = await store.stored_variants(connection, [entry_id])
            if not before:
                raise NotFound(f"There is no entry '{entry_id}' in the knowledge base.", code="unknown_entry")
            await self._collection.delete(connection, _documents(entry_id, 0, before[entry_id] + 1, answer=True))
            await store.delete_entries(connection, [entry_id])

    async def search(self, text: str, *, limit: int = 10, language: str | None = None) -> list[Found]:
        """Entries by words and meaning of their questions and answers, best first, each once."""
        filters = {"language": language} if language else None
        hits = await self._collection.search(text, limit=5 * limit, filters=filters)
        best: dict[str, Hit] = {}
        for hit in hits:
            best.setdefault(entry_of(hit.id), hit)
        names = list(best)[:limit]
        known = await self.get(names)
        return [Found(known[name], best[name]) for name in names if name in known]


def _surplus(entries: Sequence[Entry], before: dict[str, int]) -> list[str]:
    """Documents of variants that an entry no longer has."""
    return [
        document
        for entry in entries
        for document in _documents(entry.id, len(entry.variants) + 1, before.get(entry.id, 0) + 1)
    ]


def _documents(entry_id: str, first: int, last: int, *, answer: bool = False) -> list[str]:
    found = [f"{entry_id}:q{number}" for number in range(first, last)]
    return [*found, f"{entry_id}:a"] if answer else found
