"""Reads what a settings type says about itself: keys, types, defaults, and the docstrings under the fields."""

from __future__ import annotations

import ast
import inspect
import json
import textwrap
from dataclasses import dataclass
from typing import Annotated, Any, get_args, get_origin, get_type_hints

import msgspec

__all__ = ["SettingReference", "settings_reference"]


@dataclass(frozen=True, slots=True)
class SettingReference:
    """One key of a section.

    ``kind`` is the type in words (``integer, at least 1``), ``default`` is written as TOML writes it.
    """

    key: str
    kind: str
    default: str
    description: str


def settings_reference(settings: type[msgspec.Struct]) -> list[SettingReference]:
    """The keys of a settings type, in the order in which it declares them."""
    hints = get_type_hints(settings, include_extras=True)
    descriptions = _descriptions(settings)
    return [
        SettingReference(
            key=field.name,
            kind=_kind(hints[field.name]),
            default=_default(field),
            description=descriptions.get(field.name, ""),
        )
        for field in msgspec.structs.fields(settings)
    ]


def _descriptions(settings: type) -> dict[str, str]:
    """The string after a field is its docstring; Python keeps it in the source only."""
    found: dict[str, str] = {}
    for base in reversed(settings.__mro__):
        if base.__module__.startswith("msgspec") or base is object:
            continue
        body = ast.parse(textwrap.dedent(inspect.getsource(base))).body[0]
        if not isinstance(body, ast.ClassDef):
            continue
        for field, after in zip(body.body, body.body[1:], strict=False):
            if isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name) and _is_text(after):
                found[field.target.id] = " ".join(inspect.cleandoc(after.value.value).split())  # type: ignore[attr-defined]  # _is_text looked
    return found


def _is_text(node: ast.stmt) -> bool:
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)


_WORDS = {int: "integer", float: "number", str: "text", bool: "true or false", dict: "table", type(None): "none"}
_BOUNDS = {"ge": "at least", "gt": "above", "le": "at most", "lt": "below"}
_LENGTHS = {"min_length": "at least", "max_length": "at most"}


def _kind(hint: Any) -> str:
    origin, arguments = get_origin(hint), get_args(hint)
    if origin is Annotated:
        return ", ".join([_kind(arguments[0]), *_limits(arguments[1:])])
    if str(origin) == "typing.Literal":
        return " or ".join(f"`{value}`" for value in arguments)
    if origin in (tuple, list):
        return f"list of {_plural(_kind(arguments[0]))}"
    if origin is dict:
        return "table"
    if arguments:
        return " or ".join(_kind(argument) for argument in arguments)
    return _WORDS.get(hint, "table")


def _plural(word: str) -> str:
    return {"text": "texts", "integer": "integers", "number": "numbers", "table": "tables"}.get(word, word)


def _limits(metas: tuple[Any, ...]) -> list[str]:
    said = []
    for meta in metas:
        said += [
            f"{word} {value:g}" for name, word in _BOUNDS.items() if (value := getattr(meta, name, None)) is not None
        ]
        said += [
            f"{word} {value} long"
            for name, word in _LENGTHS.items()
            if (value := getattr(meta, name, None)) is not None
        ]
    return said


def _default(field: msgspec.structs.FieldInfo) -> str:
    value = field.default_factory() if field.default_factory is not msgspec.NODEFAULT else field.default
    if value is msgspec.NODEFAULT:
        return ""
    return _toml(msgspec.to_builtins(value))


def _toml(value: Any) -> str:
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{key} = {_toml(entry)}" for key, entry in value.items() if entry is not None) + " }"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(_toml(entry) for entry in value) + "]"
    if isinstance(value, int) and not isinstance(value, bool) and abs(value) >= 10_000:
        return f"{value:_}"
    return "" if value is None else json.dumps(value, ensure_ascii=False)
