"""The numbers that blend interest, popularity and quality into one score."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["Weights"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Weights:
    """``score = interest · trust · (breadth · overall + (1 − breadth) · nearest) + popularity · p + quality · q``.

    ``trust`` is ``w / (w + trust_events)`` with ``w`` the weight of the user's events, so that interest counts little
    while little is known; the other parts are explained where they are computed.
    """

    interest: float = 1.0
    popularity: float = 0.15
    quality: float = 0.2
    breadth: float = 0.7
    nearest: int = 10
    trust_events: float = 2.0
