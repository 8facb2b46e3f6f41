"""The OpenAPI 3.1 description: made by Litestar, completed with what holds for every route.

Added here: ``additionalProperties: false`` where unknown fields are refused, problem documents for all errors, the API
key schemes, and the scope that each route needs.
"""

from __future__ import annotations

from typing import Any

import msgspec
from litestar import Litestar
from litestar._openapi.schema_generation.plugins.struct import StructSchemaPlugin
from litestar.openapi.spec import Schema
from litestar.routes import HTTPRoute
from litestar.typing import FieldDefinition

from parlance.http.problems import MEDIA_TYPE

__all__ = ["StrictStructs", "describe"]

_COMMON = {
    "400": "The request cannot be read: not JSON, not UTF-8.",
    "401": "The API key is missing, unknown, revoked or expired.",
    "403": "The API key lacks the scope.",
    "404": "There is nothing of that name.",
    "413": "The body or the batch is too large.",
    "415": "The Content-Type is not one that this route takes.",
    "422": "A value is not allowed; `errors` names each.",
    "429": "Too many requests, or the wait would be too long; see Retry-After.",
    "499": "The caller closed the connection.",
    "500": "Something failed that should not have.",
    "503": "A part that is needed is not there at the moment.",
    "504": "The deadline passed before the result was there.",
}


class StrictStructs(StructSchemaPlugin):
    """Says ``additionalProperties: false`` for structures that refuse unknown fields."""

    def to_openapi_schema(self, field_definition: FieldDefinition, schema_creator: Any) -> Schema:
        """The schema of a msgspec structure."""
        schema = super().to_openapi_schema(field_definition, schema_creator)
        kind = field_definition.type_
        if isinstance(kind, type) and issubclass(kind, msgspec.Struct) and kind.__struct_config__.forbid_unknown_fields:
            schema.additional_properties = False
        return schema


def describe(app: Litestar) -> bytes:
    """The completed description, as JSON. Takes a while for a large application: call it once."""
    document: dict[str, Any] = app.openapi_schema.to_schema()
    _mend_tuples(document)
    _add_problem_schema(document)
    scopes = _scopes(app)
    for path, item in document.get("paths", {}).items():
        for method, operation in item.items():
            if isinstance(operation, dict) and "responses" in operation:
                _complete(operation, scopes.get((path, method.upper())))
    document.setdefault("components", {})["securitySchemes"] = {
        "bearer": {"type": "http", "scheme": "bearer", "description": "An API key: `Authorization: Bearer plk_…`."},
        "apiKey": {"type": "apiKey", "in": "header", "name": "X-API-Key", "description": "The same key."},
    }
    return msgspec.json.encode(document, enc_hook=str)


def _mend_tuples(part: Any) -> None:
    """Say ``T`` for the items of ``tuple[T, ...]``: Litestar takes the dots for a type that may be anything."""
    if isinstance(part, list):
        for inner in part:
            _mend_tuples(inner)
    elif isinstance(part, dict):
        items = part.get("items")
        if isinstance(items, dict) and {} in items.get("oneOf", ()):
            kinds = [kind for kind in items["oneOf"] if kind != {}]
            part["items"] = kinds[0] if len(kinds) == 1 else {"oneOf": kinds}
        for inner in part.values():
            _mend_tuples(inner)


def _add_problem_schema(document: dict[str, Any]) -> None:
    text = {"type": "string"}
    error = {"type": "object", "required": ["path", "message"], "properties": {"path": text, "message": text}}
    members = ("type", "title", "detail", "code", "request_id", "hint")
    properties: dict[str, Any] = dict.fromkeys(members, text)
    properties |= {"status": {"type": "integer"}, "errors": {"type": "array", "items": error}}
    document.setdefault("components", {}).setdefault("schemas", {})["ProblemDetails"] = {
        "type": "object",
        "description": "Why a request failed (RFC 9457). Further members carry the facts of the error.",
        "required": ["type", "title", "status", "detail", "code", "request_id"],
        "properties": properties,
    }


def _scopes(app: Litestar) -> dict[tuple[str, str], str]:
    scopes = {}
    for route in app.routes:
        if isinstance(route, HTTPRoute):
            for method, (handler, _) in route.route_handler_map.items():
                for guard in handler.resolve_guards():
                    scope = getattr(guard, "parlance_scope", None) or getattr(
                        getattr(guard, "func", None), "parlance_scope", None
                    )
                    if scope is not None:
                        scopes[(route.path_format or "/", str(method))] = scope
    return scopes


def _complete(operation: dict[str, Any], scope: str | None) -> None:
    described: dict[str, Any] = operation["responses"]
    takes_input = bool(operation.get("requestBody") or operation.get("parameters"))
    wanted = {"500", "503", "429"}
    if takes_input:
        wanted |= {"400", "422"}
    if operation.get("requestBody"):
        wanted |= {"413", "415", "499", "504"}
    if any(parameter.get("in") == "path" for parameter in operation.get("parameters", ())):
        wanted.add("404")
    if scope is not None:
        wanted |= {"401", "403"}
        operation["security"] = [{"bearer": []}, {"apiKey": []}, {}]
        operation["description"] = f"{operation.get('description', '')}\n\nScope: `{scope}`.".strip()
    content = {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/ProblemDetails"}}}
    for status in wanted - described.keys():
        described[status] = {"description": _COMMON[status]}
    for status, response in described.items():
        if not status.startswith(("4", "5")):
            continue
        kinds = response.get("content", {})
        if status in _COMMON and kinds.keys() <= {"application/json", MEDIA_TYPE} and not _own(kinds):
            if MEDIA_TYPE not in kinds:
                response["description"] = _COMMON[status]
            response["content"] = content
    operation["responses"] = dict(sorted(described.items()))


def _own(kinds: dict[str, Any]) -> bool:
    """Whether a handler described its own JSON body for an error status (readiness does)."""
    schema = kinds.get("application/json", {}).get("schema", {})
    return "$ref" in schema
