"""What was said, and what was decided about it."""

from __future__ import annotations

from datetime import datetime
from typing import Literal

import msgspec

__all__ = ["Alternative", "Citation", "Conversation", "Decision", "Message", "Reply"]


class Citation(msgspec.Struct, frozen=True, kw_only=True):
    """The entry that an answer was taken from."""

    entry_id: str
    question: str
    source: str
    language: str


class Alternative(msgspec.Struct, frozen=True, kw_only=True):
    """Another entry that came near."""

    entry_id: str
    question: str
    confidence: float


class Decision(msgspec.Struct, frozen=True, kw_only=True):
    """How a reply came about. ``confidence`` is the calibrated probability that the best entry answers."""

    answerable: bool
    confidence: float
    language: str
    citations: tuple[Citation, ...] = ()
    alternatives: tuple[Alternative, ...] = ()


class Message(msgspec.Struct, frozen=True, kw_only=True):
    """One message of a conversation; ``decision`` only on replies."""

    id: str
    role: Literal["customer", "bot"]
    text: str
    at: datetime
    client_id: str | None = None
    decision: Decision | None = None


class Reply(msgspec.Struct, frozen=True, kw_only=True):
    """A reply to a customer's message. ``repeated``: the message was known and this is the reply it got then."""

    conversation_id: str
    message: Message
    decision: Decision
    repeated: bool = False


class Conversation(msgspec.Struct, frozen=True, kw_only=True):
    """A conversation without its messages."""

    id: str
    channel: str
    language: str
    turns: int
    created_at: datetime
    updated_at: datetime
