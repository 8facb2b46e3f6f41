"""Requests and answers as they are on the wire. Those of ``/rank`` and ``/feedback`` are Metarank's, with additions.

Metarank's bodies may hold members that are not known here, as Metarank itself ignores them; our own may not.
"""

from __future__ import annotations

from typing import Annotated, Any

import msgspec
from msgspec import Meta

from parlance_recommend.behaviour.event import Event, moment_ms
from parlance_recommend.ranker import Candidate, Ranked
from parlance_recommend.ranking.explain import Reason
from parlance_recommend.service import Recorded, ShownItem, ShownProfile

__all__ = [
    "ErasedOut",
    "EventIn",
    "FeedbackOut",
    "InteractionEvent",
    "ItemEvent",
    "ItemIn",
    "ItemOut",
    "ItemsOut",
    "LineError",
    "ProfileOut",
    "RankIn",
    "RankOut",
    "RankingEvent",
    "UserEvent",
    "event_of",
    "rating_value",
]

Id = Annotated[str, Meta(min_length=1, max_length=300)]
Timestamp = Annotated[
    str | int | float,
    Meta(description="Epoch milliseconds as text or number, or ISO 8601.", examples=["1767225600000"]),
]
Value = str | bool | int | float | list[str | int | float]


class FieldIn(msgspec.Struct, frozen=True):
    """A named value."""

    name: Annotated[str, Meta(min_length=1, max_length=200, examples=["title"])]
    value: Annotated[Value, Meta(description="Text, truth, number, or a list of texts or numbers.")]


class RankItemIn(msgspec.Struct, frozen=True):
    """A candidate; text fields (title, description, categories …) make an item rankable that was never imported."""

    id: Annotated[Id, Meta(examples=["trail-maps"])]
    fields: tuple[FieldIn, ...] = ()
    label: float | None = None


class RankIn(msgspec.Struct, frozen=True):
    """Candidates to rank for a user, a session, both or neither."""

    id: Annotated[Id, Meta(description="Your id of this request.", examples=["rank-1"])]
    timestamp: Timestamp
    items: tuple[RankItemIn, ...]
    user: Annotated[Id | None, Meta(examples=["ada"])] = None
    session: Id | None = None
    fields: tuple[FieldIn, ...] = ()

    def candidates(self) -> list[Candidate]:
        """The items, for the ranker."""
        return [Candidate(one.id, {field.name: field.value for field in one.fields}) for one in self.items]


class _Event(msgspec.Struct, frozen=True, kw_only=True, tag_field="event"):
    id: Annotated[Id, Meta(description="Unique id: an event whose id was seen before changes nothing.")]
    timestamp: Timestamp
    tenant: str = "default"
    fields: tuple[FieldIn, ...] = ()


class ItemEvent(_Event, frozen=True, kw_only=True, tag="item"):
    """An item's attributes, as of a time; later values of a field replace earlier ones."""

    item: Id


class UserEvent(_Event, frozen=True, kw_only=True, tag="user"):
    """A user's attributes."""

    user: Id


class ShownItemIn(msgspec.Struct, frozen=True):
    """An item of an impression."""

    id: Id
    fields: tuple[FieldIn, ...] = ()
    label: float | None = None


class RankingEvent(_Event, frozen=True, kw_only=True, tag="ranking"):
    """What was shown to somebody, in its order."""

    items: tuple[ShownItemIn, ...]
    user: Id | None = None
    session: Id | None = None


class InteractionEvent(_Event, frozen=True, kw_only=True, tag="interaction"):
    """What somebody did with an item; ``ranking`` is the id of the impression that led to it."""

    item: Id
    type: Annotated[str, Meta(min_length=1, max_length=100, examples=["click"])]
    ranking: Id | None = None
    user: Id | None = None
    session: Id | None = None


EventIn = ItemEvent | UserEvent | RankingEvent | InteractionEvent


class LineError(msgspec.Struct, frozen=True, kw_only=True):
    """A line of an NDJSON body that was left out."""

    line: int
    code: str
    message: str


