"""An entry of the knowledge base, and the texts by which it is found."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from parlance.errors import ValidationFailed
from parlance.search.analysis import detect_language, normalise
from parlance.search.hybrid import Document

__all__ = ["LANGUAGES", "Draft", "Entry", "checked", "documents_of", "entry_of"]

LANGUAGES = ("en", "zh")
_LONGEST_ID = 64
_LONGEST_QUESTION = 1_000
_LONGEST_ANSWER = 20_000
_MOST_VARIANTS = 100


@dataclass(frozen=True, slots=True)
class Draft:
    """An entry as it is given: ``id`` and ``language`` may be left open."""

    question: str
    answer: str
    variants: tuple[str, ...] = ()
    language: str | None = None
    source: str = ""
    id: str | None = None


@dataclass(frozen=True, slots=True)
class Entry:
    """A question, further ways to ask it, and the answer to it."""

    id: str
    question: str
    answer: str
    language: str
    variants: tuple[str, ...] = ()
    source: str = ""
    created_at: datetime | None = field(default=None, compare=False)
    updated_at: datetime | None = field(default=None, compare=False)


def checked(draft: Draft, *, default_language: str) -> Entry:
    """Complete a draft: the language by its script, the id from language and question, so that the same question
    given again replaces its entry.

    Raises:
        ValidationFailed: a text is blank or too long, the language is not ``en`` or ``zh``.
    """
    question, answer = draft.question.strip(), draft.answer.strip()
    _limited("question", question, _LONGEST_QUESTION)
    _limited("answer", answer, _LONGEST_ANSWER)
    variants = tuple(dict.fromkeys(text for given in draft.variants if (text := given.strip()) and text != question))
    if len(variants) > _MOST_VARIANTS:
        raise ValidationFailed(f"{len(variants)} variants of a question; at most {_MOST_VARIANTS} are allowed.")
    for variant in variants:
        _limited("variant", variant, _LONGEST_QUESTION)
    language = draft.language or detect_language(question) or default_language
    if language not in LANGUAGES:
        raise ValidationFailed(
            f"The language '{language}' is not known.",
            hint="Use 'en' or 'zh', or leave it out.",
            code="unknown_language",
        )
    name = draft.id if draft.id is not None else _derived(language, question)
    if not name or len(name) > _LONGEST_ID or ":" in name:
        raise ValidationFailed(f"The id '{name[:80]}' cannot be used: 1 to {_LONGEST_ID} characters without a colon.")
    return Entry(name, question, answer, language, variants, draft.source.strip())


def documents_of(entry: Entry) -> list[Document]:
    """What the search indexes: each way to ask the question, and the answer."""
    questions = [entry.question, *entry.variants]
    found = [_document(entry, f"q{number}", text, "question") for number, text in enumerate(questions)]
    return [*found, _document(entry, "a", entry.answer, "answer")]


def entry_of(document_id: str) -> str:
    """The id of the entry that a document of the search belongs to."""
    return document_id.partition(":")[0]


def _document(entry: Entry, suffix: str, text: str, kind: str) -> Document:
    filters: Mapping[str, str] = {"language": entry.language, "kind": kind}
    return Document(f"{entry.id}:{suffix}", text, filters)


def _derived(language: str, question: str) -> str:
    return "e" + hashlib.sha256(f"{language}\n{normalise(question)}".encode()).hexdigest()[:20]


def _limited(name: str, text: str, longest: int) -> None:
    if not text:
        raise ValidationFailed(f"The {name} is empty.", hint=f"Give every entry a {name}.", code="empty_text")
    if len(text) > longest:
        raise ValidationFailed(f"The {name} has {len(text)} characters; at most {longest} are allowed.")
