"""Which candidate answers, and whether any does."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from parlance_support.answering.calibration import Calibration
from parlance_support.answering.features import Candidate

__all__ = ["Judged", "Verdict", "decide"]


@dataclass(frozen=True, slots=True)
class Judged:
    """A candidate with the probability that it answers."""

    candidate: Candidate
    confidence: float


@dataclass(frozen=True, slots=True)
class Verdict:
    """The judged candidates, best first; ``answerable`` says whether the first may be given as the answer."""

    answerable: bool
    ranked: tuple[Judged, ...]

    @property
    def confidence(self) -> float:
        """Of the best candidate; 0 where there is none."""
        return self.ranked[0].confidence if self.ranked else 0.0


def decide(found: Sequence[Candidate], *, calibration: Calibration, language: str, threshold: float) -> Verdict:
    """Judge candidates; the best must reach the threshold."""
    judged = [Judged(item, calibration.confidence(item.features, language)) for item in found]
    ranked = tuple(sorted(judged, key=lambda item: (-item.confidence, item.candidate.entry_id)))
    return Verdict(bool(ranked) and ranked[0].confidence >= threshold, ranked)
