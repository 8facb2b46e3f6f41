"""A second plugin, which implements the hook that the first one defines."""

from __future__ import annotations

from parlance.plugins.hookspecs import hookimpl

__all__ = ["Listener", "plugin"]


class Listener:
    """Answers with the term."""

    @hookimpl
    def termbase_added(self, en: str, zh: str) -> str:
        return f"heard {en} = {zh}"


plugin = Listener()
