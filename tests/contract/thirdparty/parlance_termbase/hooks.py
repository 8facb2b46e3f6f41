"""The hook that this plugin defines for others."""

from __future__ import annotations

from parlance.plugins.hookspecs import hookspec

__all__ = ["termbase_added"]


@hookspec
def termbase_added(en: str, zh: str) -> str:
    """Hear of a term that was added; the answer says what was done about it."""
