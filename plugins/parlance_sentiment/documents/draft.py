"""A document as it was sent, checked: the one door for HTTP, imports and demonstration data."""

from __future__ import annotations

import hashlib
import unicodedata
from collections.abc import Sequence
from datetime import datetime, timedelta
from functools import cached_property

import msgspec

from parlance.errors import ValidationFailed
from parlance_sentiment.documents.times import parse_time

__all__ = ["Draft", "DraftLimits", "make_draft"]

MAX_NAMES = 50
MAX_NAME_CHARS = 200
MAX_TITLE_CHARS = 2000


class DraftLimits(msgspec.Struct, frozen=True, kw_only=True):
    """What a document may be: ``text_chars`` counts characters of the text; ``latest`` is the last published time
    that is believed."""

    text_chars: int
    latest: datetime


class Draft(msgspec.Struct, frozen=True, kw_only=True, dict=True):
    """A checked document, not yet labelled or stored. ``published_at`` is ``None`` when the caller gave none."""

    id: str
    text: str
    title: str = ""
    published_at: datetime | None = None
    source: str = ""
    companies: tuple[str, ...] = ()
    topics: tuple[str, ...] = ()
    language: str = ""

    @property
    def reading(self) -> str:
        """What the model reads: the title, where there is one, and the text."""
        return f"{self.title}\n{self.text}" if self.title else self.text

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256 over everything but the id and the published time: equal content, equal fingerprint."""
        return _digest([self.title, self.text, self.source, self.language, *_lists(self.companies, self.topics)])


def make_draft(
    *,
    limits: DraftLimits,
    text: str,
    id: str | None = None,  # noqa: A002  # the field's name on the wire
    title: str | None = None,
    published_at: str | datetime | None = None,
    source: str | None = None,
    companies: Sequence[str] = (),
    topics: Sequence[str] = (),
    language: str | None = None,
) -> Draft:
    """Check a document.

    A document without an ``id`` is known by the SHA-256 of its source, title, text and published time as given, so that
    sending it again stores nothing twice.

    Raises:
        ValidationFailed: ``empty_text``, ``text_too_long``, ``bad_text``, ``bad_time``, ``bad_name`` or ``bad_id``;
            the fact ``field`` names the field.
    """
    text = _clean_text(text, "text")
    if len(text) > limits.text_chars:
        raise ValidationFailed(
            f"'text' has {len(text):,} characters; the limit is {limits.text_chars:,}.",
            hint="Send the headline and lead, or split the document.",
            code="text_too_long",
            field="text",
            limit=limits.text_chars,
        )
    title = _clean_text(title, "title") if title and title.strip() else ""
    if len(title) > MAX_TITLE_CHARS:
        raise ValidationFailed("'title' is longer than 2,000 characters.", code="text_too_long", field="title")
    moment = parse_time(published_at, field="published_at") if isinstance(published_at, str) else published_at
    if moment is not None and moment > limits.latest:
        raise ValidationFailed(
            f"'published_at' lies in the future: {moment.isoformat()}; "
            f"the latest that is accepted now is {limits.latest.isoformat(timespec='seconds')}.",
            hint="Check the zone of the feed, or raise sentiment.future_tolerance_s.",
            code="bad_time",
            field="published_at",
        )
    source = _clean_name(source, "source") if source and source.strip() else ""
    draft = Draft(
        id=_clean_id(id) if id is not None else "",
        text=text,
        title=title,
        published_at=moment,
        source=source,
        companies=_clean_names(companies, "companies"),
        topics=_clean_names(topics, "topics"),
        language=_clean_name(language, "language").lower()[:35] if language and language.strip() else "",
    )
    if draft.id:
        return draft
    when = moment.isoformat() if moment else ""
    return msgspec.structs.replace(draft, id="sha256-" + _digest([source, title, text, when])[:40])


def latest_believable(now: datetime, tolerance_s: float) -> datetime:
    """The last published time that is accepted at ``now``."""
    return now + timedelta(seconds=tolerance_s)


def _clean_text(value: str, field: str) -> str:
    """Text without NUL or lone surrogates (no database stores them), and not empty."""
    if "\x00" in value:
        raise ValidationFailed(
            f"'{field}' holds a NUL character; this looks like binary data.", code="bad_text", field=field
        )
    try:
        value.encode("utf-8")
    except UnicodeEncodeError as error:
        raise ValidationFailed(
            f"'{field}' holds half of a surrogate pair at character {error.start}.",
            hint="Decode the text properly before sending it.",
            code="bad_text",
            field=field,
        ) from error
    if not value.strip():
        raise ValidationFailed(f"'{field}' is empty.", code="empty_text", field=field)
    return value.strip()


def _clean_name(value: str, field: str) -> str:
    """A name: one line, NFKC, single blanks, so that 'ＡＣＭＥ ' and 'ACME' are one key."""
    name = " ".join(unicodedata.normalize("NFKC", _clean_text(value, field)).split())
    if len(name) > MAX_NAME_CHARS or not name.isprintable():
        raise ValidationFailed(
            f"A name in '{field}' has {len(name)} characters or unprintable ones; the limit is {MAX_NAME_CHARS}.",
            code="bad_name",
            field=field,
        )
    return name


def _clean_names(values: Sequence[str], field: str) -> tuple[str, ...]:
    if len(values) > MAX_NAMES:
        raise ValidationFailed(
            f"'{field}' has {len(values)} entries; the limit is {MAX_NAMES}.", code="bad_name", field=field
        )
    return tuple(dict.fromkeys(_clean_name(value, field) for value in values))


def _clean_id(value: str) -> str:
    if not value or len(value) > MAX_NAME_CHARS or not value.isprintable() or value != value.strip():
        raise ValidationFailed(
            f"'id' must be 1 to {MAX_NAME_CHARS} printable characters without blanks around them.",
            hint="Leave it out to have the document known by its content.",
            code="bad_id",
            field="id",
        )
    return value


def _lists(*values: tuple[str, ...]) -> list[str]:
    return ["\x1f".join(sorted(value)) for value in values]


def _digest(parts: Sequence[str]) -> str:
    return hashlib.sha256("\x1e".join(parts).encode("utf-8")).hexdigest()
