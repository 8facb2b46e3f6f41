"""Files of documents: CSV with a header, or JSON lines; bad rows go to a rejects file."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec

from parlance.storage.imports import import_rows
from parlance_sentiment.documents import Draft
from parlance_sentiment.schemas import DocumentIn
from parlance_sentiment.service import SentimentService

__all__ = ["DocumentReport", "import_documents"]

_LISTS = ("companies", "topics")
_BATCH = 64


class DocumentReport(msgspec.Struct, kw_only=True):
    """What became of a file; ``encoding`` is the one that was found."""

    file: str
    encoding: str = ""
    rows: int = 0
    stored: int = 0
    corrected: int = 0
    unchanged: int = 0
    rejected: int = 0
    rejects_file: str | None = None


async def import_documents(
    service: SentimentService,
    file: Path,
    *,
    columns: Mapping[str, str],
    rejects: Path | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> DocumentReport:
    """Label and store the rows of a file; good rows are stored whatever the bad ones are. Doing it again is safe.

    Args:
        service: where to.
        file: CSV or TSV with a header, or JSON lines. ``companies`` and ``topics`` are separated by ';' in a cell.
        columns: the file's column by field, where they differ: ``{"text": "headline"}``.
        rejects: where bad rows go with line and reason; default ``<file>.rejects.jsonl``.
        progress: called with bytes read and the file's size.

    Raises:
        BadInput: the file cannot be read, or has no column for the text.
    """
    report = DocumentReport(file=str(file))

    async def store(drafts: Sequence[Draft]) -> None:
        for result in await service.ingest_drafts(drafts):
            setattr(report, result.outcome, getattr(report, result.outcome) + 1)

    done = await import_rows(
        file,
        convert=lambda values: service.draft(_document(values)),
        store=store,
        mapping={column: field for field, column in columns.items()},
        required=("text",),
        rejects=rejects,
        batch=_BATCH,
        progress=progress,
    )
    report.encoding, report.rows = done.encoding, done.read
    report.rejected, report.rejects_file = done.rejected, done.rejects_file
    return report


def _document(values: Mapping[str, Any]) -> DocumentIn:
    """A row's cells as a document; empty cells and columns that are no field are left out."""
    known = {name: values[name] for name in DocumentIn.__struct_fields__ if values.get(name) not in (None, "")}
    for name in _LISTS:
        if isinstance(known.get(name), str):
            known[name] = [part.strip() for part in known[name].split(";") if part.strip()]
    return msgspec.convert(known, DocumentIn)
