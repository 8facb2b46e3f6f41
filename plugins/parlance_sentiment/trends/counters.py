"""Counters that may be added to in any order by any number of writers, and that a correction takes back."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from parlance_sentiment.documents.document import Document

__all__ = ["MICRO", "Bucket", "Tally", "changes", "hour_of"]

MICRO = 1_000_000
"""Scores are summed as whole millionths: integer addition is exact in every order, sums of floats are not."""


@dataclass(frozen=True, slots=True, order=True)
class Bucket:
    """Where a document counts: a key, the UTC hour of its published time, and the model that labelled it."""

    key: str
    hour: datetime
    model: str


@dataclass(frozen=True, slots=True)
class Tally:
    """Counts per label and the sum of scores in millionths. A change may be negative."""

    positive: int = 0
    neutral: int = 0
    negative: int = 0
    score_micro: int = 0

    def __add__(self, other: Tally) -> Tally:
        return Tally(
            self.positive + other.positive,
            self.neutral + other.neutral,
            self.negative + other.negative,
            self.score_micro + other.score_micro,
        )

    def __neg__(self) -> Tally:
        return Tally(-self.positive, -self.neutral, -self.negative, -self.score_micro)

    @property
    def documents(self) -> int:
        """How many documents were counted."""
        return self.positive + self.neutral + self.negative


def hour_of(moment: datetime) -> datetime:
    """The hour that a moment falls into."""
    return moment.replace(minute=0, second=0, microsecond=0)


def tally_of(document: Document) -> Tally:
    """What one document adds to each of its buckets."""
    labelling = document.labelling
    return Tally(
        positive=int(labelling.label == "positive"),
        neutral=int(labelling.label == "neutral"),
        negative=int(labelling.label == "negative"),
        score_micro=round(labelling.score * MICRO),
    )


def changes(*, removed: Iterable[Document], added: Iterable[Document]) -> dict[Bucket, Tally]:
    """What to add to which bucket when documents come, go, or are replaced; buckets that do not change are left out."""
    total: dict[Bucket, Tally] = {}
    for documents, sign in ((removed, -1), (added, 1)):
        for document in documents:
            tally = tally_of(document) if sign > 0 else -tally_of(document)
            hour = hour_of(document.published_at)
            for key in document.keys:
                bucket = Bucket(key, hour, document.labelling.model)
                total[bucket] = total.get(bucket, Tally()) + tally
    return {bucket: total[bucket] for bucket in sorted(total) if total[bucket] != Tally()}