class FeedbackOut(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """Metarank's four members, then ours: events seen before, items that no catalogue entry describes, bad lines."""

    accepted: int
    status: str = "ok"
    took_millis: int
    updated: int
    duplicates: int = 0
    unknown_items: tuple[str, ...] = ()
    errors: tuple[LineError, ...] = ()

    @classmethod
    def of(cls, recorded: Recorded, took_ms: int, errors: tuple[LineError, ...] = ()) -> FeedbackOut:
        """From the service's answer."""
        return cls(
            accepted=recorded.accepted,
            took_millis=took_ms,
            updated=recorded.updated,
            duplicates=recorded.duplicates,
            unknown_items=recorded.unknown_items,
            errors=errors,
        )


class FeatureOut(msgspec.Struct, frozen=True, kw_only=True):
    """A feature's name and value, as in Metarank."""

    name: str
    value: float


class RankedItemOut(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A candidate with its score; ``features`` and ``reasons`` with ``explain=true`` only."""

    item: str
    score: float
    features: list[FeatureOut] | None = None
    reasons: list[Reason] | None = None


class RankOut(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Candidates, best first. ``degraded`` is there only when a part had to be left out."""

    took: Annotated[int, Meta(description="Milliseconds.")]
    items: list[RankedItemOut]
    degraded: tuple[str, ...] = ()

    @classmethod
    def of(cls, ranked: Ranked, took_ms: int) -> RankOut:
        """From the service's answer."""
        items = [
            RankedItemOut(
                item=one.item,
                score=one.score,
                features=None
                if one.values is None
                else [FeatureOut(name=name, value=value) for name, value in one.values.items()],
                reasons=one.reasons,
            )
            for one in ranked.items
        ]
        return cls(took=took_ms, items=items, degraded=ranked.degraded)


class ItemIn(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A catalogue entry, whole: it replaces what was known of the item."""

    id: Annotated[Id, Meta(examples=["trail-maps"])]
    title: Annotated[str, Meta(examples=["Paper maps for the high trails"])] = ""
    description: str = ""
    categories: Annotated[tuple[str, ...], Meta(examples=[["outdoors", "maps"]])] = ()
    hidden: bool = False
    fields: Annotated[dict[str, Value], Meta(description="Anything else that is known, by name.")] = {}

    def all_fields(self) -> dict[str, Any]:
        """Everything as named fields."""
        own: dict[str, Any] = {"title": self.title, "description": self.description}
        own = {name: value for name, value in own.items() if value}
        if self.categories:
            own["categories"] = list(self.categories)
        if self.hidden:
            own["hidden"] = True
        return {**self.fields, **own}


class ItemsOut(msgspec.Struct, frozen=True, kw_only=True):
    """What became of some items; ``updated`` counts those that were new or different."""

    accepted: int
    updated: int
    errors: tuple[LineError, ...] = ()


class ItemOut(msgspec.Struct, frozen=True, kw_only=True):
    """A catalogue entry with what is known of it."""

    id: str
    title: str
    description: str
    categories: tuple[str, ...]
    hidden: bool
    fields: dict[str, Any]
    encoded: Annotated[bool, Meta(description="Whether the text has a vector yet.")]
    events: int
    popularity: Annotated[float, Meta(description="From 0 for never seen to 1.")]

    @classmethod
    def of(cls, shown: ShownItem) -> ItemOut:
        """From the service's answer."""
        item = shown.item
        return cls(
            id=item.id,
            title=item.title,
            description=item.description,
            categories=item.categories,
            hidden=item.hidden,
            fields=item.fields,
            encoded=shown.encoded,
            events=shown.events,
            popularity=shown.popularity,
        )


class HistoryOut(msgspec.Struct, frozen=True, kw_only=True):
    """A history item: its latest event type and its weight after decay."""

    item: str
    title: str
    type: str
    weight: float


class InterestOut(msgspec.Struct, frozen=True, kw_only=True):
    """One group of similar items and its share of all interest."""

    share: float
    items: tuple[str, ...]
    titles: tuple[str, ...]


class ProfileOut(msgspec.Struct, frozen=True, kw_only=True):
    """A user's interests as the ranking sees them now."""

    user: str
    events: int
    interests: list[InterestOut]
    history: list[HistoryOut]

    @classmethod
    def of(cls, shown: ShownProfile) -> ProfileOut:
        """From the service's answer."""
        titles = shown.titles
        return cls(
            user=shown.user,
            events=shown.events,
            interests=[
                InterestOut(share=one.share, items=one.items, titles=tuple(titles[item] for item in one.items))
                for one in shown.interests
            ],
            history=[
                HistoryOut(item=item, title=titles[item], type=kind, weight=weight)
                for item, kind, weight in shown.history
            ],
        )


class ErasedOut(msgspec.Struct, frozen=True, kw_only=True):
    """How many rows of the user were deleted, and how many are left (0)."""

    user: str
    interactions: int
    rankings: int
    attributes: int
    remaining: int


def event_of(event: EventIn, *, rating_field: str, where: str = "") -> Event:
    """Metarank's event as the service takes it.

    Raises:
        ValidationFailed: ``bad_timestamp``.
    """
    dot = f"{where}." if where else ""
    fields: dict[str, Any] = {field.name: field.value for field in event.fields}
    common: dict[str, Any] = {
        "id": event.id,
        "at_ms": moment_ms(event.timestamp, where=f"{dot}timestamp"),
        "fields": fields,
    }
    match event:
        case ItemEvent():
            return Event(kind="item", item=event.item, **common)
        case UserEvent():
            return Event(kind="user", user=event.user, **common)
        case RankingEvent():
            items = tuple(one.id for one in event.items)
            return Event(kind="ranking", user=event.user, session=event.session, items=items, **common)
        case InteractionEvent():
            return Event(
                kind="interaction",
                user=event.user,
                session=event.session,
                item=event.item,
                ranking=event.ranking,
                type=event.type,
                value=rating_value(fields, rating_field),
                **common,
            )


def rating_value(fields: dict[str, Any], rating_field: str) -> float | None:
    """The rating that an interaction carries, if any."""
    for name in (rating_field, "value"):
        value = fields.get(name)
        if isinstance(value, int | float) and not isinstance(value, bool):
            return float(value)
    return None
