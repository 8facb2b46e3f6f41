"""Documents into the database with everything that follows from them, in one transaction: rows, counters, alerts.

Models run before the transaction; when the stored state has changed meanwhile, what is missing is labelled and the
transaction tried again.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Literal

import msgspec
from sqlalchemy.ext.asyncio import AsyncConnection

from parlance.engine.interface import CallOptions, Priority
from parlance.errors import Conflict, NotFound
from parlance.plugins.context import PluginContext
from parlance_sentiment.documents import Document, Draft, Labelling, labelling_from
from parlance_sentiment.judging import Judging
from parlance_sentiment.measures import Measures
from parlance_sentiment.settings import SentimentSettings
from parlance_sentiment.store import buckets as bucket_rows
from parlance_sentiment.store import documents as document_rows
from parlance_sentiment.store.turns import take_turn
from parlance_sentiment.trends import changes

__all__ = ["Ingested", "Ingestion", "Outcome"]

Outcome = Literal["stored", "unchanged", "corrected"]
_ATTEMPTS = 5


class Ingested(msgspec.Struct, frozen=True, kw_only=True):
    """What became of one document: stored anew, unchanged (it was there), or a correction of the one that was there."""

    outcome: Outcome
    document: Document


class _IncompleteError(Exception):
    """Labels are missing because the stored documents changed since they were looked at."""

    def __init__(self, drafts: Sequence[Draft]) -> None:
        super().__init__()
        self.drafts = drafts


class Ingestion:
    """Takes documents in, corrects and withdraws them."""

    def __init__(self, context: PluginContext[SentimentSettings], judging: Judging, measures: Measures) -> None:
        self._context = context
        self._judging = judging
        self._measures = measures

    async def label(
        self, texts: Sequence[str], *, priority: Priority = Priority.INTERACTIVE, charge_to: str = ""
    ) -> list[Labelling]:
        """Label texts without storing them, in order."""
        if not texts:
            return []
        settings = self._context.settings
        deadline_s = settings.deadline_s if priority is Priority.INTERACTIVE else None
        options = CallOptions(deadline_s=deadline_s, priority=priority, charge_to=charge_to)
        started = self._context.clock.monotonic()
        answers = await self._context.engine.classify(list(texts), model=settings.model, options=options)
        self._measures.labelling_seconds.observe(self._context.clock.monotonic() - started)
        return [labelling_from(answer) for answer in answers]

    async def ingest(
        self, drafts: Sequence[Draft], *, priority: Priority = Priority.INTERACTIVE, charge_to: str = ""
    ) -> list[Ingested]:
        """Store documents; the results are in the order of the drafts. All are stored, or none.

        The same id twice in one call is taken in order, so that the second corrects the first.
        """
        if not drafts:
            return []
        async with self._context.storage.read() as connection:
            stored = await document_rows.get_many(connection, {draft.id for draft in drafts})
        missing = [draft for draft in drafts if draft.id not in stored or not stored[draft.id].says_the_same(draft)]
        labels: dict[str, Labelling] = {}
        for _ in range(_ATTEMPTS):
            wanted = list(dict.fromkeys(draft.reading for draft in missing if draft.reading not in labels))
            answers = await self.label(wanted, priority=priority, charge_to=charge_to)
            labels.update(zip(wanted, answers, strict=True))
            try:
                async with self._context.storage.transaction() as connection:
                    await take_turn(connection)
                    results = await self._store(connection, drafts, labels)
                    self._context.storage.after_commit(connection, lambda done=results: self._measure(done))  # type: ignore[misc]
                    return results
            except _IncompleteError as incomplete:
                missing = list(incomplete.drafts)
        raise Conflict(
            "Other writers kept changing the same documents.", hint="Send them again.", code="documents_contended"
        )

    async def withdraw(self, identity: str) -> Document:
        """Delete a document, take it out of the counters, and judge its keys again.

        Raises:
            NotFound: code ``unknown_document``.
        """
        async with self._context.storage.transaction() as connection:
            await take_turn(connection)
            found = await document_rows.get_many(connection, [identity], lock=True)
            if identity not in found:
                raise unknown_document(identity)
            document = found[identity]
            await document_rows.remove(connection, identity)
            await bucket_rows.add(connection, changes(removed=[document], added=[]))
            await self._judging.after_change(connection, came=[], went=[document])
            self._context.storage.after_commit(
                connection,
                lambda: self._measures.documents.labels(outcome="withdrawn", label=document.labelling.label).inc(),
            )
        return document

    async def _store(
        self, connection: AsyncConnection, drafts: Sequence[Draft], labels: Mapping[str, Labelling]
    ) -> list[Ingested]:
        now = self._context.clock.now()
        current = await self._settle_rows(connection, drafts, labels, now)
        before = {identity: document for identity, (document, fresh) in current.items() if not fresh}
        touched: dict[str, Document] = {}
        results: list[Ingested] = []
        missing: list[Draft] = []
        state = {identity: document for identity, (document, _) in current.items()}
        seen_fresh: set[str] = set()
        for draft in drafts:
            document, fresh = state[draft.id], current[draft.id][1]
            if fresh and draft.id not in seen_fresh:
                seen_fresh.add(draft.id)
                results.append(Ingested(outcome="stored", document=document))
            elif document.says_the_same(draft):
                results.append(Ingested(outcome="unchanged", document=document))
            elif draft.reading not in labels:
                missing.append(draft)
            else:
                document = document.corrected(draft, labels[draft.reading], now=now)
                state[draft.id] = touched[draft.id] = document
                results.append(Ingested(outcome="corrected", document=document))
        if missing:
            raise _IncompleteError(missing)
        await document_rows.replace(connection, [touched[identity] for identity in sorted(touched)])
        went = [before[identity] for identity in touched if identity in before]
        came = [state[identity] for identity in state if identity in touched or current[identity][1]]
        await bucket_rows.add(connection, changes(removed=went, added=came))
        await self._judging.after_change(connection, came=came, went=went)
        return results

    async def _settle_rows(
        self, connection: AsyncConnection, drafts: Sequence[Draft], labels: Mapping[str, Labelling], now: datetime
    ) -> dict[str, tuple[Document, bool]]:
        """Lock or insert the row of every draft: the document as it is now, and whether this call made it."""
        first = {draft.id: draft for draft in reversed(drafts)}
        rows: dict[str, tuple[Document, bool]] = {}
        for _ in range(_ATTEMPTS):
            absent = [identity for identity in first if identity not in rows]
            found = await document_rows.get_many(connection, absent, lock=True)
            rows.update({identity: (document, False) for identity, document in found.items()})
            fresh = [first[identity] for identity in absent if identity not in found]
            missing = [draft for draft in fresh if draft.reading not in labels]
            if missing:
                raise _IncompleteError(missing)
            new = {draft.id: Document.new(draft, labels[draft.reading], now=now) for draft in fresh}
            inserted = await document_rows.add(connection, list(new.values()))
            rows.update({identity: (new[identity], True) for identity in inserted})
            if len(rows) == len(first):
                return rows
        raise Conflict(
            "Other writers kept creating and deleting the same documents.",
            hint="Send them again.",
            code="documents_contended",
        )

    def _measure(self, results: Sequence[Ingested]) -> None:
        for result in results:
            document = result.document
            self._measures.documents.labels(outcome=result.outcome, label=document.labelling.label).inc()
            if result.outcome == "stored":
                delay_s = (document.received_at - document.published_at).total_seconds()
                self._measures.delay_seconds.observe(max(0.0, delay_s))


def unknown_document(identity: str) -> NotFound:
    """There is no document of this id."""
    facts: dict[str, Any] = {"id": identity[:200]}
    return NotFound(f"There is no document {identity[:200]!r}.", code="unknown_document", **facts)
