"""From the engine's answer to a labelling."""

from __future__ import annotations

from parlance.errors import ModelError
from parlance.tasks import Classification
from parlance_sentiment.documents.document import Labelling

__all__ = ["LABELS", "labelling_from"]

LABELS = ("positive", "neutral", "negative")
_SUM_TOLERANCE = 1e-3


def labelling_from(answer: Classification) -> Labelling:
    """Read one classification.

    The label is that of the largest probability, also when the model would abstain: a document that was read counts
    for exactly one label.

    Raises:
        ModelError: code ``wrong_labels``; the model's labels are not positive, neutral and negative.
    """
    by_name = {name.lower(): value for name, value in answer.probabilities.items()}
    reference = f"{answer.origin.model}@{answer.origin.version}"
    if set(by_name) != set(LABELS) or abs(sum(by_name.values()) - 1) > _SUM_TOLERANCE:
        raise ModelError(
            f"The model {reference} answers with the labels {sorted(answer.probabilities)}; "
            "sentiment needs positive, neutral and negative with probabilities that sum to 1.",
            hint="Set sentiment.model to a model with these labels.",
            code="wrong_labels",
        )
    return Labelling(
        label=max(LABELS, key=lambda name: by_name[name]),
        positive=by_name["positive"],
        neutral=by_name["neutral"],
        negative=by_name["negative"],
        model=reference,
        truncated=answer.truncated,
    )
