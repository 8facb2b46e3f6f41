"""Model outputs → values for each text; runs on the worker thread that computed the batch."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from parlance.engine.work import Tokens
from parlance.errors import ModelError
from parlance.models.artefact import Artefact
from parlance.runners.fidelity import probabilities
from parlance.tasks import Classification, Origin, Span

__all__ = ["classification", "decode", "spans", "to_spans"]

RawSpan = tuple[int, int, str, float]


def decode(artefact: Artefact, output: NDArray[np.float32], batch: Sequence[Tokens]) -> list[Any]:
    """One value for each text, in order: a vector, probabilities by label, raw spans, or a score.

    Raises:
        ModelError: the output has another shape than the artefact promises, or numbers that are none.
    """
    dimensions = 3 if artefact.task == "tag" else 2
    if output.ndim != dimensions or output.shape[0] != len(batch):
        raise ModelError(
            f"{artefact.reference} gave an output of shape {output.shape} for {len(batch)} texts "
            f"where {dimensions} axes were expected."
        )
    if not np.isfinite(output).all():
        raise ModelError(f"{artefact.reference} gave numbers that are not finite.")
    if artefact.task == "embed":
        return [row.copy() for row in output]
    if artefact.task == "score":
        return [float(value) for value in output[:, 0]]
    values = probabilities(artefact, output)
    if artefact.task == "classify":
        return [row.tolist() for row in values]
    return [spans(artefact.labels, row, tokens.offsets or []) for row, tokens in zip(values, batch, strict=True)]


def classification(artefact: Artefact, values: Sequence[float], *, truncated: bool, origin: Origin) -> Classification:
    """The labels of one text; a single-label model abstains below the threshold.

    A multi-label model chooses every label at or above the threshold (0.5 without one) and abstains when there is none.
    """
    ranked = sorted(zip(artefact.labels, values, strict=True), key=lambda pair: -pair[1])
    best, confidence = ranked[0]
    threshold = artefact.threshold
    if artefact.multi_label:
        least = 0.5 if threshold is None else threshold
        chosen = tuple(label for label, value in ranked if value >= least)
        abstained = not chosen
    else:
        abstained = threshold is not None and confidence < threshold
        chosen = () if abstained else (best,)
    return Classification(
        label=None if abstained else best,
        confidence=confidence,
        probabilities=dict(ranked),
        labels=chosen,
        abstained=abstained,
        threshold=threshold,
        truncated=truncated,
        origin=origin,
    )


def spans(labels: Sequence[str], values: NDArray[np.float64], offsets: Sequence[tuple[int, int]]) -> list[RawSpan]:
    """BIO labels of tokens → spans ``(start, end, label, probability)`` in characters of the tokenised text.

    An ``I-`` that follows nothing of its kind opens a span (as the CoNLL evaluation reads it). A span's probability is
    the mean over its tokens.
    """
    best = values.argmax(axis=-1)
    found: list[RawSpan] = []
    start, end, kind = 0, 0, ""
    scores: list[float] = []

    def close() -> None:
        if kind:
            found.append((start, end, kind, float(np.mean(scores))))

    for position, (first, last) in enumerate(offsets):
        if first == last:
            continue  # special tokens
        prefix, _, name = labels[int(best[position])].partition("-")
        score = float(values[position, best[position]])
        if prefix == "I" and name == kind and kind:
            end = last
            scores.append(score)
            continue
        close()
        kind, scores = (name, [score]) if prefix in ("B", "I") else ("", [])
        start, end = first, last
    close()
    return found


def to_spans(text: str, raw: Sequence[RawSpan], *, shift: int) -> list[Span]:
    """Spans in characters of the caller's own string: ``shift`` characters were put before it for the model."""
    moved = [(max(0, start - shift), end - shift, label, probability) for start, end, label, probability in raw]
    return [
        Span(start=start, end=end, text=text[start:end], label=label, probability=probability)
        for start, end, label, probability in moved
        if end > start
    ]
