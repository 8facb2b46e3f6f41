"""What the decision looks at: how near the best entry is, how far ahead of the next, and which words they share."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from parlance.search.analysis import terms
from parlance.search.hybrid import Hit
from parlance_support.knowledge.entry import entry_of

__all__ = ["Candidate", "Features", "candidates"]


@dataclass(frozen=True, slots=True)
class Features:
    """Numbers about one candidate, in the order of ``calibration.FEATURES``.

    ``cosine``: the highest cosine between the message and a way to ask the entry's question, 0 where unknown.
    ``margin``: how much higher that is than the best of any other entry's; negative for all but the best.
    ``shared``: the share of the message's terms that the nearest question has.
    ``covered``: the share of the nearest question's terms that the message has.
    """

    cosine: float
    margin: float
    shared: float
    covered: float


@dataclass(frozen=True, slots=True)
class Candidate:
    """An entry that was found; ``matched`` is the text of it that lies nearest."""

    entry_id: str
    matched: str
    features: Features


def candidates(text: str, hits: Sequence[Hit]) -> list[Candidate]:
    """Group hits on questions by entry and describe each entry by its nearest question.

    Args:
        text: the customer's message.
        hits: hits of the search, on questions only.
    """
    nearest: dict[str, tuple[float, Hit]] = {}
    wanted = set(terms(text))
    for hit in hits:
        name = entry_of(hit.id)
        near = (hit.dense or 0.0) + 1e-3 * _overlap(wanted, terms(hit.text))
        if name not in nearest or near > nearest[name][0]:
            nearest[name] = (near, hit)
    cosines = {name: hit.dense or 0.0 for name, (_, hit) in nearest.items()}
    ordered = sorted(cosines.values(), reverse=True)
    found = []
    for name, (_, hit) in nearest.items():
        held = set(terms(hit.text))
        other = ordered[0] if cosines[name] < ordered[0] else (ordered[1] if len(ordered) > 1 else 0.0)
        features = Features(
            cosine=cosines[name],
            margin=cosines[name] - other if len(ordered) > 1 else 0.0,
            shared=_overlap(wanted, held),
            covered=_overlap(held, wanted),
        )
        found.append(Candidate(name, hit.text, features))
    return found


def _overlap(of: set[str], among: Iterable[str]) -> float:
    return len(of & set(among)) / len(of) if of else 0.0
