"""Keys: what trends and rules count by. ``company:…``, ``source:…``, ``topic:…``, and ``all`` for everything."""

from __future__ import annotations

from collections.abc import Iterable

from parlance.errors import ValidationFailed

__all__ = ["ALL", "KINDS", "check_key", "keys_of"]

ALL = "all"
KINDS = ("company", "source", "topic")


def keys_of(*, companies: Iterable[str], source: str, topics: Iterable[str]) -> tuple[str, ...]:
    """The keys that a document counts for, each once, sorted."""
    keys = {ALL, *(f"company:{name}" for name in companies), *(f"topic:{name}" for name in topics)}
    if source:
        keys.add(f"source:{source}")
    return tuple(sorted(keys))


def check_key(key: str) -> str:
    """Check a key that a caller asks for.

    Raises:
        ValidationFailed: code ``bad_key``; the key is of no known kind or has no name.
    """
    kind, colon, name = key.partition(":")
    if key == ALL or (colon and kind in KINDS and name.strip()):
        return key
    raise ValidationFailed(
        f"{key[:80]!r} is no key of a trend.",
        hint="Use all, company:NAME, source:NAME or topic:NAME.",
        code="bad_key",
        field="key",
    )
