"""One ranking: find or compute the candidates' vectors, score them, and explain."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from parlance.engine.interface import CallOptions
from parlance.errors import DeadlineExceeded, ModelError, NotFound, Overloaded, Unavailable, ValidationFailed
from parlance_recommend.catalogue.item import FieldNames, Item, item_of
from parlance_recommend.encoding import Encoder
from parlance_recommend.index import ItemIndex
from parlance_recommend.ranking.explain import Language, Reason, reasons
from parlance_recommend.ranking.popularity import Popularity
from parlance_recommend.ranking.profile import Profile
from parlance_recommend.ranking.score import FEATURES, Scored, score
from parlance_recommend.ranking.writing import writing_of
from parlance_recommend.settings import RecommendSettings

__all__ = ["Candidate", "Ranked", "RankedItem", "Ranker"]

_INLINE_PRODUCTS = 2_000_000
"""Multiplications, about a millisecond of one core, up to which scoring stays in the event loop."""


class Candidate(msgspec.Struct, frozen=True):
    """An item to rank; its own fields are laid over those of the catalogue for this request only."""

    id: str
    fields: dict[str, Any] = {}


class RankedItem(msgspec.Struct, frozen=True, kw_only=True):
    """A candidate with its score; values and reasons only where they were asked for."""

    item: str
    score: float
    values: dict[str, float] | None = None
    reasons: list[Reason] | None = None


class Ranked(msgspec.Struct, frozen=True, kw_only=True):
    """Candidates, best first. ``degraded`` names what had to be left out."""

    items: list[RankedItem]
    degraded: tuple[str, ...] = ()


class Ranker:
    """Ranks against one state of index and counts."""

    def __init__(
        self, index: ItemIndex, popularity: Popularity, encoder: Encoder, settings: RecommendSettings, names: FieldNames
    ) -> None:
        self._index = index
        self._popularity = popularity
        self._encoder = encoder
        self._settings = settings
        self._names = names

    async def rank(
        self,
        candidates: Sequence[Candidate],
        profile: Profile,
        stored: Mapping[str, Item],
        *,
        explain: bool,
        language: Language,
        options: CallOptions,
    ) -> Ranked:
        """Rank candidates for a profile; ``stored`` holds catalogue entries that must be read anew."""
        ids = [candidate.id for candidate in candidates]
        vectors = self._index.vectors(ids)
        degraded: list[str] = []
        if not profile.empty:
            degraded = await self._fill(vectors, candidates, stored, options)
        known = {identity: place for place, identity in enumerate(dict.fromkeys(ids))}
        distinct = list(known)
        spread = np.asarray([known[identity] for identity in ids], np.int64)
        popularity = self._popularity.popularity(distinct)[spread] if ids else np.zeros(0)
        quality = self._popularity.quality(distinct)[spread] if ids else np.zeros(0)
        work = vectors.size * max(1, len(profile.items))
        weights = self._settings.weights()
        compute = partial(score, profile, vectors, popularity=popularity, quality=quality, weights=weights)
        scored = await asyncio.to_thread(compute) if work > _INLINE_PRODUCTS else compute()
        shown = [
            self._shown(scored, int(row), ids, vectors, profile, explain=explain, language=language)
            for row in scored.order
        ]
        return Ranked(items=shown, degraded=tuple(degraded))

    async def _fill(
        self,
        vectors: NDArray[np.float32],
        candidates: Sequence[Candidate],
        stored: Mapping[str, Item],
        options: CallOptions,
    ) -> list[str]:
        """Encode texts that have no vector yet, into ``vectors``; says what was left out instead of failing."""
        wanted: dict[str, list[int]] = {}
        for row, candidate in enumerate(candidates):
            base = stored.get(candidate.id)
            if base is None and not candidate.fields:
                continue
            fields = {**(base.fields if base is not None else {}), **candidate.fields}
            item = item_of(candidate.id, fields, {}, self._names)
            if item.text and not self._index.holds(candidate.id, item.hash):
                wanted.setdefault(item.text, []).append(row)
        if not wanted or not self._index.version:
            return []
        try:
            found = await self._encoder.encode(list(wanted), options=options)
        except Overloaded:
            return ["new_texts_overloaded"]
        except DeadlineExceeded:
            return ["new_texts_deadline"]
        except (ModelError, NotFound, Unavailable, ValidationFailed):
            return ["new_texts_model"]
        if self._encoder.version != self._index.version:
            return ["new_texts_model_changing"]
        writings = np.asarray([writing_of(text) for text in wanted], np.int64)
        projected = self._index.space.project(found, writings)
        for place, rows in enumerate(wanted.values()):
            vectors[rows] = projected[place]
        return []

    def _shown(
        self,
        scored: Scored,
        row: int,
        ids: Sequence[str],
        vectors: NDArray[np.float32],
        profile: Profile,
        *,
        explain: bool,
        language: Language,
    ) -> RankedItem:
        total = float(scored.scores[row])
        if not explain:
            return RankedItem(item=ids[row], score=total)
        told = reasons(
            scored,
            row,
            profile=profile,
            titles=self._index.titles,
            events=self._popularity.events(ids[row]),
            has_text=bool(vectors[row].any()),
            language=language,
        )
        values = dict(zip(FEATURES, scored.values[row].tolist(), strict=True))
        return RankedItem(item=ids[row], score=total, values=values, reasons=told)
