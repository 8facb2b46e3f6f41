"""Settings of the plugin: section ``[recommend]``."""

from __future__ import annotations

from typing import Annotated

import msgspec
from msgspec import Meta

from parlance_recommend.ranking.weights import Weights

__all__ = ["RecommendSettings"]

PositiveInt = Annotated[int, Meta(ge=1)]
Days = Annotated[float, Meta(ge=0)]


class RecommendSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How events become interest, and interest a ranking."""

    model: str = "embed-multi"
    """Embedding model, or alias, that encodes the items' texts."""
    candidates_limit: PositiveInt = 1000
    """Most candidates in one ranking request; above it 413."""
    events_limit: PositiveInt = 10_000
    """Most events, or items, in one request; above it 413."""
    history_limit: PositiveInt = 200
    """Latest events of a user that make up the interest profile."""
    interest_half_life_days: Days = 90.0
    """After so many days an event counts half for the user's interest; 0 never forgets."""
    popularity_half_life_days: Days = 30.0
    """After so many days an event counts half for the item's popularity; 0 never forgets."""
    event_weights: dict[str, Annotated[float, Meta(ge=0, le=100)]] = msgspec.field(
        default_factory=lambda: {
            "impression": 0.0,
            "view": 0.5,
            "read": 0.5,
            "click": 1.0,
            "like": 2.0,
            "star": 2.0,
            "rating": 2.0,
            "comment": 2.0,
            "share": 3.0,
            "cart": 3.0,
            "purchase": 4.0,
        }
    )
    """How much one event of a type says about interest; a ``rating`` counts in proportion to its value."""
    other_event_weight: Annotated[float, Meta(ge=0, le=100)] = 1.0
    """Weight of a type that ``event_weights`` does not name."""
    rating_field: str = "rating"
    """Field of an interaction that holds a rating's value (also read: ``value``)."""
    rating_lowest: float = 1.0
    rating_highest: float = 5.0
    """The rating scale; values outside are clipped to it."""
    title_fields: tuple[str, ...] = ("title", "name")
    """Fields of an item event that hold the title; the first one present is taken."""
    description_fields: tuple[str, ...] = ("description", "overview", "abstract", "summary", "body")
    """Fields that hold the description; the first one present is taken."""
    category_fields: tuple[str, ...] = ("categories", "category", "genres", "tags", "keywords", "labels")
    """Fields that hold categories; all that are present are joined."""
    nearest: PositiveInt = 10
    """How many of the nearest history items the focused half of interest looks at."""
    breadth: Annotated[float, Meta(ge=0, le=1)] = 0.7
    """Share of the average over the whole history in interest; the rest looks at the nearest items only."""
    whitening: Annotated[float, Meta(ge=0, le=1)] = 0.5
    """How far the catalogue's vectors are evened out before they are compared; 0 only centres them, 1 whitens."""
    trust_events: Annotated[float, Meta(ge=0)] = 2.0
    """Weight of events at which interest reaches half of its influence: colder users follow popularity more."""
    weight_interest: float = 1.0
    weight_popularity: float = 0.15
    weight_quality: float = 0.2
    """Weights of the three parts of the score; how they were chosen stands in the README."""
    quality_prior: Annotated[float, Meta(gt=0)] = 10.0
    """Ratings that an item's mean is smoothed with."""
    deadline_ms: PositiveInt = 500
    """Time that encoding of texts seen for the first time may take in a ranking request; then it goes without."""
    encode_at_once: Annotated[int, Meta(ge=0)] = 64
    """Changed items up to this number are encoded before the import request is answered, more in the background."""
    encode_batch: PositiveInt = 64
    refresh_s: Annotated[float, Meta(gt=0)] = 2.0
    """How often each process looks for changes by others."""

    def __post_init__(self) -> None:
        if self.rating_highest <= self.rating_lowest:
            raise ValueError("rating_highest must be above rating_lowest")

    def weights(self) -> Weights:
        """The part that the ranking arithmetic reads."""
        return Weights(
            interest=self.weight_interest,
            popularity=self.weight_popularity,
            quality=self.weight_quality,
            breadth=self.breadth,
            nearest=self.nearest,
            trust_events=self.trust_events,
        )
