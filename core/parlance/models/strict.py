"""TOML files into typed structures, strictly: a wrong key is one precise error with the nearest known name."""

from __future__ import annotations

import difflib
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TypeVar, get_args

import msgspec

from parlance.errors import ConfigError

__all__ = ["nearest", "read_toml"]

T = TypeVar("T", bound=msgspec.Struct)


def nearest(name: str, known: list[str] | tuple[str, ...]) -> str:
    """``Did you mean 'x'?`` when a known name is close to ``name``, else the list of known names."""
    close = difflib.get_close_matches(name, known, n=1, cutoff=0.6)
    if close:
        return f"Did you mean '{close[0]}'?"
    return f"Known: {', '.join(sorted(known))}." if known else "None is known."


def read_toml(path: Path, kind: type[T]) -> T:
    """Reads ``path`` as ``kind``.

    Raises:
        ConfigError: the file is absent, is no UTF-8 TOML, or a key is missing, unknown or of a wrong type; the message
            names the file and the key.
    """
    try:
        document = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise ConfigError(f"{path} does not exist.", file=str(path)) from error
    except OSError as error:
        raise ConfigError(f"{path} cannot be read: {error.strerror}.", file=str(path)) from error
    except (UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise ConfigError(f"{path} is not valid TOML: {error}.", file=str(path)) from error
    for where, key, known in _unknown_keys(document, kind):
        dotted = f"{where}.{key}" if where else key
        raise ConfigError(f"{path}: unknown key '{dotted}'.", hint=nearest(key, known), file=str(path), key=dotted)
    try:
        return msgspec.convert(document, kind)
    except msgspec.ValidationError as error:
        raise ConfigError(f"{path}: {_readable(str(error))}", file=str(path)) from error


def _readable(message: str) -> str:
    """msgspec's ``… - at `$.source.uri` `` as ``key 'source.uri': …``."""
    text, _, at = message.partition(" - at `$")
    key = at.strip("`.") if at else ""
    return f"key '{key}': {text}." if key else f"{text}."


def _unknown_keys(value: Any, kind: Any, where: str = "") -> Iterator[tuple[str, str, list[str]]]:
    """Unknown keys of ``value`` with their path and the known names, outermost first."""
    if isinstance(kind, type) and issubclass(kind, msgspec.Struct):
        if not isinstance(value, dict):
            return
        fields = {field.encode_name: field.type for field in msgspec.structs.fields(kind)}
        for key in value:
            if key not in fields:
                yield where, key, list(fields)
        for key, inner in value.items():
            if key in fields:
                yield from _unknown_keys(inner, fields[key], f"{where}.{key}" if where else key)
        return
    for option in get_args(kind):
        if isinstance(value, list | tuple):
            for index, item in enumerate(value):
                yield from _unknown_keys(item, option, f"{where}[{index}]")
        elif isinstance(option, type) and issubclass(option, msgspec.Struct) and isinstance(value, dict):
            origin_is_mapping = getattr(kind, "__origin__", None) is dict
            items = value.items() if origin_is_mapping else [("", value)]
            for key, item in items:
                yield from _unknown_keys(item, option, f"{where}.{key}" if key else where)
