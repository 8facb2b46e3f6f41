"""An item: its fields as they came, and the title, description and categories that make up its text."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

import msgspec

__all__ = ["FieldNames", "FieldValue", "Item", "item_of", "merge_fields", "text_hash", "text_of"]

FieldValue = str | bool | float | list[str] | list[float]
"""What a field may hold, as in Metarank: text, truth, number, or a list of texts or numbers."""


class FieldNames(msgspec.Struct, frozen=True, kw_only=True):
    """Which fields hold what."""

    title: tuple[str, ...]
    description: tuple[str, ...]
    categories: tuple[str, ...]


class Item(msgspec.Struct, frozen=True, kw_only=True):
    """One item of the catalogue. ``field_times`` says when each field was set, epoch milliseconds."""

    id: str
    title: str = ""
    description: str = ""
    categories: tuple[str, ...] = ()
    fields: dict[str, Any] = {}
    field_times: dict[str, int] = {}
    hidden: bool = False

    @property
    def text(self) -> str:
        """What the model reads."""
        return text_of(self.title, self.description, self.categories)

    @property
    def hash(self) -> str:
        """Identity of the text; empty for an item without one."""
        return text_hash(self.text)


def text_of(title: str, description: str, categories: tuple[str, ...]) -> str:
    """Title, categories and description, one a line: the important things first, as a model cuts long texts."""
    return "\n".join(part.strip() for part in (title, ", ".join(categories), description) if part.strip())


def text_hash(text: str) -> str:
    """SHA-256 of the text in hexadecimal; empty for the empty text."""
    return hashlib.sha256(text.encode()).hexdigest() if text else ""


def merge_fields(
    fields: Mapping[str, Any], times: Mapping[str, int], new: Mapping[str, Any], at_ms: int
) -> tuple[dict[str, Any], dict[str, int]]:
    """Set fields as of a time: of two values of one field the later one stays, whichever arrives first."""
    merged, moments = dict(fields), dict(times)
    for name, value in new.items():
        if at_ms >= moments.get(name, at_ms):
            merged[name], moments[name] = value, at_ms
    return merged, moments


def item_of(identity: str, fields: Mapping[str, Any], times: Mapping[str, int], names: FieldNames) -> Item:
    """Read an item out of its fields."""
    categories: dict[str, None] = {}
    for name in names.categories:
        value = fields.get(name)
        parts = value if isinstance(value, list) else [value] if isinstance(value, str) else []
        categories.update({str(part).strip(): None for part in parts if str(part).strip()})
    return Item(
        id=identity,
        title=_first(fields, names.title),
        description=_first(fields, names.description),
        categories=tuple(categories),
        fields=dict(fields),
        field_times=dict(times),
        hidden=fields.get("hidden") is True,
    )


def _first(fields: Mapping[str, Any], names: tuple[str, ...]) -> str:
    found = (fields.get(name) for name in names)
    return next((value.strip() for value in found if isinstance(value, str) and value.strip()), "")
