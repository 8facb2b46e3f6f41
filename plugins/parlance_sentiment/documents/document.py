"""A labelled document, as it is stored."""

from __future__ import annotations

from datetime import datetime

import msgspec

from parlance_sentiment.documents.draft import Draft
from parlance_sentiment.documents.keys import keys_of

__all__ = ["Document", "Labelling"]


class Labelling(msgspec.Struct, frozen=True, kw_only=True):
    """What the model said: calibrated probabilities that sum to 1, the label of the largest, and who answered."""

    label: str
    positive: float
    neutral: float
    negative: float
    model: str
    truncated: bool = False

    @property
    def score(self) -> float:
        """p(positive) − p(negative), from −1 to 1 (the FinBERT convention, Araci 2019, arXiv 1908.10063)."""
        return self.positive - self.negative


class Document(msgspec.Struct, frozen=True, kw_only=True):
    """A stored document. ``revision`` counts its corrections; ``fingerprint`` is that of its content."""

    id: str
    fingerprint: str
    text: str
    title: str
    published_at: datetime
    received_at: datetime
    updated_at: datetime
    source: str
    companies: tuple[str, ...]
    topics: tuple[str, ...]
    language: str
    labelling: Labelling
    revision: int = 0

    @property
    def keys(self) -> tuple[str, ...]:
        """The keys that it counts for."""
        return keys_of(companies=self.companies, source=self.source, topics=self.topics)

    def says_the_same(self, draft: Draft) -> bool:
        """Whether the draft changes nothing: equal content, and the same published time or none given."""
        return self.fingerprint == draft.fingerprint and draft.published_at in (None, self.published_at)

    @classmethod
    def new(cls, draft: Draft, labelling: Labelling, *, now: datetime) -> Document:
        """A first version. Without a published time the document counts for the moment it arrived."""
        return cls(
            id=draft.id,
            fingerprint=draft.fingerprint,
            text=draft.text,
            title=draft.title,
            published_at=draft.published_at or now,
            received_at=now,
            updated_at=now,
            source=draft.source,
            companies=draft.companies,
            topics=draft.topics,
            language=draft.language,
            labelling=labelling,
        )

    def corrected(self, draft: Draft, labelling: Labelling, *, now: datetime) -> Document:
        """The next version under the same id; a published time that is not given again stays as it was."""
        return msgspec.structs.replace(
            Document.new(draft, labelling, now=now),
            published_at=draft.published_at or self.published_at,
            received_at=self.received_at,
            revision=self.revision + 1,
        )
