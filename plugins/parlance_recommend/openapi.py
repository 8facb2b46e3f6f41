"""Request bodies that have several forms, for the OpenAPI description."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import msgspec
from litestar.openapi.spec import OpenAPIMediaType, Operation, RequestBody

from parlance.http.ndjson import MEDIA_TYPE
from parlance_recommend.schemas import InteractionEvent, ItemEvent, ItemIn, RankIn, RankingEvent, UserEvent

__all__ = ["AddItems", "Feedback", "Rank"]

_ITEM = {
    "id": "trail-maps",
    "title": "Paper maps for the high trails",
    "description": "Waterproof maps with huts, springs and escape routes.",
    "categories": ["outdoors", "maps"],
}
_CLICK = {
    "event": "interaction",
    "id": "ev-81",
    "timestamp": "1767225600000",
    "user": "ada",
    "session": "s-7",
    "type": "click",
    "item": "trail-maps",
    "ranking": "rank-1",
    "fields": [],
}
_RANK = {
    "id": "rank-1",
    "timestamp": "1767225600000",
    "user": "ada",
    "session": "s-7",
    "fields": [],
    "items": [
        {"id": "trail-maps"},
        {"id": "new-stove", "fields": [{"name": "title", "value": "A stove for windy ridges"}]},
    ],
}


def _schema(kind: type) -> dict[str, Any]:
    """A schema without references: OpenAPI components of hand-made bodies are not collected by the framework."""
    return _resolved(*msgspec.json.schema_components([kind], ref_template="{name}"))


def _resolved(schemas: Any, components: dict[str, Any]) -> dict[str, Any]:
    def walk(node: Any) -> Any:
        if isinstance(node, dict):
            return (
                walk(components[node["$ref"]]) if "$ref" in node else {key: walk(value) for key, value in node.items()}
            )
        return [walk(value) for value in node] if isinstance(node, list) else node

    return dict(walk(schemas[0]))


def _body(one: Any, example: Any, description: str, *, several: bool = True) -> RequestBody:
    json_body: Any = {"oneOf": [one, {"type": "array", "items": one, "minItems": 1}]} if several else one
    content = {"application/json": OpenAPIMediaType(schema=json_body, example=example)}
    if several:
        line = msgspec.json.encode(example).decode() + "\n"
        lines: Any = {"type": "string", "description": "One a line."}
        content[MEDIA_TYPE] = OpenAPIMediaType(schema=lines, example=line)
    return RequestBody(required=True, description=description, content=content)


@dataclass
class AddItems(Operation):
    """The operation with its body described."""

    def __post_init__(self) -> None:
        self.request_body = _body(_schema(ItemIn), _ITEM, "One item, several, or one per line.")


@dataclass
class Feedback(Operation):
    """The operation with its body described."""

    def __post_init__(self) -> None:
        kinds = [_schema(kind) for kind in (ItemEvent, UserEvent, RankingEvent, InteractionEvent)]
        self.request_body = _body({"oneOf": kinds}, _CLICK, "One event, several, or one per line.")


@dataclass
class Rank(Operation):
    """The operation with its body described."""

    def __post_init__(self) -> None:
        self.request_body = _body(_schema(RankIn), _RANK, "Metarank's ranking request.", several=False)
