"""Requests and answers as they are on the wire."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from parlance_sentiment.alerts import Alert
from parlance_sentiment.documents import Document
from parlance_sentiment.ingestion import Ingested
from parlance_sentiment.rules import ThresholdRule
from parlance_sentiment.trends import Point, Totals

__all__ = [
    "AcknowledgeIn",
    "AlertPage",
    "DocumentBatch",
    "DocumentIn",
    "DocumentOut",
    "DocumentPage",
    "IngestResult",
    "KeyOut",
    "KeysOut",
    "LineError",
    "RuleOut",
    "RulesOut",
    "SeriesOut",
    "TrendOut",
]


class _In(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A request: unknown fields are errors."""


class _Out(msgspec.Struct, frozen=True, kw_only=True):
    """An answer."""


class DocumentIn(_In, frozen=True, kw_only=True):
    """A document to label and store."""

    text: Annotated[
        str,
        Meta(
            description="What is labelled. Not empty; the longest is limits.text_chars.",
            examples=["Borealis Motors recalls 40,000 cars after brake failures"],
        ),
    ]
    id: Annotated[
        str | None,
        Meta(
            description="Your id, 1 to 200 characters. The same id with another content is a correction. Without one "
            "the document is known by its source, title, text and published time.",
            examples=["wire-20260302-0917"],
        ),
    ] = None
    title: Annotated[str | None, Meta(description="Read by the model before the text.")] = None
    published_at: Annotated[
        str | None,
        Meta(
            description="ISO 8601 with a zone, or a date alone (midnight UTC). Default: the time of arrival.",
            examples=["2026-03-02T09:17:00+08:00", "2026-03-02"],
        ),
    ] = None
    source: Annotated[str | None, Meta(description="Who published it.", examples=["Harbour Wire"])] = None
    companies: Annotated[
        tuple[str, ...], Meta(description="Companies that it is about; at most 50.", examples=[["Borealis Motors"]])
    ] = ()
    topics: Annotated[tuple[str, ...], Meta(description="Topics; at most 50.", examples=[["recalls"]])] = ()
    language: Annotated[str | None, Meta(description="Language tag, kept as given.", examples=["en", "zh"])] = None


class DocumentBatch(_In, frozen=True, kw_only=True):
    """Several documents."""

    documents: Annotated[tuple[DocumentIn, ...], Meta(description="In order; at most limits.batch_texts.")]


class DocumentOut(_Out, frozen=True, kw_only=True):
    """A stored document with its labels."""

    id: str
    outcome: Annotated[
        Literal["stored", "unchanged", "corrected"] | None,
        Meta(description="What a POST did with it; null in other answers."),
    ] = None
    label: Annotated[Literal["positive", "neutral", "negative"], Meta(description="The most probable label.")]
    probabilities: Annotated[dict[str, float], Meta(description="Calibrated; they sum to 1.")]
    score: Annotated[float, Meta(description="p(positive) − p(negative), from −1 to 1.")]
    model: Annotated[str, Meta(description="name@version of the model that answered.")]
    truncated: Annotated[bool, Meta(description="Whether the model read only the beginning of the text.")]
    text: str
    title: str
    published_at: datetime
    received_at: datetime
    updated_at: datetime
    source: str
    companies: tuple[str, ...]
    topics: tuple[str, ...]
    language: str
    revision: Annotated[int, Meta(description="How often it was corrected.")]

    @classmethod
    def of(cls, document: Document, outcome: Literal["stored", "unchanged", "corrected"] | None = None) -> DocumentOut:
        """The wire form of a document."""
        labelling = document.labelling
        return cls(
            id=document.id,
            outcome=outcome,
            label=labelling.label,  # type: ignore[arg-type]  # one of the three, see labelling_from
            probabilities={
                "positive": round(labelling.positive, 6),
                "neutral": round(labelling.neutral, 6),
                "negative": round(labelling.negative, 6),
            },
            score=round(labelling.score, 6),
            model=labelling.model,
            truncated=labelling.truncated,
            text=document.text,
            title=document.title,
            published_at=document.published_at,
            received_at=document.received_at,
            updated_at=document.updated_at,
            source=document.source,
            companies=document.companies,
            topics=document.topics,
            language=document.language,
            revision=document.revision,
        )


class LineError(_Out, frozen=True, kw_only=True):
    """A line of an NDJSON body that was not stored."""

    line: Annotated[int, Meta(description="Counted from 1.")]
    code: str
    message: str


class IngestResult(_Out, frozen=True, kw_only=True):
    """What became of the documents of one request."""

    documents: Annotated[tuple[DocumentOut, ...], Meta(description="In the order in which they were sent.")]
    errors: Annotated[tuple[LineError, ...], Meta(description="Bad lines; only NDJSON has them.")] = ()
    stored: int
    unchanged: int
    corrected: int

    @classmethod
    def of(cls, results: list[Ingested], errors: list[LineError] | None = None) -> IngestResult:
        """Count the outcomes."""
        outcomes = [result.outcome for result in results]
        return cls(
            documents=tuple(DocumentOut.of(result.document, result.outcome) for result in results),
            errors=tuple(errors or ()),
            stored=outcomes.count("stored"),
            unchanged=outcomes.count("unchanged"),
            corrected=outcomes.count("corrected"),
        )


class DocumentPage(_Out, frozen=True, kw_only=True):
    """One page of documents, newest first."""

    documents: tuple[DocumentOut, ...]
    next_cursor: Annotated[str | None, Meta(description="Pass it as 'cursor' for the next page; null at the end.")]


class SeriesOut(_Out, frozen=True, kw_only=True):
    """The trend of one key."""

    key: str
    totals: Totals
    models: Annotated[tuple[str, ...], Meta(description="Model versions that labelled what is counted.")]
    points: tuple[Point, ...]


class TrendOut(_Out, frozen=True, kw_only=True):
    """Trends of one or more keys over the same time."""

    bucket: str
    timezone: str
    start: Annotated[datetime, Meta(description="Included; 'from' moved back to the start of its bucket.")]
    end: Annotated[datetime, Meta(description="Not included; 'to' moved on to the end of its bucket.")]
    series: tuple[SeriesOut, ...]


class KeyOut(_Out, frozen=True, kw_only=True):
    """A key and what was counted for it."""

    key: str
    totals: Totals


class KeysOut(_Out, frozen=True, kw_only=True):
    """Keys with the most documents first."""

    start: datetime
    end: datetime
    keys: tuple[KeyOut, ...]


class RuleOut(_Out, frozen=True, kw_only=True):
    """A rule in force."""

    origin: Annotated[
        Literal["settings", "http"], Meta(description="Rules of the settings cannot be changed over HTTP.")
    ]
    version: Annotated[str, Meta(description="Hash of the rule; alerts carry it.")]
    rule: ThresholdRule


class RulesOut(_Out, frozen=True, kw_only=True):
    """All rules in force."""

    rules: tuple[RuleOut, ...]


class AlertPage(_Out, frozen=True, kw_only=True):
    """One page of alerts, the latest start first."""

    alerts: tuple[Alert, ...]
    next_cursor: Annotated[str | None, Meta(description="Pass it as 'cursor' for the next page; null at the end.")]


class AcknowledgeIn(_In, frozen=True, kw_only=True):
    """Who took notice of an alert."""

    by: Annotated[str, Meta(max_length=200, description="Default: the name of the API key.")] = ""
    comment: Annotated[str, Meta(max_length=2000)] = ""
