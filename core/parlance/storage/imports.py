"""Imports: files of rows, read in a stream, where a bad row is reported with its line and never stops the good ones."""

from __future__ import annotations

import asyncio
import codecs
import csv
import io
import itertools
from collections.abc import Awaitable, Callable, Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any, Literal, TypeVar

import msgspec

from parlance.errors import BadInput, ParlanceError, ValidationFailed

__all__ = ["ImportReport", "Rejected", "Row", "detect_encoding", "import_rows", "read_rows"]

T = TypeVar("T")
Format = Literal["csv", "tsv", "jsonl"]
_FORMATS: dict[str, Format] = {".csv": "csv", ".tsv": "tsv", ".tab": "tsv", ".jsonl": "jsonl", ".ndjson": "jsonl"}
REASONS_KEPT = 20
LONGEST_LINE = 4_000_000


@dataclass(frozen=True, slots=True)
class Row:
    """One row with the line that it begins on (from 1); values are texts in CSV and TSV, any JSON in JSON lines."""

    line: int
    values: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Rejected:
    """A row that was not taken, and why."""

    line: int
    reason: str
    values: Any = None


@dataclass(slots=True)
class ImportReport:
    """What an import did."""

    file: str
    format: Format
    encoding: str
    read: int = 0
    stored: int = 0
    rejected: int = 0
    rejects_file: str | None = None
    """Where the rejected rows are: JSON lines of ``line``, ``reason`` and ``values``; ``None`` where there are none."""
    first_rejects: list[Rejected] = field(default_factory=list)
    """The first twenty."""


async def import_rows(
    path: Path,
    *,
    convert: Callable[[Mapping[str, Any]], T],
    store: Callable[[Sequence[T]], Awaitable[None]],
    mapping: Mapping[str, str] | None = None,
    required: Sequence[str] = (),
    format: Format | None = None,  # noqa: A002  # the word that users know
    encoding: str | None = None,
    rejects: Path | None = None,
    batch: int = 500,
    progress: Callable[[int, int], None] | None = None,
) -> ImportReport:
    """Read a file, convert its rows and store them batch by batch.

    Args:
        path: CSV or TSV with a header line, or JSON lines (``.jsonl``, ``.ndjson``).
        convert: makes a row's values into what is stored; runs in a thread; raises ``ParlanceError``, ``ValueError`` or
            ``msgspec.ValidationError`` with the reason to refuse it.
        store: stores a batch, in one transaction. If the batch is refused (``BadInput`` or ``Conflict``), its rows are
            stored one by one and those that are refused again are rejected; other errors stop the import.
        mapping: our name of a column by the file's: ``{"Frage": "question"}``.
        required: columns, by our names, that must be there and not empty.
        format: instead of what the file's name says.
        encoding: instead of what its bytes say.
        rejects: where to write rejected rows; ``<file>.rejects.jsonl`` by default.
        batch: rows of one transaction.
        progress: called after each batch with bytes read and the file's size.

    Raises:
        BadInput: the file cannot be read, its format is unknown, or a required column is not in its header.
    """
    kind = _format(path, format)
    chosen = encoding if encoding is not None else await asyncio.to_thread(detect_encoding, path)
    size = (await asyncio.to_thread(path.stat)).st_size
    report = ImportReport(str(path), kind, chosen)
    target = rejects or path.with_name(path.name + ".rejects.jsonl")
    out = _Rejects(target, report)
    position = [0]
    rows = read_rows(path, format=kind, encoding=chosen, mapping=mapping, required=required, position=position)
    try:
        while True:
            items = await asyncio.to_thread(_next_batch, rows, convert, batch)
            if not items:
                break
            report.read += len(items)
            good = [(line, value) for line, value in items if not isinstance(value, Rejected)]
            await asyncio.to_thread(out.write, [value for _, value in items if isinstance(value, Rejected)])
            refused = await _store(good, store)
            report.stored += len(good) - len(refused)
            await asyncio.to_thread(out.write, refused)
            if progress is not None:
                progress(min(position[0], size), size)
    finally:
        rows.close()
        out.close()
    return report


