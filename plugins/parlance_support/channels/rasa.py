"""Rasa's REST channel: its request and reply, with our own facts as extra fields that old clients pass over.

Wire form: ``POST /webhooks/rest/webhook`` takes ``sender``, ``message`` (and ``input_channel``, ``metadata``) and
answers with an array of messages; unlike Rasa, a failure is a problem document with its status, never an empty array.
"""

from __future__ import annotations

from typing import Annotated, Any

import msgspec
from msgspec import Meta

from parlance_support.conversations.message import Citation, Reply

__all__ = ["RasaMessage", "RasaReply", "RasaStatus", "message_id_of", "rasa_reply"]


class RasaMessage(msgspec.Struct, frozen=True, kw_only=True):
    """A message in Rasa's form. Fields that are not known are passed over, as Rasa does."""

    message: Annotated[str, Meta(description="What the customer says.", examples=["How do I return my order?"])]
    sender: Annotated[
        str,
        Meta(min_length=1, max_length=200, description="Who says it: the id of the conversation.", examples=["alice"]),
    ] = "default"
    input_channel: Annotated[str | None, Meta(description="Accepted and passed over.")] = None
    metadata: Annotated[
        dict[str, Any] | None, Meta(description="Passed over, except `message_id` in it, which counts as the field.")
    ] = None
    message_id: Annotated[
        str | None,
        Meta(description="Extra: your id of this message; sent again it gets the same reply.", examples=["alice-1"]),
    ] = None


class RasaReply(msgspec.Struct, frozen=True, kw_only=True):
    """A message of the bot in Rasa's form; the fields after `text` are extra."""

    recipient_id: Annotated[str, Meta(description="The sender of the message.")]
    text: Annotated[str, Meta(description="What to show.")]
    message_id: Annotated[str, Meta(description="Extra: the id of this reply.")]
    answerable: Annotated[bool, Meta(description="Extra: whether the text is an answer; otherwise it is the fallback.")]
    confidence: Annotated[float, Meta(description="Extra: calibrated probability that the best entry answers.")]
    citations: Annotated[tuple[Citation, ...], Meta(description="Extra: the entries that the text was taken from.")]


class RasaStatus(msgspec.Struct, frozen=True):
    """The channel is there."""

    status: str = "ok"


def message_id_of(message: RasaMessage) -> str | None:
    """The caller's message id: the field, or the one in the metadata."""
    found = message.message_id or (message.metadata or {}).get("message_id")
    return found if isinstance(found, str) and found else None


def rasa_reply(reply: Reply) -> list[RasaReply]:
    """A reply as the channel gives it."""
    return [
        RasaReply(
            recipient_id=reply.conversation_id,
            text=reply.message.text,
            message_id=reply.message.id,
            answerable=reply.decision.answerable,
            confidence=reply.decision.confidence,
            citations=reply.decision.citations,
        )
    ]
