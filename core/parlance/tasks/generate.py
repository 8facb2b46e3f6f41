"""The ``generate`` task: messages → text, piece by piece."""

from __future__ import annotations

from typing import Literal

import msgspec

__all__ = ["GenerateOptions", "Message", "Piece"]


class Message(msgspec.Struct, frozen=True):
    """One message of a conversation, in the order in which they were said."""

    role: Literal["system", "user", "assistant"]
    content: str


class GenerateOptions(msgspec.Struct, frozen=True, kw_only=True):
    """Limits and sampling of one generation; temperature 0 takes the most likely token at every step."""

    max_tokens: int = 256
    temperature: float = 0.0
    top_p: float = 1.0
    stop: tuple[str, ...] = ()
    seed: int = 0
    deadline_s: float | None = None


class Piece(msgspec.Struct, frozen=True, kw_only=True):
    """A piece of generated text; the last one has a ``finish_reason`` and the token counts."""

    text: str
    finish_reason: Literal["stop", "length"] | None = None
    prompt_tokens: int = 0
    completion_tokens: int = 0
