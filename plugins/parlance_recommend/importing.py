"""Files of items and events: columns to fields, in our own, Metarank's and Gorse's names."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import msgspec

from parlance.errors import ValidationFailed
from parlance.storage.imports import ImportReport, import_rows
from parlance_recommend.behaviour.event import Event, derived_id, moment_ms
from parlance_recommend.schemas import EventIn, event_of
from parlance_recommend.service import Recommender

__all__ = ["EVENT_COLUMNS", "ITEM_COLUMNS", "event_from_row", "import_events", "import_items", "item_from_row"]

ITEM_COLUMNS = ("id", "title", "description", "categories", "hidden")
EVENT_COLUMNS = ("id", "user", "session", "item", "type", "timestamp", "value", "ranking")
_GORSE_EVENT = {
    "FeedbackType": "type",
    "UserId": "user",
    "ItemId": "item",
    "Value": "value",
    "Timestamp": "timestamp",
}
_GORSE_ITEM = {
    "ItemId": "id",
    "IsHidden": "hidden",
    "Categories": "categories",
    "Labels": "labels",
    "Comment": "description",
    "Timestamp": "timestamp",
}
_ALSO = {"user_id": "user", "item_id": "item", "session_id": "session", "ts": "timestamp", "event_type": "type"}
_TRUE = {"1", "true", "yes"}
Progress = Callable[[int, int], None]


async def import_items(
    service: Recommender,
    path: Path,
    *,
    mapping: Mapping[str, str] | None = None,
    rejects: Path | None = None,
    progress: Progress | None = None,
) -> ImportReport:
    """Import a catalogue; texts that changed are encoded afterwards, see :meth:`Recommender.encode_waiting`.

    Args:
        service: to import into.
        path: CSV, TSV or JSON lines, in our columns or Gorse's.
        mapping: our column by the file's.
        rejects: where bad rows go.
        progress: called with bytes read and the file's size.

    Raises:
        BadInput: the file cannot be read.
    """

    async def store(batch: Sequence[tuple[str, dict[str, Any]]]) -> None:
        await service.put_items(batch, encode=False)

    return await import_rows(
        path,
        convert=item_from_row,
        store=store,
        mapping={**_GORSE_ITEM, "item_id": "id", **(mapping or {})},
        required=("id",),
        rejects=rejects,
        progress=progress,
    )


async def import_events(
    service: Recommender,
    path: Path,
    *,
    mapping: Mapping[str, str] | None = None,
    unit: Literal["ms", "s"] = "ms",
    kind: str = "click",
    rejects: Path | None = None,
    progress: Progress | None = None,
) -> tuple[ImportReport, set[str]]:
    """Import events: Metarank's JSON lines, or rows with ours or Gorse's columns.

    Args:
        service: to import into.
        path: CSV, TSV or JSON lines.
        mapping: our column by the file's.
        unit: of numeric timestamps; Metarank's are always milliseconds.
        kind: type of a row that names none; a row with a value and no type is a ``rating``.
        rejects: where bad rows go.
        progress: called with bytes read and the file's size.

    Returns:
        The report, and the ids of items that are not in the catalogue; their events are kept.

    Raises:
        BadInput: the file cannot be read.
    """
    unknown: set[str] = set()

    async def store(batch: Sequence[Event]) -> None:
        unknown.update((await service.record(batch, encode=False)).unknown_items)

    def convert(row: Mapping[str, Any]) -> Event:
        return event_from_row(row, unit=unit, kind=kind, rating_field=service.settings.rating_field)

    names = {**_GORSE_EVENT, **_ALSO, "rating": "value", **(mapping or {})}
    is_table = path.suffix.lower() in {".csv", ".tsv", ".tab"}
    report = await import_rows(
        path,
        convert=convert,
        store=store,
        mapping=names,
        required=("item", "timestamp") if is_table else (),
        rejects=rejects,
        progress=progress,
        batch=2000,
    )
    return report, unknown


def item_from_row(row: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
    """An item's id and fields; categories in one text are separated by ``|`` or ``;``."""
    fields = {name: value for name, value in row.items() if name not in ("id", "timestamp") and value not in ("", None)}
    for name in ("categories", "genres", "tags", "keywords", "labels"):
        if isinstance(value := fields.get(name), str):
            fields[name] = [part.strip() for part in value.replace("|", ";").split(";") if part.strip()]
    if "hidden" in fields:
        fields["hidden"] = fields["hidden"] is True or str(fields["hidden"]).strip().lower() in _TRUE
    return _short(row["id"], "id"), fields


def event_from_row(row: Mapping[str, Any], *, unit: Literal["ms", "s"], kind: str, rating_field: str) -> Event:
    """One event of a file.

    Raises:
        ValidationFailed: a column is missing, too long, or no moment, or no number.
    """
    if "event" in row:
        return event_of(msgspec.convert(dict(row), EventIn), rating_field=rating_field)
    item = _short(row.get("item"), "item")
    at_ms = moment_ms(row.get("timestamp"), unit=unit)
    user, session = _optional(row, "user"), _optional(row, "session")
    value = _number(row.get("value"))
    named = _optional(row, "type") or ("rating" if value is not None else kind)
    identity = _optional(row, "id") or derived_id(named, user, session, item, at_ms)
    return Event(
        id=identity,
        kind="interaction",
        at_ms=at_ms,
        user=user,
        session=session,
        item=item,
        ranking=_optional(row, "ranking"),
        type=named,
        value=value,
    )


def _optional(row: Mapping[str, Any], name: str) -> str | None:
    value = row.get(name)
    return None if value is None or str(value).strip() == "" else _short(value, name)


def _short(value: object, name: str) -> str:
    text = "" if value is None else str(value).strip()
    if not 1 <= len(text) <= 300:  # the width of the columns
        raise ValidationFailed(f"'{name}' must have 1 to 300 characters; it has {len(text)}.", code="bad_id")
    return text


def _number(value: object) -> float | None:
    if value is None or value == "":
        return None
    try:
        return float(str(value))
    except ValueError as error:
        raise ValidationFailed(f"'value' cannot be {str(value)[:40]!r}; it is a number.", code="bad_number") from error
