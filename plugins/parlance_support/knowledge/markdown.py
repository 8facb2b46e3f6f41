"""Markdown → entries: a heading is a question, what stands under it the answer."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

__all__ = ["Section", "sections"]

_HEADING = re.compile(r"^(#{1,6})\s+(.*?)\s*#*\s*$")
_FENCE = re.compile(r"^\s*(```+|~~~+)")


@dataclass(frozen=True, slots=True)
class Section:
    """A heading with its text; ``line`` counts from 1."""

    line: int
    heading: str
    body: str


def sections(text: str) -> Iterator[Section]:
    """The headings of a document with the text up to the next heading of any level.

    A heading without text of its own (a title above subheadings) is left out; so is text before the first heading.
    Lines inside fenced code are never headings.
    """
    heading, line, body, fence = "", 0, list[str](), ""
    for number, row in enumerate(text.splitlines(), 1):
        if (mark := _FENCE.match(row)) and (not fence or mark[1].startswith(fence)):
            fence = "" if fence else mark[1]
        found = None if fence else _HEADING.match(row)
        if found is None:
            body.append(row)
            continue
        if heading and (content := "\n".join(body).strip()):
            yield Section(line, heading, content)
        heading, line, body = found[2], number, []
    if heading and (content := "\n".join(body).strip()):
        yield Section(line, heading, content)
