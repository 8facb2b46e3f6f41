"""The ``classify`` task: text → calibrated probabilities of labels, or an abstention."""

from __future__ import annotations

import msgspec

from parlance.tasks.origin import Origin

__all__ = ["Classification"]


class Classification(msgspec.Struct, frozen=True, kw_only=True):
    """One text's labels.

    ``probabilities`` holds every label of the model, calibrated, in falling order; they sum to 1 for a single-label
    model. ``label`` is the chosen one (``None`` when abstained), ``labels`` the chosen ones of a multi-label model.
    ``abstained`` is true when the best probability lies below ``threshold``.
    """

    label: str | None
    confidence: float
    probabilities: dict[str, float]
    labels: tuple[str, ...] = ()
    abstained: bool = False
    threshold: float | None = None
    truncated: bool = False
    origin: Origin
