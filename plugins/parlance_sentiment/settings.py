"""The ``[sentiment]`` section of the configuration."""

from __future__ import annotations

from typing import Annotated

import msgspec
from msgspec import Meta

from parlance_sentiment.rules import ThresholdRule

__all__ = ["DEFAULT_RULE", "SentimentSettings"]

DEFAULT_RULE = ThresholdRule(
    name="negative-surge",
    keys=("company:*",),
    window="24h",
    negative_share=0.6,
    min_documents=5,
    recovery_share=0.4,
    severity="warning",
    description="Most of what was published about the company within a day is negative.",
)


class SentimentSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Settings of the sentiment plugin; every one has a default that works."""

    model: Annotated[str, Meta(min_length=1)] = "fin-sentiment"
    """Model or alias that labels the texts; its labels must be positive, neutral and negative."""
    deadline_s: Annotated[float, Meta(gt=0)] = 30.0
    """How long a request may wait for its labels; a longer estimated wait is refused at once with 429."""
    future_tolerance_s: Annotated[float, Meta(ge=0)] = 86_400.0
    """How far a published time may lie ahead of the clock (feeds with wrong zones); beyond it 422."""
    rules: tuple[ThresholdRule, ...] = (DEFAULT_RULE,)
    """Rules that come with the configuration, as ``[[sentiment.rules]]``; they cannot be changed over HTTP. The
    default watches every company; an empty list has no rule but those created over HTTP."""
    evaluate_every_s: Annotated[float, Meta(gt=0)] = 30.0
    """How often the rules are judged without new documents, so that alerts resolve as time passes."""
    driving_documents: Annotated[int, Meta(ge=1, le=100)] = 10
    """How many of the most negative documents an alert names as evidence."""
    external_url: str = ""
    """Address under which people reach this server; put into the links of outgoing alerts."""

    def __post_init__(self) -> None:
        names = [rule.name for rule in self.rules]
        for name in names:
            if names.count(name) > 1:
                raise ValueError(f"rules: the name {name!r} is used {names.count(name)} times; names must differ")
