"""A settings type tells its keys, types, defaults and descriptions."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from parlance.plugins.reference import SettingReference, settings_reference


class Base(msgspec.Struct, frozen=True, kw_only=True):
    shared: bool = True
    """Inherited, with its description."""


class Everything(Base, frozen=True, kw_only=True):
    """One of each kind."""

    count: Annotated[int, Meta(ge=1, le=9)] = 3
    """A number
    over two lines."""
    share: Annotated[float, Meta(gt=0, lt=1)] = 0.5
    name: Annotated[str, Meta(min_length=1, max_length=5)] = "股息"
    kind: Literal["a", "b"] = "a"
    names: tuple[str, ...] = ("x", "y")
    weights: dict[str, float] = msgspec.field(default_factory=lambda: {"view": 1.0})
    maybe: int | None = None
    needed: str
    many: list[int] = msgspec.field(default_factory=lambda: [20_000])


def test_every_kind_of_field_is_put_into_words() -> None:
    rows = {row.key: row for row in settings_reference(Everything)}
    assert rows["shared"] == SettingReference("shared", "true or false", "true", "Inherited, with its description.")
    assert rows["count"] == SettingReference("count", "integer, at least 1, at most 9", "3", "A number over two lines.")
    assert rows["share"] == SettingReference("share", "number, above 0, below 1", "0.5", "")
    assert rows["name"].kind == "text, at least 1 long, at most 5 long"
    assert rows["name"].default == '"股息"'
    assert rows["kind"].kind == "`a` or `b`"
    assert (rows["names"].kind, rows["names"].default) == ("list of texts", '["x", "y"]')
    assert (rows["weights"].kind, rows["weights"].default) == ("table", "{ view = 1.0 }")
    assert (rows["maybe"].kind, rows["maybe"].default) == ("integer or none", "")
    assert rows["needed"].default == ""
    assert rows["many"].default == "[20_000]"