def read_rows(
    path: Path,
    *,
    format: Format | None = None,  # noqa: A002  # the word that users know
    encoding: str | None = None,
    mapping: Mapping[str, str] | None = None,
    required: Sequence[str] = (),
    position: list[int] | None = None,
) -> Generator[Row | Rejected, None, None]:
    """Read a file's rows one after the other; the arguments are those of :func:`import_rows`.

    ``position[0]``, where given, is kept at the number of bytes read.
    """
    kind = _format(path, format)
    try:
        with path.open("rb") as raw:
            text = _decoded(
                raw,
                encoding if encoding is not None else detect_encoding(path),
                position if position is not None else [0],
            )
            rows = _json_rows(text) if kind == "jsonl" else _table_rows(text, "\t" if kind == "tsv" else ",", path)
            for index, row in enumerate(rows):
                yield _checked(row, mapping or {}, required, path, header=index == 0 and kind != "jsonl")
    except OSError as error:
        raise BadInput(f"{path} cannot be read ({error.strerror}).", code="file_unreadable") from error


def detect_encoding(path: Path) -> str:
    """``utf-16`` or ``utf-8-sig`` by the byte order mark, else ``utf-8`` where all bytes are, else ``gb18030``.

    Raises:
        BadInput: the file cannot be read, or is in none of these.
    """
    try:
        with path.open("rb") as file:
            head = file.read(4)
            if head.startswith((b"\xff\xfe", b"\xfe\xff")):
                return "utf-16"
            if head.startswith(b"\xef\xbb\xbf"):
                return "utf-8-sig"
            for name in ("utf-8", "gb18030"):
                file.seek(0)
                if _decodes(file, name):
                    return name
    except OSError as error:
        raise BadInput(f"{path} cannot be read ({error.strerror}).", code="file_unreadable") from error
    raise BadInput(f"{path} is neither UTF-8, UTF-16 nor GB 18030.", hint="Name its encoding.", code="encoding_unknown")


def _decodes(file: IO[bytes], encoding: str) -> bool:
    decoder = codecs.getincrementaldecoder(encoding)()
    try:
        for chunk in iter(lambda: file.read(1 << 20), b""):
            if b"\0" in chunk:
                return False
            decoder.decode(chunk)
        decoder.decode(b"", final=True)
    except UnicodeDecodeError:
        return False
    return True


def _format(path: Path, given: Format | None) -> Format:
    kind = given or _FORMATS.get(path.suffix.lower())
    if kind is None:
        raise BadInput(
            f"{path} has the ending '{path.suffix}', which says nothing about its format.",
            hint=f"Known are {', '.join(_FORMATS)}; or name the format.",
            code="format_unknown",
        )
    return kind


def _decoded(raw: IO[bytes], encoding: str, position: list[int]) -> Iterator[str]:
    """Lines with their ends; a line in a wrong encoding holds U+FFFD, which makes its row a rejected one."""
    try:
        text = io.TextIOWrapper(raw, encoding=encoding, errors="replace", newline="")
    except LookupError as error:
        raise BadInput(f"There is no encoding named '{encoding}'.", code="encoding_unknown") from error
    try:
        for line in iter(lambda: text.readline(LONGEST_LINE), ""):
            position[0] = raw.tell()
            yield line
    finally:
        if not raw.closed:
            text.detach()  # the file belongs to the caller, who closes it


def _json_rows(lines: Iterator[str]) -> Iterator[Row | Rejected]:
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            values = msgspec.json.decode(line)
        except (msgspec.DecodeError, UnicodeEncodeError) as error:
            yield Rejected(number, f"not JSON: {error}", line.strip()[:1000])
            continue
        yield Row(number, values) if isinstance(values, dict) else Rejected(number, "not a JSON object", values)


