"""Newline-delimited JSON bodies: one value per line, good lines kept, bad lines reported by number.

Media types: ``application/x-ndjson`` (also ``application/jsonl`` and ``application/jsonlines``).
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import msgspec

from parlance.errors import ParlanceError
from parlance.http.decoding import decode_json

__all__ = ["MEDIA_TYPE", "BadLine", "GoodLine", "decode_lines", "encode_lines", "is_ndjson"]

MEDIA_TYPE = "application/x-ndjson"
_MEDIA_TYPES = {MEDIA_TYPE, "application/ndjson", "application/jsonl", "application/jsonlines"}

_BYTE_ORDER_MARK = b"\xef\xbb\xbf"

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class GoodLine(Generic[T]):
    """A line that decodes; ``line`` counts from 1."""

    line: int
    value: T


class BadLine(msgspec.Struct, frozen=True, kw_only=True):
    """A line that does not; the others are unaffected."""

    line: int
    code: str
    message: str


def is_ndjson(content_type: str) -> bool:
    """Whether a Content-Type header says newline-delimited JSON."""
    return content_type.partition(";")[0].strip().lower() in _MEDIA_TYPES


def decode_lines(body: bytes, kind: type[T]) -> Iterator[GoodLine[T] | BadLine]:
    """Decode every line of ``body`` into ``kind``, in order; empty lines are skipped but counted.

    CPU-bound: call it in a thread for bodies above some hundred kilobytes.
    """
    decoder = msgspec.json.Decoder(kind)
    for number, line in enumerate(body.split(b"\n"), start=1):
        content = (line.removeprefix(_BYTE_ORDER_MARK) if number == 1 else line).strip()
        if not content:
            continue
        try:
            yield GoodLine(number, decode_json(content, decoder))
        except ParlanceError as error:
            yield BadLine(line=number, code=error.code, message=str(error))


async def encode_lines(values: AsyncIterator[Any] | Iterable[Any]) -> AsyncIterator[bytes]:
    """Encode values as lines, for a streaming response."""
    encoder = msgspec.json.Encoder()
    if isinstance(values, AsyncIterator):
        async for value in values:
            yield encoder.encode(value) + b"\n"
    else:
        for value in values:
            yield encoder.encode(value) + b"\n"
