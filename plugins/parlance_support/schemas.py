"""Requests and answers as they are on the wire."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from parlance_support.conversations.message import Alternative, Citation, Conversation, Message, Reply
from parlance_support.knowledge.base import Found
from parlance_support.knowledge.entry import Draft, Entry

__all__ = [
    "AddEntries",
    "AddedEntries",
    "ConversationDetail",
    "ConversationPage",
    "EntryIn",
    "EntryOut",
    "EntryPage",
    "FoundOut",
    "MessageIn",
    "ReplyOut",
    "SearchOut",
    "draft_of",
    "entry_out",
    "found_out",
    "reply_out",
]


class _In(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A request: unknown fields are errors."""


class _Out(msgspec.Struct, frozen=True, kw_only=True):
    """An answer."""


class MessageIn(_In, frozen=True):
    """A customer's message."""

    text: Annotated[str, Meta(description="What the customer says.", examples=["怎么申请退货？", "Where is my order?"])]
    message_id: (
        Annotated[
            str,
            Meta(
                min_length=1,
                max_length=200,
                description="Your id of this message. The same id sent again gets the same reply, and nothing twice.",
                examples=["web-7f3a-1"],
            ),
        ]
        | None
    ) = None


class ReplyOut(_Out, frozen=True):
    """The reply to a message."""

    conversation_id: Annotated[str, Meta(description="The conversation.")]
    message_id: Annotated[str, Meta(description="The id of this reply.")]
    text: Annotated[str, Meta(description="What to show to the customer.")]
    answerable: Annotated[bool, Meta(description="Whether an entry answers; otherwise `text` is the fallback.")]
    score: Annotated[
        float, Meta(ge=0, le=1, description="Calibrated probability that the best entry answers the message.")
    ]
    language: Annotated[str, Meta(description="Language that the message was taken to be in.", examples=["en", "zh"])]
    citations: Annotated[tuple[Citation, ...], Meta(description="The entries that the text was taken from.")]
    alternatives: Annotated[tuple[Alternative, ...], Meta(description="Other entries that came near, best first.")]
    repeated: Annotated[bool, Meta(description="Whether the `message_id` was known: this is the reply from then.")]


class ConversationDetail(_Out, frozen=True):
    """A conversation with its messages."""

    conversation: Conversation
    messages: Annotated[tuple[Message, ...], Meta(description="In the order in which they were said.")]
    next_cursor: Annotated[str | None, Meta(description="Pass as `cursor` for further messages.")] = None


class ConversationPage(_Out, frozen=True):
    """Conversations, the one with the latest message first."""

    conversations: tuple[Conversation, ...]
    next_cursor: Annotated[str | None, Meta(description="Pass as `cursor` for the next page.")] = None


class EntryIn(_In, frozen=True):
    """An entry to add, or to replace where its id (or language and question) is known."""

    question: Annotated[str, Meta(description="The question, 1 to 1000 characters.", examples=["How do I return it?"])]
    answer: Annotated[
        str, Meta(description="The answer, 1 to 20000 characters.", examples=["Open 'My orders' and choose 'Return'."])
    ]
    variants: Annotated[
        tuple[str, ...], Meta(description="Other ways to ask it; at most 100.", examples=[["I want to send it back"]])
    ] = ()
    language: Annotated[
        Literal["en", "zh"] | None, Meta(description="Told by the script of the question where it is left out.")
    ] = None
    source: Annotated[str, Meta(max_length=2000, description="Where it comes from: a URL, a document.")] = ""
    id: (
        Annotated[
            str,
            Meta(min_length=1, max_length=64, description="Your id, without a colon. Default: made from the question."),
        ]
        | None
    ) = None


class AddEntries(_In, frozen=True):
    """Entries to add together."""

    entries: Annotated[tuple[EntryIn, ...], Meta(description="In order; at most limits.batch_texts.")]


class EntryOut(_Out, frozen=True):
    """An entry of the knowledge base."""

    id: str
    question: str
    answer: str
    variants: tuple[str, ...]
    language: str
    source: str
    created_at: datetime | None = None
    updated_at: datetime | None = None


class AddedEntries(_Out, frozen=True):
    """What was stored; all of it, or the request failed."""

    entries: tuple[EntryOut, ...]


class EntryPage(_Out, frozen=True):
    """Entries in the order of their ids."""

    entries: tuple[EntryOut, ...]
    next_cursor: Annotated[str | None, Meta(description="Pass as `cursor` for the next page.")] = None


class FoundOut(_Out, frozen=True):
    """An entry that was found."""

    entry: EntryOut
    matched: Annotated[str, Meta(description="The text of the entry that lies nearest.")]
    score: Annotated[float, Meta(description="Fused rank score; it orders the results of one search only.")]
    cosine: Annotated[float | None, Meta(description="Nearness in meaning; null while the entry is being embedded.")]
    bm25: Annotated[float | None, Meta(description="Nearness in words; null where it is not among the best.")]


class SearchOut(_Out, frozen=True):
    """Entries that were found, best first."""

    results: tuple[FoundOut, ...]


def draft_of(given: EntryIn) -> Draft:
    """An entry as the service takes it."""
    return Draft(given.question, given.answer, given.variants, given.language, given.source, given.id)


def entry_out(entry: Entry) -> EntryOut:
    """An entry as it is shown."""
    return EntryOut(
        id=entry.id,
        question=entry.question,
        answer=entry.answer,
        variants=entry.variants,
        language=entry.language,
        source=entry.source,
        created_at=entry.created_at,
        updated_at=entry.updated_at,
    )


def found_out(found: Found) -> FoundOut:
    """A search result as it is shown."""
    hit = found.hit
    return FoundOut(
        entry=entry_out(found.entry),
        matched=hit.text,
        score=round(hit.score, 6),
        cosine=round(hit.dense, 4) if hit.dense is not None else None,
        bm25=round(hit.lexical, 4) if hit.lexical is not None else None,
    )


def reply_out(reply: Reply) -> ReplyOut:
    """A reply as it is shown."""
    decision = reply.decision
    return ReplyOut(
        conversation_id=reply.conversation_id,
        message_id=reply.message.id,
        text=reply.message.text,
        answerable=decision.answerable,
        score=decision.confidence,
        language=decision.language,
        citations=decision.citations,
        alternatives=decision.alternatives,
        repeated=reply.repeated,
    )
