"""The request body of ``POST /sentiment/documents``, which has several forms, for the OpenAPI description."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import msgspec
from litestar.openapi.spec import OpenAPIMediaType, Operation, RequestBody

from parlance.http.ndjson import MEDIA_TYPE
from parlance_sentiment.schemas import DocumentIn

__all__ = ["AddDocuments"]

_EXAMPLE = {
    "id": "wire-20260302-0917",
    "text": "Borealis Motors recalls 40,000 cars after brake failures",
    "published_at": "2026-03-02T09:17:00+08:00",
    "source": "Harbour Wire",
    "companies": ["Borealis Motors"],
    "topics": ["recalls"],
}
_LINES = (
    '{"text": "Lumen Harbor Bank posts record profit", "companies": ["Lumen Harbor Bank"]}\n'
    '{"text": "青禾食品上调全年盈利预期", "companies": ["青禾食品"], "language": "zh"}\n'
)


def _document_schema() -> dict[str, Any]:
    _, components = msgspec.json.schema_components([DocumentIn], ref_template="#/{name}")
    return dict(components["DocumentIn"])


@dataclass
class AddDocuments(Operation):
    """The operation with its body described."""

    def __post_init__(self) -> None:
        document = _document_schema()
        many = {"type": "array", "items": document, "minItems": 1}
        batch = {
            "type": "object",
            "properties": {"documents": many},
            "required": ["documents"],
            "additionalProperties": False,
        }
        json_body: Any = {"oneOf": [document, many, batch]}
        lines: Any = {"type": "string", "description": "One document per line."}
        self.request_body = RequestBody(
            required=True,
            description="One document, several, or one per line.",
            content={
                "application/json": OpenAPIMediaType(schema=json_body, example=_EXAMPLE),
                MEDIA_TYPE: OpenAPIMediaType(schema=lines, example=_LINES),
            },
        )
