"""Files → the knowledge base: CSV and JSON lines by columns, folders of Markdown by headings."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from parlance.errors import BadInput, ParlanceError
from parlance.storage.imports import ImportReport, Rejected, detect_encoding, import_rows
from parlance_support.knowledge.base import KnowledgeBase
from parlance_support.knowledge.entry import Draft, Entry
from parlance_support.knowledge.markdown import sections

__all__ = ["COLUMNS", "import_path"]

COLUMNS: Mapping[str, tuple[str, ...]] = {
    "question": ("question", "title", "q", "问题", "标准问题", "问"),
    "answer": ("answer", "reply", "response", "a", "答案", "回答", "答"),
    "variants": ("variants", "alternatives", "similar", "相似问", "相似问题"),
    "language": ("language", "lang", "语言"),
    "id": ("id", "编号"),
    "source": ("source", "url", "来源"),
}
"""Our columns, and the names under which files have them."""
_BATCH = 100
_ROW_SUFFIXES = (".csv", ".tsv", ".tab", ".jsonl", ".ndjson")
_MARKDOWN_SUFFIXES = (".md", ".markdown")
_LARGEST_MARKDOWN = 4_000_000


async def import_path(
    base: KnowledgeBase,
    path: Path,
    *,
    language: str | None = None,
    columns: Mapping[str, str] | None = None,
    encoding: str | None = None,
    rejects: Path | None = None,
    dry_run: bool = False,
    progress: Callable[[int, int], None] | None = None,
) -> list[ImportReport]:
    """Import a file, or all Markdown and row files of a folder.

    Args:
        path: a CSV, TSV, JSONL, NDJSON or Markdown file, or a folder.
        language: of entries that do not say theirs; otherwise it is told by their script.
        columns: the file's name of a column by ours: ``{"question": "Frage"}``. Usual names need no mapping.
        dry_run: check everything, store nothing.
        progress: called with bytes done and bytes altogether, file by file.

    Raises:
        BadInput: the path is not there or holds nothing to import, or a column is missing.
    """
    files = await asyncio.to_thread(_files, path)
    reports = []
    for file in files:
        source = file.name if file == path else file.relative_to(path).as_posix()
        if file.suffix.lower() in _MARKDOWN_SUFFIXES:
            reports.append(await _import_markdown(base, file, source, language, encoding, dry_run=dry_run))
            continue

        def convert(values: Mapping[str, Any], source: str = source) -> Entry:
            return base.check(_draft(values, language, source))

        async def store(entries: Sequence[Entry]) -> None:
            if not dry_run:
                await base.write(entries)

        mapping = await asyncio.to_thread(_mapping, file, columns or {}, encoding)
        reports.append(
            await import_rows(
                file,
                convert=convert,
                store=store,
                mapping=mapping,
                required=("question", "answer"),
                encoding=encoding,
                rejects=rejects,
                batch=_BATCH,
                progress=progress,
            )
        )
    return reports


def _files(path: Path) -> list[Path]:
    if path.is_file():
        if path.suffix.lower() not in (*_ROW_SUFFIXES, *_MARKDOWN_SUFFIXES):
            raise BadInput(
                f"{path} has the ending '{path.suffix}', which cannot be imported.",
                hint=f"Known are {', '.join((*_ROW_SUFFIXES, *_MARKDOWN_SUFFIXES))}, or a folder of these.",
                code="format_unknown",
            )
        return [path]
    if not path.is_dir():
        raise BadInput(f"{path} does not exist.", code="file_unreadable")
    found = [
        file
        for file in sorted(path.rglob("*"))
        if file.is_file()
        and file.suffix.lower() in (*_ROW_SUFFIXES, *_MARKDOWN_SUFFIXES)
        and not file.name.endswith(".rejects.jsonl")
        and not any(part.startswith(".") for part in file.relative_to(path).parts)
    ]
    if not found:
        raise BadInput(f"{path} holds no CSV, JSON lines or Markdown file.", code="nothing_to_import")
    return found


def _mapping(file: Path, columns: Mapping[str, str], encoding: str | None) -> dict[str, str]:
    """Our names of the file's columns: what the caller said, then the usual names, for columns still unnamed."""
    unknown = [name for name in columns if name not in COLUMNS]
    if unknown:
        raise BadInput(f"'{unknown[0]}' is not a column of ours.", hint=f"Ours are {', '.join(COLUMNS)}.")
    mapping = {theirs: ours for ours, theirs in columns.items()}
    try:
        with file.open(encoding=encoding or detect_encoding(file), errors="replace", newline="") as opened:
            first = opened.readline(100_000).lstrip("\ufeff")
    except LookupError as error:
        raise BadInput(f"There is no encoding named '{encoding}'.", code="encoding_unknown") from error
    for ours, names in COLUMNS.items():
        if ours in columns:
            continue
        for name in names:
            for spelled in {name, name.capitalize(), name.upper()}:
                if spelled in first and spelled not in mapping:
                    mapping[spelled] = ours
    return mapping


def _draft(values: Mapping[str, Any], language: str | None, source: str) -> Draft:
    name = values.get("id")
    return Draft(
        question=_text(values, "question"),
        answer=_text(values, "answer"),
        variants=_variants(values.get("variants")),
        language=_text(values, "language") or language,
        source=_text(values, "source") or source,
        id=str(name).strip() if name not in (None, "") else None,
    )


def _text(values: Mapping[str, Any], name: str) -> str:
    value = values.get(name)
    if value is None:
        return ""
    if not isinstance(value, str):
        raise BadInput(f"'{name}' is not a text but {type(value).__name__}.")
    return value.strip()


def _variants(value: Any) -> tuple[str, ...]:
    """A JSON list, or a cell with one way to ask per line or between ``|``."""
    if value is None:
        return ()
    if isinstance(value, str):
        return tuple(part for line in value.splitlines() for part in line.split("|") if part.strip())
    if isinstance(value, list) and all(isinstance(part, str) for part in value):
        return tuple(value)
    raise BadInput("'variants' is neither a text nor a list of texts.")


async def _import_markdown(
    base: KnowledgeBase, file: Path, source: str, language: str | None, encoding: str | None, *, dry_run: bool
) -> ImportReport:
    chosen, text = await asyncio.to_thread(_read, file, encoding)
    report = ImportReport(str(file), "markdown", chosen)  # type: ignore[arg-type]  # a format that the core does not read
    entries: list[Entry] = []
    for section in sections(text):
        report.read += 1
        draft = Draft(section.heading, section.body, language=language, source=f"{source}#L{section.line}")
        try:
            entries.append(base.check(draft))
        except ParlanceError as error:
            report.rejected += 1
            report.first_rejects.append(Rejected(section.line, str(error), section.heading))
    if not dry_run:
        await base.write(entries)
    report.stored = len(entries)
    return report


def _read(file: Path, encoding: str | None) -> tuple[str, str]:
    if file.stat().st_size > _LARGEST_MARKDOWN:
        raise BadInput(f"{file} has more than {_LARGEST_MARKDOWN} bytes.", hint="Split it.", code="file_too_large")
    chosen = encoding or detect_encoding(file)
    try:
        return chosen, file.read_text(encoding=chosen)
    except (UnicodeDecodeError, LookupError) as error:
        raise BadInput(f"{file} is not {chosen}: {error}.", code="encoding_unknown") from error
