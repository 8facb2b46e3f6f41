"""What the decision looks at: how near an entry is, how far it stands out, and which words it shares.

Cosines of an embedding model are high between any two texts of one style, and higher in one knowledge base than in
another. What separates answers from chance is by how much an entry stands out from the others found.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from parlance.search.analysis import terms
from parlance.search.hybrid import Hit
from parlance_support.knowledge.entry import entry_of

__all__ = ["Candidate", "Features", "candidates"]

_CROWD = 20
_PRIOR_WEIGHT = 4.0


@dataclass(frozen=True, slots=True)
class Features:
    """Numbers about one candidate, in the order of ``calibration.FEATURES``.

    ``cosine``: the highest cosine between the message and a way to ask the entry's question, 0 where unknown.
    ``prominence``: how much higher that is than the mean of the entries found after the best (20 at most).
    ``margin``: how much higher that is than the best of any other entry's; negative for all but the best.
    ``shared``: the share of the message's terms that the nearest question has.
    ``covered``: the share of the nearest question's terms that the message has.
    """

    cosine: float
    prominence: float
    margin: float
    shared: float
    covered: float


@dataclass(frozen=True, slots=True)
class Candidate:
    """An entry that was found; ``matched`` is the text of it that lies nearest."""

    entry_id: str
    matched: str
    features: Features


def candidates(text: str, hits: Sequence[Hit], *, background: float) -> list[Candidate]:
    """Group hits on questions by entry and describe each entry by its nearest question.

    Args:
        text: the customer's message.
        hits: hits of the search, on questions only.
        background: cosine to be expected of an entry that has nothing to do with the message. It counts as four
            further entries, so that the figures mean the same in a knowledge base of three entries.
    """
    nearest: dict[str, tuple[float, Hit]] = {}
    wanted = set(terms(text))
    for hit in hits:
        name = entry_of(hit.id)
        near = (hit.dense or 0.0) + 1e-3 * _overlap(wanted, terms(hit.text))
        if name not in nearest or near > nearest[name][0]:
            nearest[name] = (near, hit)
    cosines = {name: hit.dense or 0.0 for name, (_, hit) in nearest.items()}
    ordered = [*sorted(cosines.values(), reverse=True), background]
    crowd = ordered[1:-1][:_CROWD]
    level = (sum(crowd) + _PRIOR_WEIGHT * background) / (len(crowd) + _PRIOR_WEIGHT)
    found = []
    for name, (_, hit) in nearest.items():
        held = set(terms(hit.text))
        cosine = cosines[name]
        features = Features(
            cosine=cosine,
            prominence=cosine - level,
            margin=cosine - (ordered[0] if cosine < ordered[0] else ordered[1]),
            shared=_overlap(wanted, held),
            covered=_overlap(held, wanted),
        )
        found.append(Candidate(name, hit.text, features))
    return found


def _overlap(of: set[str], among: Iterable[str]) -> float:
    return len(of & set(among)) / len(of) if of else 0.0
