"""The service behind routes and commands: record events, keep the index fresh, rank, show and erase users."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import msgspec

from parlance.engine.interface import CallOptions, Priority
from parlance.errors import NotFound, ParlanceError, TooLarge, ValidationFailed
from parlance.plugins.context import PluginContext
from parlance_recommend.behaviour.event import Event
from parlance_recommend.behaviour.signal import SignalRules, signals_of
from parlance_recommend.catalogue.item import FieldNames, Item, item_of, merge_fields
from parlance_recommend.encoding import Encoder
from parlance_recommend.index import ItemIndex
from parlance_recommend.measures import Measures
from parlance_recommend.ranker import Candidate, Ranked, Ranker
from parlance_recommend.ranking.explain import Language
from parlance_recommend.ranking.popularity import Popularity
from parlance_recommend.ranking.profile import Interest, Profile, build_profile, group_interests
from parlance_recommend.settings import RecommendSettings
from parlance_recommend.store import changes
from parlance_recommend.store import events as event_store
from parlance_recommend.store import items as item_store
from parlance_recommend.store.events import Erased

__all__ = ["DEFAULT_MODEL", "Recommender", "Recorded", "ShownItem", "ShownProfile"]

DEFAULT_MODEL = "default"


class Recorded(msgspec.Struct, frozen=True, kw_only=True):
    """What became of some events: ``updated`` counts items and users that changed."""

    accepted: int
    duplicates: int
    updated: int
    unknown_items: tuple[str, ...] = ()


class ShownItem(msgspec.Struct, frozen=True, kw_only=True):
    """An item with what is known of it."""

    item: Item
    encoded: bool
    events: int
    popularity: float


class ShownProfile(msgspec.Struct, frozen=True, kw_only=True):
    """A user's interests: the latest events with weights, and groups of similar items."""

    user: str
    events: int
    history: list[tuple[str, str, float]]
    interests: list[Interest]
    titles: dict[str, str]


