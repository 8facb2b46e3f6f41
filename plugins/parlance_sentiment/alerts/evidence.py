"""What an alert shows to the person who has to believe it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from datetime import datetime
from typing import Any

import msgspec

from parlance_sentiment.rules import Observation, ThresholdRule, rule_version

__all__ = ["DrivingDocument", "Evidence", "evidence_of", "what_would_stop"]


class DrivingDocument(msgspec.Struct, frozen=True, kw_only=True):
    """One of the most negative documents of the window; ``headline`` is its title or the start of its text."""

    id: str
    headline: str
    source: str
    published_at: datetime
    score: float


class Evidence(msgspec.Struct, frozen=True, kw_only=True):
    """Why an alert was raised: what the rule asked, what was seen, and what would have stopped it."""

    rule: dict[str, Any]
    rule_version: str
    window_start: datetime
    window_end: datetime
    documents: int
    positive: int
    neutral: int
    negative: int
    negative_share: float
    threshold: float
    recovery_threshold: float
    sources: int
    mean_score: float | None
    models: tuple[str, ...]
    driving_documents: tuple[DrivingDocument, ...]
    stopped_by: str


def evidence_of(
    rule: ThresholdRule, seen: Observation, *, driving: Sequence[DrivingDocument], models: Sequence[str]
) -> Evidence:
    """Put the evidence together at the moment of firing."""
    return Evidence(
        rule=msgspec.to_builtins(rule),
        rule_version=rule_version(rule),
        window_start=seen.start,
        window_end=seen.end,
        documents=seen.documents,
        positive=seen.positive,
        neutral=seen.neutral,
        negative=seen.negative,
        negative_share=round(seen.negative_share, 4),
        threshold=rule.negative_share,
        recovery_threshold=round(rule.recovers_at, 6),
        sources=seen.sources,
        mean_score=seen.mean_score,
        models=tuple(sorted(models)),
        driving_documents=tuple(driving),
        stopped_by=what_would_stop(rule, seen),
    )


def what_would_stop(rule: ThresholdRule, seen: Observation) -> str:
    """The smallest change of the window that would have kept the rule silent, in words."""
    # negative / (documents + more) < share  ⇔  more > negative / share − documents, up to a rounding of the quotient
    more = max(1, math.floor(seen.negative / rule.negative_share - seen.documents) - 1)
    while seen.negative / (seen.documents + more) >= rule.negative_share:
        more += 1
    fewer = seen.documents - rule.min_documents + 1
    return (
        f"{more} more document{'s' if more > 1 else ''} that {'are' if more > 1 else 'is'} not negative, "
        f"or {fewer} document{'s' if fewer > 1 else ''} fewer in the window"
    )