def _table_rows(lines: Iterator[str], delimiter: str, path: Path) -> Iterator[Row | Rejected]:
    reader = csv.reader(lines, delimiter=delimiter, strict=False)
    header: list[str] | None = None
    while True:
        line = reader.line_num + 1
        try:
            cells = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            yield Rejected(line, f"not a row: {error}")
            continue
        if not any(cell.strip() for cell in cells):
            continue
        if header is None:
            header = [cell.strip() for cell in cells]
            if len(set(header)) != len(header):
                raise BadInput(f"{path} names a column twice in its header.", code="bad_header")
            continue
        if len(cells) != len(header):
            yield Rejected(line, f"{len(cells)} cells, but the header has {len(header)}", cells)
        else:
            yield Row(line, dict(zip(header, cells, strict=True)))


def _checked(
    row: Row | Rejected, mapping: Mapping[str, str], required: Sequence[str], path: Path, *, header: bool
) -> Row | Rejected:
    if isinstance(row, Rejected):
        return row
    values = {mapping.get(name, name): value for name, value in row.values.items()}
    if header and (absent := [name for name in required if name not in values]):
        raise BadInput(
            f"{path} has no column {', '.join(absent)}; it has {', '.join(values)}.",
            hint="Map the file's columns to these names.",
            code="column_missing",
        )
    if any(isinstance(value, str) and "\ufffd" in value for value in values.values()):
        return Rejected(row.line, "bytes that are not in the file's encoding", values)
    for name in required:
        value = values.get(name)
        if value is None or (isinstance(value, str) and not value.strip()):
            return Rejected(row.line, f"'{name}' is missing or empty", values)
    return Row(row.line, values)


def _next_batch(
    rows: Iterator[Row | Rejected], convert: Callable[[Mapping[str, Any]], T], size: int
) -> list[tuple[int, T | Rejected]]:
    items: list[tuple[int, T | Rejected]] = []
    for row in itertools.islice(rows, size):
        if isinstance(row, Rejected):
            items.append((row.line, row))
            continue
        try:
            items.append((row.line, convert(row.values)))
        except (ParlanceError, ValueError, msgspec.ValidationError) as error:
            items.append((row.line, Rejected(row.line, str(error), dict(row.values))))
    return items


async def _store(good: Sequence[tuple[int, Any]], store: Callable[[Sequence[Any]], Awaitable[None]]) -> list[Rejected]:
    """Store a batch, or its rows one by one where it is refused; gives those that were refused again."""
    if not good:
        return []
    try:
        await store([value for _, value in good])
    except ParlanceError as error:
        if error.exit_status != 2:
            raise
        if len(good) == 1:
            return [Rejected(good[0][0], str(error))]
        return [refused for one in good for refused in await _store([one], store)]
    return []


class _Rejects:
    """The rejects file: made with the first rejected row; one of an earlier run is replaced."""

    def __init__(self, path: Path, report: ImportReport) -> None:
        self._path = path
        self._report = report
        self._file: IO[bytes] | None = None

    def write(self, rejected: Sequence[Rejected]) -> None:
        for one in rejected:
            try:
                if self._file is None:
                    self._file = self._path.open("wb")
                    self._report.rejects_file = str(self._path)
                values = msgspec.to_builtins(one.values, str_keys=True)
                self._file.write(_line({"line": one.line, "reason": one.reason, "values": values}))
            except OSError as error:
                raise ValidationFailed(
                    f"Rejected rows cannot be written to {self._path} ({error.strerror})."
                ) from error
            self._report.rejected += 1
            if len(self._report.first_rejects) < REASONS_KEPT:
                self._report.first_rejects.append(one)

    def close(self) -> None:
        if self._file is not None:
            self._file.close()


def _line(value: Mapping[str, Any]) -> bytes:
    return msgspec.json.encode(value) + b"\n"