class Recommender:
    """One per process; enter :meth:`running` before use."""

    def __init__(self, context: PluginContext[RecommendSettings]) -> None:
        self.settings = settings = context.settings
        self._context = context
        self._names = FieldNames(
            title=settings.title_fields, description=settings.description_fields, categories=settings.category_fields
        )
        self._rules = SignalRules(
            weights=settings.event_weights,
            other=settings.other_event_weight,
            lowest=settings.rating_lowest,
            highest=settings.rating_highest,
        )
        self._encoder = Encoder(context.engine, context.storage, model=settings.model)
        self._index = ItemIndex("", whitening=settings.whitening)
        self._popularity = self._fresh_popularity()
        self._counted = 0
        self._erasures = -1
        self._refreshing = asyncio.Lock()
        self._metrics = Measures(context.metrics)

    @asynccontextmanager
    async def running(self) -> AsyncIterator[Recommender]:
        """Load vectors and counts from the database."""
        await self.refresh()
        yield self

    def now_ms(self) -> int:
        """The present moment, epoch milliseconds."""
        return int(self._context.clock.now().timestamp() * 1000)

    async def record(self, events: Sequence[Event], *, encode: bool = True) -> Recorded:
        """Write events, once each by id, all or none; items and users take over what their events say.

        With ``encode=False`` (imports) neither are new texts encoded nor is the index refreshed.

        Raises:
            TooLarge: more than ``events_limit``.
            StorageError: nothing was written.
        """
        self._check_count(len(events), "events")
        first: dict[str, Event] = {}
        for event in events:
            first.setdefault(event.id, event)
        now = self._context.clock.now()
        async with self._context.storage.transaction() as connection:
            revision = await changes.next_revision(connection)
            new = await event_store.new_ids(connection, list(first))
            fresh = [event for identity, event in first.items() if identity in new]
            await event_store.append(connection, fresh, revision=revision)
            changed = await self._merge_items(connection, [one for one in fresh if one.kind == "item"])
            await item_store.save_items(connection, changed, now=now, revision=revision)
            users = await event_store.merge_users(connection, [one for one in fresh if one.kind == "user"], now=now)
            named = {one.item for one in fresh if one.kind == "interaction" and one.item is not None}
            unknown = named - await item_store.known_ids(connection, sorted(named))
        for event in fresh:
            self._metrics.events.labels(kind=event.kind).inc()
        if encode:
            await self._after_change(len(changed))
        return Recorded(
            accepted=len(fresh),
            duplicates=len(events) - len(fresh),
            updated=len(changed) + users,
            unknown_items=tuple(sorted(unknown)),
        )

    async def put_items(self, new: Sequence[tuple[str, dict[str, Any]]], *, encode: bool = True) -> int:
        """Replace items by id with exactly the given fields; of one id given twice the last counts.

        Returns:
            How many items were new or different.
        """
        self._check_count(len(new), "items")
        now = self._context.clock.now()
        now_ms = int(now.timestamp() * 1000)
        wanted = {
            identity: item_of(identity, fields, dict.fromkeys(fields, now_ms), self._names) for identity, fields in new
        }
        async with self._context.storage.transaction() as connection:
            revision = await changes.next_revision(connection)
            known = await item_store.load_items(connection, list(wanted))
            changed = [
                item
                for identity, item in wanted.items()
                if identity not in known or known[identity].fields != item.fields
            ]
            await item_store.save_items(connection, changed, now=now, revision=revision)
        if encode:
            await self._after_change(len(changed))
        return len(changed)

    async def rank(
        self,
        model: str,
        candidates: Sequence[Candidate],
        *,
        user: str | None,
        session: str | None,
        at_ms: int | None = None,
        explain: bool = False,
        language: Language = "en",
        deadline_ms: int | None = None,
        charge_to: str = "",
    ) -> Ranked:
        """Rank candidates for a user, a session, both or neither.

        Every candidate comes back once for each time it was given; equal scores keep the caller's order.

        Raises:
            NotFound: ``unknown_ranking_model``.
            TooLarge: ``too_many_candidates``.
        """
        self.check_model(model)
        limit = self.settings.candidates_limit
        if len(candidates) > limit:
            raise TooLarge(
                f"{len(candidates)} candidates are more than the limit of {limit}.",
                hint="Rank fewer at a time, or raise recommend.candidates_limit.",
                code="too_many_candidates",
                limit=limit,
            )
        with self._metrics.seconds.time():
            profile, _ = await self._profile(user, session, at_ms)
            ranker = Ranker(self._index, self._popularity, self._encoder, self.settings, self._names)
            stored = await self._stored_for(candidates)
            ranked = await ranker.rank(
                candidates,
                profile,
                stored,
                explain=explain,
                language=language,
                options=CallOptions(deadline_s=(deadline_ms or self.settings.deadline_ms) / 1000, charge_to=charge_to),
            )
        self._metrics.rankings.labels(model=model).inc()
        for reason in ranked.degraded:
            self._metrics.degraded.labels(reason=reason).inc()
        return ranked

    def check_model(self, model: str) -> None:
        """Raise ``NotFound`` for a ranking model that there is not."""
        if model != DEFAULT_MODEL:
            raise NotFound(
                f"There is no ranking model '{model[:100]}'.",
                hint=f"Known: {DEFAULT_MODEL}.",
                code="unknown_ranking_model",
                known=[DEFAULT_MODEL],
            )

    async def profile(self, user: str) -> ShownProfile:
        """What is known of a user's interests.

        Raises:
            NotFound: ``unknown_user``: no event and no attribute names the user.
        """
        profile, types = await self._profile(user, None, None)
        if not types:
            async with self._context.storage.read() as connection:
                if await event_store.count_subject(connection, user) == 0:
                    raise NotFound(f"There are no events of a user '{user[:100]}'.", code="unknown_user")
        weights = zip(profile.items, profile.weights.tolist(), strict=True)
        return ShownProfile(
            user=user,
            events=sum(len(kinds) for kinds in types.values()),
            history=[(item, types[item][0], weight) for item, weight in weights],
            interests=group_interests(profile),
            titles={item: self._index.titles.get(item, "") for item in profile.items},
        )

    async def item(self, identity: str) -> ShownItem:
        """One item.

        Raises:
            NotFound: ``unknown_item``.
        """
        async with self._context.storage.read() as connection:
            found = await item_store.load_items(connection, [identity])
        if identity not in found:
            raise NotFound(f"There is no item '{identity[:100]}' in the catalogue.", code="unknown_item")
        return ShownItem(
            item=found[identity],
            encoded=self._index.has_vector(identity),
            events=self._popularity.events(identity),
            popularity=float(self._popularity.popularity([identity])[0]),
        )

    async def erase(self, user: str) -> tuple[Erased, int]:
        """Delete a user everywhere; returns what was deleted and how many rows still name the user (0)."""
        async with self._context.storage.transaction() as connection:
            await changes.next_revision(connection)
            erased = await event_store.erase_user(connection, user)
            await changes.count_erasure(connection)
            remaining = await event_store.count_subject(connection, user)
        await self.refresh()
        return erased, remaining

    async def refresh(self) -> None:
        """Take over what this and other processes have written since the last look; cheap when nothing changed."""
        async with self._refreshing, self._context.storage.read() as connection:
            state = await changes.read_state(connection)
            index = self._index
            if state.version != index.version:
                index = ItemIndex(state.version, whitening=self.settings.whitening)
            if index is not self._index or state.revision > index.revision:
                changed = await item_store.changed_since(connection, index.revision, state.version)
                await asyncio.to_thread(index.apply, changed)
                index.revision = state.revision
                self._index = index
            popularity, counted = self._popularity, self._counted
            if state.erasures != self._erasures:
                popularity, counted = self._fresh_popularity(), 0
            if state.revision > counted or popularity is not self._popularity:
                async for one in event_store.interactions_since(connection, counted):
                    weight = self._rules.popular(one.type, one.value)
                    popularity.add(one.item, weight=weight, at_ms=one.at_ms, rating=self._rules.rating(one.value))
                self._popularity, self._counted, self._erasures = popularity, state.revision, state.erasures
        self._metrics.items.set(len(self._index))
        self._metrics.encoded.set(self._index.encoded)

    async def encode_waiting(self) -> bool:
        """Encode a batch of waiting items; ``True`` while more wait. A new version is taken up when none is left."""
        version = await self._encoder.probe()
        done, more = await self._encoder.encode_pending(
            batch=self.settings.encode_batch, options=CallOptions(priority=Priority.BACKGROUND)
        )
        if not more and version != self._index.version:
            async with self._context.storage.transaction() as connection:
                await changes.next_revision(connection)
                await changes.set_version(connection, version)
        if done or version != self._index.version:
            await self.refresh()
        return more

    async def waiting(self) -> int:
        """How many items wait for a vector."""
        async with self._context.storage.read() as connection:
            return await item_store.count_pending(connection, self._index.version)

    def counts(self) -> tuple[int, int]:
        """Items in the catalogue, and how many of them have a vector."""
        return len(self._index), self._index.encoded

    async def _after_change(self, changed_items: int) -> None:
        """Make a small change count for the next request; a large one is left to the background."""
        try:
            if 0 < changed_items <= self.settings.encode_at_once:
                await self.encode_waiting()
        except ParlanceError as error:
            self._context.log.warning("encoding_postponed", code=error.code, items=changed_items)
        await self.refresh()

    async def _merge_items(self, connection: Any, new: Sequence[Event]) -> list[Item]:
        ids = sorted({event.item for event in new if event.item is not None})
        known = await item_store.load_items(connection, ids)
        state = {identity: known.get(identity, Item(id=identity)) for identity in ids}
        fields = {identity: (item.fields, item.field_times) for identity, item in state.items()}
        for event in new:
            if event.item is not None:
                fields[event.item] = merge_fields(*fields[event.item], event.fields, event.at_ms)
        return [
            item_of(identity, *fields[identity], self._names)
            for identity in ids
            if identity not in known or fields[identity] != (known[identity].fields, known[identity].field_times)
        ]

    async def _profile(
        self, user: str | None, session: str | None, at_ms: int | None
    ) -> tuple[Profile, dict[str, list[str]]]:
        if user is None and session is None:
            past = []
        else:
            async with self._context.storage.read() as connection:
                limit = self.settings.history_limit
                past = await event_store.history(connection, user=user, session=session, limit=limit)
        index = self._index
        ids = [identity for identity in dict.fromkeys(one.item for one in past) if index.has_vector(identity)]
        profile = build_profile(
            signals_of(past, self._rules),
            dict(zip(ids, index.vectors(ids), strict=True)),
            now_ms=at_ms if at_ms is not None else self.now_ms(),
            half_life_days=self.settings.interest_half_life_days,
            width=index.width,
        )
        types: dict[str, list[str]] = {}
        for one in past:
            types.setdefault(one.item, []).append(one.type)
        return profile, types

    async def _stored_for(self, candidates: Sequence[Candidate]) -> dict[str, Item]:
        """Catalogue entries that a candidate's own fields must be laid over, or that are not encoded yet."""
        ids = [
            one.id
            for one in candidates
            if one.id in self._index.titles and (one.fields or not self._index.has_vector(one.id))
        ]
        if not ids:
            return {}
        async with self._context.storage.read() as connection:
            return await item_store.load_items(connection, ids)

    def _check_count(self, count: int, what: str) -> None:
        limit = self.settings.events_limit
        if count > limit:
            raise TooLarge(
                f"{count} {what} in one request are more than the limit of {limit}.",
                hint="Send them in several requests, or import a file with 'parlance recommend import'.",
                code=f"too_many_{what}",
                limit=limit,
            )
        if count == 0:
            raise ValidationFailed(f"The request holds no {what}.", code="nothing_given")

    def _fresh_popularity(self) -> Popularity:
        settings = self.settings
        return Popularity(half_life_days=settings.popularity_half_life_days, prior=settings.quality_prior)
