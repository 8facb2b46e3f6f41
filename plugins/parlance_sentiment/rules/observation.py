"""What was seen of one key in one window: the only input of a rule."""

from __future__ import annotations

from datetime import datetime

import msgspec

__all__ = ["Observation"]


class Observation(msgspec.Struct, frozen=True, kw_only=True):
    """Counts of the documents of ``key`` published in the half-open window ``(start, end]``."""

    key: str
    start: datetime
    end: datetime
    positive: int = 0
    neutral: int = 0
    negative: int = 0
    sources: int = 0
    mean_score: float | None = None

    @property
    def documents(self) -> int:
        """How many documents."""
        return self.positive + self.neutral + self.negative

    @property
    def negative_share(self) -> float:
        """Share of negative documents, from 0 to 1; 0 where there are none."""
        return self.negative / self.documents if self.documents else 0.0
