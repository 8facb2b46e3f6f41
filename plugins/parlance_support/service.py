"""What the plugin can do, one method per thing: HTTP handlers, commands and tests call the same."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from parlance.engine.interface import CallOptions
from parlance.errors import Conflict, NotFound, ValidationFailed
from parlance.plugins.context import PluginContext
from parlance.storage.imports import ImportReport
from parlance_support.answering.answerer import Answer, Answerer
from parlance_support.answering.calibration import load_calibration
from parlance_support.conversations.message import Conversation, Message, Reply
from parlance_support.conversations.turns import Turns
from parlance_support.knowledge.base import COLLECTION, Found, KnowledgeBase
from parlance_support.knowledge.entry import Draft, Entry
from parlance_support.knowledge.importing import import_path
from parlance_support.measures import measures
from parlance_support.settings import SupportSettings
from parlance_support.store import conversations as store

__all__ = ["Page", "SupportService"]

_LONGEST_ID = 200
_PURGE_BATCH = 500


@dataclass(frozen=True, slots=True)
class Page:
    """Messages of a conversation; ``last`` is the number to go on from, ``None`` at the end."""

    conversation: Conversation
    messages: tuple[Message, ...]
    last: int | None


class SupportService:
    """Customer service over one plugin context. Make one per process: it holds the turns of running conversations."""

    def __init__(self, context: PluginContext[SupportSettings]) -> None:
        settings = context.settings
        collection = context.search.collection(COLLECTION, model=settings.embedding_model)
        self._context = context
        self._settings = settings
        self._base = KnowledgeBase(
            context.storage, collection, clock=context.clock, default_language=settings.default_language
        )
        self._answerer = Answerer(self._base, collection, load_calibration(settings.calibration_file), settings)
        self._turns = Turns(wait_s=settings.turn_wait_s)
        self._measures = measures(context.metrics)

    async def reply(
        self, conversation_id: str, text: str, *, message_id: str | None = None, channel: str = "api"
    ) -> Reply:
        """Answer a customer's message and store both, together.

        The same ``message_id`` in the same conversation gets the stored reply again, and nothing is written twice.

        Raises:
            ValidationFailed: the text is blank or too long, or an id cannot be used.
            Conflict: the ``message_id`` was used for another text (``message_id_reused``), or earlier messages of the
                conversation take too long (``conversation_busy``).
            ParlanceError: the engine or the database failed; nothing was written.
        """
        self._check(conversation_id, text, message_id)
        began = self._context.clock.monotonic()
        async with self._turns.hold(conversation_id):
            known, earlier = await self._look_up(conversation_id, message_id)
            if known:
                return self._repeated(conversation_id, known, text)
            answer = await self._answerer.answer(text, earlier_language=earlier.language if earlier else None)
            try:
                reply = await self._store_turn(conversation_id, text, answer, message_id=message_id, channel=channel)
            except Conflict:
                # Another process stored the same message meanwhile: its reply is the reply.
                known, _ = await self._look_up(conversation_id, message_id)
                if not known:
                    raise
                return self._repeated(conversation_id, known, text)
        outcome = "answered" if reply.decision.answerable else "fallback"
        self._measures.turns.labels(channel, reply.decision.language, outcome).inc()
        self._measures.turn_seconds.observe(self._context.clock.monotonic() - began)
        self._measures.confidence.observe(reply.decision.confidence)
        return reply

    async def ask(self, text: str) -> Answer:
        """Answer without a conversation; nothing is stored."""
        self._check("-", text, None)
        return await self._answerer.answer(text)

    async def conversation(self, conversation_id: str, *, after: int = 0, limit: int = 200) -> Page:
        """A conversation with its messages in order.

        Raises:
            NotFound: there is none of that id (``unknown_conversation``).
        """
        async with self._context.storage.read() as connection:
            found = await store.get(connection, conversation_id)
            said = await store.said(connection, conversation_id, after=after, limit=limit + 1) if found else []
        if found is None:
            raise _unknown(conversation_id)
        last = said[limit - 1][0] if len(said) > limit else None
        return Page(found, tuple(message for _, message in said[:limit]), last)

    async def conversations(self, *, before: tuple[datetime, str] | None = None, limit: int = 50) -> list[Conversation]:
        """Conversations, the one with the latest message first."""
        async with self._context.storage.read() as connection:
            return await store.page(connection, before=before, limit=limit)

    async def forget(self, conversation_id: str) -> int:
        """Delete a conversation; returns how many messages it had.

        Raises:
            NotFound: there is none of that id (``unknown_conversation``).
        """
        async with self._turns.hold(conversation_id), self._context.storage.transaction() as connection:
            gone = await store.delete_conversation(connection, conversation_id)
        if gone < 0:
            raise _unknown(conversation_id)
        return gone

    async def purge(self) -> bool:
        """Delete conversations older than the retention; tells whether there may be more of them."""
        if not self._settings.retention_days:
            return False
        oldest = self._context.clock.now() - timedelta(days=self._settings.retention_days)
        async with self._context.storage.transaction() as connection:
            return await store.delete_before(connection, oldest, limit=_PURGE_BATCH) == _PURGE_BATCH

    async def add_entries(self, drafts: Sequence[Draft], *, options: CallOptions) -> list[Entry]:
        """Add or replace entries: all of them, or none."""
        return await self._base.add(drafts, options=options)

    async def entry(self, entry_id: str) -> Entry:
        """One entry.

        Raises:
            NotFound: there is none of that id (``unknown_entry``).
        """
        found = await self._base.get([entry_id])
        if entry_id not in found:
            raise NotFound(f"There is no entry '{entry_id}' in the knowledge base.", code="unknown_entry")
        return found[entry_id]

    async def known(self, entry_ids: Sequence[str]) -> set[str]:
        """Of some ids, those that there are entries of."""
        return set(await self._base.get(entry_ids))

    async def entries(self, *, after: str = "", limit: int = 50, language: str | None = None) -> list[Entry]:
        """Entries in the order of their ids."""
        return await self._base.page(after=after, limit=limit, language=language)

    async def delete_entry(self, entry_id: str) -> None:
        """Delete one entry."""
        await self._base.delete(entry_id)

    async def search(self, text: str, *, limit: int = 10, language: str | None = None) -> list[Found]:
        """Find entries by words and meaning."""
        return await self._base.search(text, limit=limit, language=language)

    async def counts(self) -> dict[str, int]:
        """How many entries there are, by language."""
        return await self._base.count()

    async def import_path(
        self,
        path: Path,
        *,
        language: str | None = None,
        columns: Mapping[str, str] | None = None,
        encoding: str | None = None,
        rejects: Path | None = None,
        dry_run: bool = False,
        progress: Callable[[int, int], None] | None = None,
    ) -> list[ImportReport]:
        """Import a file or a folder; see ``knowledge.importing``."""
        return await import_path(
            self._base,
            path,
            language=language,
            columns=columns,
            encoding=encoding,
            rejects=rejects,
            dry_run=dry_run,
            progress=progress,
        )

    def _check(self, conversation_id: str, text: str, message_id: str | None) -> None:
        for name, value in (("conversation id", conversation_id), ("message_id", message_id)):
            if value is not None and not 1 <= len(value) <= _LONGEST_ID:
                raise ValidationFailed(f"The {name} has {len(value)} characters; 1 to {_LONGEST_ID} are allowed.")
        if not text.strip():
            raise ValidationFailed("The message is empty.", hint="Send at least one character.", code="empty_text")
        longest = self._settings.message_chars
        if len(text) > longest:
            raise ValidationFailed(
                f"The message has {len(text)} characters; the limit is {longest}.",
                hint="Shorten it, or raise support.message_chars.",
                code="text_too_long",
                limit=longest,
            )

    async def _look_up(self, conversation_id: str, message_id: str | None) -> tuple[list[Message], Conversation | None]:
        async with self._context.storage.read() as connection:
            known = await store.exchange(connection, conversation_id, message_id) if message_id else []
            return known, await store.get(connection, conversation_id)

    def _repeated(self, conversation_id: str, known: Sequence[Message], text: str) -> Reply:
        asked, answered = known
        if asked.text != text or answered.decision is None:
            raise Conflict(
                f"The message_id '{asked.client_id}' was used in this conversation for another text.",
                hint="Give every new message a new message_id.",
                code="message_id_reused",
            )
        self._measures.repeated.inc()
        return Reply(conversation_id=conversation_id, message=answered, decision=answered.decision, repeated=True)

    async def _store_turn(
        self, conversation_id: str, text: str, answer: Answer, *, message_id: str | None, channel: str
    ) -> Reply:
        now = self._context.clock.now()
        asked = Message(id=_new_id(), role="customer", text=text, at=now, client_id=message_id)
        answered = Message(
            id=_new_id(), role="bot", text=answer.text, at=now, client_id=message_id, decision=answer.decision
        )
        async with self._context.storage.transaction() as connection:
            await store.add_turn(
                connection,
                conversation_id,
                channel=channel,
                language=answer.decision.language,
                said=(asked, answered),
            )
        return Reply(conversation_id=conversation_id, message=answered, decision=answer.decision)


def _new_id() -> str:
    return f"m{uuid.uuid4().hex}"


def _unknown(conversation_id: str) -> NotFound:
    return NotFound(f"There is no conversation '{conversation_id}'.", code="unknown_conversation")
