"""Routes of the term base."""

from __future__ import annotations

from typing import Any

import msgspec
from litestar import Router, get, post
from litestar.params import JSONBody

from parlance.http.auth import require_scope
from parlance.plugins.context import PluginContext
from parlance_termbase.settings import TermbaseSettings
from parlance_termbase.store import add_terms, all_terms

__all__ = ["Term", "termbase_router"]


class Term(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One term in both languages."""

    en: str
    zh: str


def termbase_router(context: PluginContext[TermbaseSettings]) -> Router:
    """Routes under ``/termbase``."""
    added = context.metrics.counter("terms_added", "Terms that were added.")

    @post("/terms", status_code=200, guards=[require_scope("termbase:write")], operation_id="addTerm")
    async def add(data: JSONBody[Term]) -> dict[str, Any]:
        """Store a term and tell the other plugins."""
        await add_terms(context, [(data.en, data.zh)])
        added.inc()
        vectors = (await context.engine.embed([data.en, data.zh], model=context.settings.model)).vectors
        answers = context.call_hook("termbase_added", en=data.en, zh=data.zh)
        return {
            "heard": {answer.plugin: answer.value for answer in answers},
            "similarity": float(vectors[0] @ vectors[1]),
        }

    @get("/terms", guards=[require_scope("termbase:read")], operation_id="listTerms")
    async def listed() -> list[Term]:
        """All terms."""
        return [Term(**row) for row in await all_terms(context)]

    return Router(path="/termbase", route_handlers=[add, listed], tags=["termbase"])
