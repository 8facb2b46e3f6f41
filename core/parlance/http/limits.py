"""Checks of texts and batches that every route with texts makes, with the index in the error."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from parlance.errors import TooLarge, ValidationFailed
from parlance.settings import LimitSettings

__all__ = ["check_batch", "check_storable", "check_text", "check_texts"]


def check_texts(texts: Sequence[str], limits: LimitSettings, *, path: str = "texts") -> None:
    """Refuse a batch that is empty or too long, and a text that is blank or too long.

    Args:
        texts: what the request carries.
        limits: the server's limits.
        path: name of the field, for the error.

    Raises:
        ValidationFailed: no text, or a blank or over-long one (``index``, ``path``).
        TooLarge: more texts than ``limits.batch_texts``.
    """
    check_batch(len(texts), limits, path=path)
    for index, text in enumerate(texts):
        check_text(text, limits, path=f"{path}[{index}]", index=index)


def check_batch(count: int, limits: LimitSettings, *, path: str = "texts") -> None:
    """Refuse an empty batch (422) and one above ``limits.batch_texts`` (413)."""
    if count == 0:
        raise ValidationFailed(
            f"{path}: the list is empty.", code="empty_batch", errors=[{"path": path, "message": "the list is empty"}]
        )
    if count > limits.batch_texts:
        raise TooLarge(
            f"{path}: {count} texts in one request; the limit is {limits.batch_texts}.",
            hint="Split the batch, or raise limits.batch_texts.",
            code="batch_too_large",
            limit=limits.batch_texts,
            count=count,
        )


def check_text(text: str, limits: LimitSettings, *, path: str, index: int | None = None) -> None:
    """Refuse a blank text and one above ``limits.text_chars`` characters."""
    facts: dict[str, Any] = {} if index is None else {"index": index}
    if not text or text.isspace():
        raise ValidationFailed(
            f"{path}: the text is empty.",
            code="empty_text",
            errors=[{"path": path, "message": "the text is empty"}],
            **facts,
        )
    if len(text) > limits.text_chars:
        message = f"the text has {len(text)} characters; the limit is {limits.text_chars}"
        raise ValidationFailed(
            f"{path}: {message}.",
            hint="Shorten it, or raise limits.text_chars.",
            code="text_too_long",
            errors=[{"path": path, "message": message}],
            limit=limits.text_chars,
            **facts,
        )


def check_storable(text: str, *, path: str) -> None:
    """Refuse a text that a database cannot hold: one with a NUL character, or half of a surrogate pair.

    PostgreSQL's text type excludes U+0000; refusing it everywhere keeps both databases alike.
    """
    position = text.find("\0")
    if position >= 0:
        message = f"character {position} is NUL (U+0000), which cannot be stored"
        raise ValidationFailed(
            f"{path}: {message}.",
            hint="Remove it.",
            code="nul_character",
            errors=[{"path": path, "message": message}],
        )
    try:
        text.encode()
    except UnicodeEncodeError as error:
        message = f"character {error.start} is half of a surrogate pair, which is not Unicode text"
        raise ValidationFailed(
            f"{path}: {message}.", code="not_unicode", errors=[{"path": path, "message": message}]
        ) from error
