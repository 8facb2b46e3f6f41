"""Files of documents: CSV with a header, or one JSON object per line; bad rows go to a rejects file."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec

from parlance.errors import BadInput, ParlanceError
from parlance_sentiment.schemas import DocumentIn, LineError
from parlance_sentiment.service import SentimentService

__all__ = ["ImportReport", "import_documents"]

_LISTS = ("companies", "topics")
_ENCODINGS = ("utf-8-sig", "gb18030")
_BATCH = 64


class ImportReport(msgspec.Struct, kw_only=True):
    """What became of a file."""

    file: str
    rows: int = 0
    stored: int = 0
    unchanged: int = 0
    corrected: int = 0
    rejected: int = 0
    rejects_file: str | None = None


async def import_documents(
    service: SentimentService,
    file: Path,
    *,
    columns: dict[str, str],
    rejects: Path | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> ImportReport:
    """Label and store the rows of a file; good rows are stored whatever the bad ones are. Doing it again is safe.

    Args:
        columns: the file's column by field, where they differ: ``{"text": "headline"}``.
        rejects: where bad rows go with line and reason; default ``<file>.rejects.jsonl``.
        progress: called with rows done and rows in all.

    Raises:
        BadInput: the file cannot be read, or has no column for the text.
    """
    report = ImportReport(file=str(file))
    rows = list(_rows(file, columns))
    raw = {line: row for line, row, _ in rows}
    errors: list[LineError] = []
    for start in range(0, len(rows), _BATCH):
        part = rows[start : start + _BATCH]
        good = [(line, document) for line, _, document in part if isinstance(document, DocumentIn)]
        bad = [error for _, _, error in part if isinstance(error, LineError)]
        results, failed = await service.ingest_lines(good, bad)
        errors += failed
        for result in results:
            setattr(report, result.outcome, getattr(report, result.outcome) + 1)
        if progress is not None:
            progress(start + len(part), len(rows))
    report.rows, report.rejected = len(rows), len(errors)
    if errors:
        target = rejects or file.with_name(file.name + ".rejects.jsonl")
        lines = (
            msgspec.json.encode(
                {"line": error.line, "code": error.code, "reason": error.message, "row": raw[error.line]}
            )
            for error in errors
        )
        target.write_bytes(b"\n".join(lines) + b"\n")
        report.rejects_file = str(target)
    return report


def _rows(file: Path, columns: dict[str, str]) -> Iterator[tuple[int, Any, DocumentIn | LineError]]:
    text = _text(file)
    if file.suffix.lower() in (".jsonl", ".ndjson"):
        for number, line in enumerate(text.splitlines(), start=1):
            if line.strip():
                yield number, line, _document(number, lambda line=line: msgspec.json.decode(line), columns)
        return
    reader = csv.DictReader(io.StringIO(text), strict=True)
    wanted = columns.get("text", "text")
    if wanted not in (reader.fieldnames or ()):
        raise BadInput(
            f"{file} has no column '{wanted}'; its columns are {', '.join(reader.fieldnames or ()) or 'none'}.",
            hint="Name the column of the text: --column text=headline",
            code="missing_column",
        )
    try:
        for row in reader:
            values = {name: value for name, value in row.items() if name is not None and value}
            yield reader.line_num, row, _document(reader.line_num, lambda values=values: values, columns)
    except csv.Error as error:
        raise BadInput(f"{file}, line {reader.line_num}: not CSV ({error}).", code="invalid_csv") from error


def _document(line: int, read: Callable[[], Any], columns: dict[str, str]) -> DocumentIn | LineError:
    """One row as a document; columns that are no field of a document are left out."""
    try:
        row = read()
        if not isinstance(row, dict):
            return LineError(line=line, code="validation_failed", message="The line is no JSON object.")
        values = {field: row[columns.get(field, field)] for field in _fields() if columns.get(field, field) in row}
        for field in _LISTS:
            if isinstance(values.get(field), str):
                values[field] = [part.strip() for part in values[field].split(";") if part.strip()]
        return msgspec.convert(values, DocumentIn)
    except (msgspec.DecodeError, UnicodeError) as error:
        return LineError(line=line, code="invalid_row", message=str(error))
    except ParlanceError as error:
        return LineError(line=line, code=error.code, message=str(error))


def _fields() -> tuple[str, ...]:
    return DocumentIn.__struct_fields__


def _text(file: Path) -> str:
    try:
        content = file.read_bytes()
    except OSError as error:
        raise BadInput(f"{file} cannot be read: {error.strerror}.", code="unreadable_file") from error
    for encoding in _ENCODINGS:
        try:
            return content.decode(encoding)
        except UnicodeDecodeError:
            continue
    raise BadInput(f"{file} is neither UTF-8 nor GB 18030.", hint="Convert it to UTF-8 first.", code="unknown_encoding")
