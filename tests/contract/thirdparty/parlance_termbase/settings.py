"""The ``[termbase]`` section of the configuration."""

from __future__ import annotations

import msgspec

__all__ = ["TermbaseSettings"]


class TermbaseSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Settings of the term base."""

    model: str = "termbase-tiny"
    """Model that embeds terms."""
    count_every_s: float = 60.0
    """How often the terms are counted."""
