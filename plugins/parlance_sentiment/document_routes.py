"""``/sentiment/documents``, ``/sentiment/trends`` and ``/sentiment/keys``."""

from __future__ import annotations

import asyncio
from datetime import datetime
from typing import Annotated, Any, Literal

import msgspec
from litestar import Controller, Request, delete, get, post
from litestar.di import NamedDependency
from litestar.params import FromPath, QueryParameter, SkipValidation

from parlance.errors import NotFound, Overloaded, TooLarge, ValidationFailed
from parlance.http.auth import caller_of, require_scope
from parlance.http.decoding import decode_json
from parlance.http.disconnect import cancel_on_disconnect
from parlance.http.ndjson import GoodLine, decode_lines, is_ndjson
from parlance.http.problems import responses
from parlance_sentiment.documents import parse_time
from parlance_sentiment.openapi import AddDocuments
from parlance_sentiment.schemas import (
    DocumentBatch,
    DocumentIn,
    DocumentOut,
    DocumentPage,
    IngestResult,
    KeysOut,
    LineError,
    TrendOut,
)
from parlance_sentiment.service import SentimentService
from parlance_sentiment.store.documents import DocumentQuery

__all__ = ["Cursor", "DocumentController", "From", "Limit", "Service", "To", "TrendController", "moment"]

Service = NamedDependency[SkipValidation[SentimentService]]
From = Annotated[
    str | None, QueryParameter(name="from", description="Earliest time, included: ISO 8601 with a zone, or a date.")
]
To = Annotated[str | None, QueryParameter(name="to", description="Latest time, not included.")]
Limit = Annotated[int, QueryParameter(ge=1, le=500, description="Most entries on a page.")]
Cursor = Annotated[str | None, QueryParameter(description="'next_cursor' of the page before.")]
Label = Literal["positive", "neutral", "negative"]

_IN_THREAD_BYTES = 64_000
_MANY = msgspec.json.Decoder(tuple[DocumentIn, ...])
_BATCH = msgspec.json.Decoder(DocumentBatch)
_ONE = msgspec.json.Decoder(DocumentIn)


class _Probe(msgspec.Struct):
    """Tells a batch from a document."""

    documents: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET


_PROBE = msgspec.json.Decoder(_Probe)


def moment(value: str | None, field: str) -> datetime | None:
    """A time from the query string, if there is one."""
    return parse_time(value, field=field) if value else None


class DocumentController(Controller):
    """Documents: labelled, stored, read and withdrawn."""

    path = "/documents"

    @post(
        status_code=200,
        guards=[require_scope("sentiment:write")],
        operation_id="addSentimentDocuments",
        operation_class=AddDocuments,
        summary="Label and store documents",
        responses=responses(ValidationFailed, TooLarge, Overloaded),
    )
    async def add(self, request: Request[Any, Any, Any], service: Service) -> IngestResult:
        """Label documents positive, neutral or negative, store them, count them into the trends and judge the rules.

        The body is one document, an array, `{"documents": [...]}`, or NDJSON. A JSON body is stored wholly or not at
        all; of NDJSON the good lines are stored and the bad ones reported. Sending the same document again changes
        nothing; the same `id` with another content corrects it, also in past buckets.
        """
        body = await request.body()
        caller = caller_of(request).name
        if is_ndjson(request.headers.get("content-type", "")):
            good, bad = await asyncio.to_thread(_lines, body)
            results, errors = await cancel_on_disconnect(request, service.ingest_lines(good, bad, charge_to=caller))
            return IngestResult.of(results, errors)
        documents = await asyncio.to_thread(_documents, body) if len(body) > _IN_THREAD_BYTES else _documents(body)
        return IngestResult.of(await cancel_on_disconnect(request, service.ingest(documents, charge_to=caller)))

    @get(
        guards=[require_scope("sentiment:read")],
        operation_id="listSentimentDocuments",
        summary="List documents, newest first",
        responses=responses(ValidationFailed),
    )
    async def list_documents(
        self,
        service: Service,
        company: Annotated[str | None, QueryParameter(description="Only about this company.")] = None,
        topic: Annotated[str | None, QueryParameter(description="Only about this topic.")] = None,
        source: Annotated[str | None, QueryParameter(description="Only from this source.")] = None,
        label: Annotated[Label | None, QueryParameter(description="Only with this label.")] = None,
        since: From = None,
        until: To = None,
        limit: Limit = 50,
        cursor: Cursor = None,
    ) -> DocumentPage:
        """Stored documents with their labels, by published time."""
        query = DocumentQuery(
            company=company,
            topic=topic,
            source=source,
            label=label,
            start=moment(since, "from"),
            end=moment(until, "to"),
            cursor=cursor,
            limit=limit,
        )
        found, more = await service.documents(query)
        return DocumentPage(documents=tuple(DocumentOut.of(document) for document in found), next_cursor=more)

    @get(
        "/{document_id:str}",
        guards=[require_scope("sentiment:read")],
        operation_id="getSentimentDocument",
        summary="Read one document",
        responses=responses(NotFound),
    )
    async def read(self, document_id: FromPath[str], service: Service) -> DocumentOut:
        """One stored document with its labels."""
        return DocumentOut.of(await service.document(document_id))

    @delete(
        "/{document_id:str}",
        guards=[require_scope("sentiment:write")],
        operation_id="withdrawSentimentDocument",
        summary="Withdraw a document",
        responses=responses(NotFound),
    )
    async def withdraw(self, document_id: FromPath[str], service: Service) -> None:
        """Delete a document, take it out of past buckets, and judge open alerts again."""
        await service.withdraw(document_id)


