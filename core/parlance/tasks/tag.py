"""The ``tag`` task: text → labelled spans."""

from __future__ import annotations

import msgspec

__all__ = ["Span"]


class Span(msgspec.Struct, frozen=True, kw_only=True):
    """A labelled piece of one text: half-open **character** offsets into the caller's own string."""

    start: int
    end: int
    text: str
    label: str
    probability: float