class TrendController(Controller):
    """Trends over time."""

    @get(
        "/trends",
        guards=[require_scope("sentiment:read")],
        operation_id="getSentimentTrends",
        summary="Counts and mean score per time bucket",
        responses=responses(ValidationFailed),
    )
    async def trends(
        self,
        service: Service,
        key: Annotated[
            list[str] | None,
            QueryParameter(
                description="`all`, `company:NAME`, `source:NAME` or `topic:NAME`; repeat it, up to 20 times."
            ),
        ] = None,
        bucket: Annotated[Literal["hour", "day", "week"], QueryParameter(description="Weeks begin on Monday.")] = "day",
        since: From = None,
        until: To = None,
        timezone: Annotated[str, QueryParameter(description="IANA zone in which days and weeks begin.")] = "UTC",
        fill: Annotated[bool, QueryParameter(description="Give points of zeros where there is nothing.")] = True,
    ) -> TrendOut:
        """Counts per label, mean score and share of negative documents, by published time.

        Without `from`: the last 48 hours, 30 days or 26 weeks, by the size of the bucket.
        """
        return await service.trends(
            key or [],
            bucket=bucket,
            start=moment(since, "from"),
            end=moment(until, "to"),
            timezone=timezone,
            fill=fill,
        )

    @get(
        "/keys",
        guards=[require_scope("sentiment:read")],
        operation_id="listSentimentKeys",
        summary="Which keys there are",
        responses=responses(ValidationFailed),
    )
    async def keys(
        self,
        service: Service,
        prefix: Annotated[str, QueryParameter(description="Such as `company:`.", max_length=300)] = "",
        since: From = None,
        until: To = None,
        limit: Limit = 50,
    ) -> KeysOut:
        """Companies, sources and topics with the most documents; of the last 30 days without `from`."""
        start, end = moment(since, "from"), moment(until, "to")
        return await service.keys(prefix=prefix, start=start, end=end, limit=limit)


def _documents(body: bytes) -> tuple[DocumentIn, ...]:
    """A JSON body in one of its three forms."""
    start = body.lstrip()[:1]
    if start == b"[":
        return decode_json(body, _MANY)
    if start == b"{":
        if decode_json(body, _PROBE).documents is not msgspec.UNSET:
            return decode_json(body, _BATCH).documents
        return (decode_json(body, _ONE),)
    return decode_json(body, _BATCH).documents


def _lines(body: bytes) -> tuple[list[tuple[int, DocumentIn]], list[LineError]]:
    good: list[tuple[int, DocumentIn]] = []
    bad: list[LineError] = []
    for line in decode_lines(body, DocumentIn):
        if isinstance(line, GoodLine):
            good.append((line.line, line.value))
        else:
            bad.append(LineError(line=line.line, code=line.code, message=line.message))
    if not good and not bad:
        raise ValidationFailed("The request holds no documents.", code="empty_batch")
    return good, bad
