"""Every error as an RFC 9457 problem document, and its description for OpenAPI.

The body has the standard members ``type``, ``title``, ``status`` and ``detail``; ours are ``code`` (stable, for
programs), ``hint`` (what to do), ``request_id`` and, for validation, ``errors``. Facts of the error (``limit``,
``index``, ``retry_after_s`` …) follow as further members.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Annotated, Any, cast

import msgspec
from litestar import Request, Response
from litestar.exceptions import HTTPException, ValidationException
from litestar.openapi.datastructures import ResponseSpec
from litestar.types import ExceptionHandlersMap
from msgspec import Meta

from parlance.errors import (
    BadInput,
    ClientGone,
    NotFound,
    Overloaded,
    ParlanceError,
    TooLarge,
    ValidationFailed,
)
from parlance.observe.logging import get_logger

__all__ = [
    "ERROR_KEY",
    "MEDIA_TYPE",
    "REQUEST_ID_KEY",
    "FieldError",
    "MethodNotAllowed",
    "Problem",
    "UnsupportedMediaType",
    "exception_handlers",
    "problem_body",
    "problem_headers",
    "responses",
]

MEDIA_TYPE = "application/problem+json"
REQUEST_ID_KEY = "parlance_request_id"
"""Where a connection's scope holds the request id."""
ERROR_KEY = "parlance_error_code"
"""Where the gateway finds the code of the error that was answered, for the summary line."""
_STANDARD = ("type", "title", "status", "detail", "code", "hint", "request_id")
_TOP_LEVEL_METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE")


class FieldError(msgspec.Struct, frozen=True):
    """One thing that is wrong with the request."""

    path: Annotated[str, Meta(description="Where: `documents[3].published_at`, or the name of a query parameter.")]
    message: Annotated[str, Meta(description="What is wrong there.")]


class Problem(msgspec.Struct, frozen=True, kw_only=True):
    """Why a request failed (RFC 9457). Further members carry the facts of the error."""

    type: Annotated[str, Meta(description="`urn:parlance:problem:` and the code.")]
    title: Annotated[str, Meta(description="The kind of error, the same for every occurrence of its class.")]
    status: Annotated[int, Meta(ge=400, le=599, description="The HTTP status, repeated.")]
    detail: Annotated[str, Meta(description="What was wrong, where, and the limit.")]
    code: Annotated[str, Meta(description="Stable name of the error, for programs.", examples=["validation_failed"])]
    request_id: Annotated[str, Meta(description="The id of this request, as in the logs and in `X-Request-Id`.")]
    hint: Annotated[str, Meta(description="What to do about it.")] | msgspec.UnsetType = msgspec.UNSET
    errors: Annotated[list[FieldError], Meta(description="Each wrong field.")] | msgspec.UnsetType = msgspec.UNSET


class MethodNotAllowed(BadInput):
    """The path exists, but not with this method."""

    code = "method_not_allowed"
    title = "Method not allowed"
    status = 405


class UnsupportedMediaType(BadInput):
    """The body's Content-Type is not one that the route takes."""

    code = "unsupported_media_type"
    title = "Unsupported media type"
    status = 415


def problem_body(error: ParlanceError, request_id: str) -> bytes:
    """The problem document of an error, as JSON."""
    body: dict[str, Any] = {
        "type": f"urn:parlance:problem:{error.code}",
        "title": error.title,
        "status": error.status,
        "detail": error.detail,
        "code": error.code,
        "request_id": request_id,
    }
    if error.hint:
        body["hint"] = error.hint
    body |= {name: value for name, value in error.facts.items() if name not in _STANDARD}
    return msgspec.json.encode(body, enc_hook=str)


def problem_headers(error: ParlanceError) -> dict[str, str]:
    """Headers that belong to an error: when to come back, how to authenticate, which methods there are."""
    headers: dict[str, str] = {"cache-control": "no-store"}
    if isinstance(error, Overloaded):
        headers["retry-after"] = str(max(1, math.ceil(error.retry_after_s)))
    elif error.status == 503:
        headers["retry-after"] = str(max(1, math.ceil(float(error.facts.get("retry_after_s", 1)))))
    elif error.status == 401:
        headers["www-authenticate"] = 'Bearer realm="parlance"'
    elif isinstance(error, MethodNotAllowed):
        headers["allow"] = ", ".join(error.facts.get("allowed", ()))
    return headers


def responses(*errors: type[ParlanceError] | Mapping[int, ResponseSpec]) -> dict[int, ResponseSpec]:
    """Describe the errors of a handler for OpenAPI: ``@post(..., responses=responses(NotFound, Conflict))``.

    What every route can answer (bad input, no key, overload …) is added to the description of each by itself; name
    what is particular to this one. A mapping of further statuses to ``ResponseSpec`` may be among the arguments.
    """
    described: dict[int, ResponseSpec] = {}
    for error in errors:
        if isinstance(error, Mapping):
            described.update(error)
            continue
        summary = (error.__doc__ or error.title).strip().splitlines()[0]
        known = described.get(error.status)
        text = f"{known.description} {summary}" if known else summary
        described[error.status] = ResponseSpec(
            Problem, generate_examples=False, description=text, media_type=MEDIA_TYPE
        )
    return described


def exception_handlers() -> ExceptionHandlersMap:
    """What turns exceptions into problem documents, for ``Litestar(exception_handlers=…)``."""
    return {ParlanceError: _answer, HTTPException: _answer_litestar, Exception: _answer_unexpected}


def _respond(request: Request[Any, Any, Any], error: ParlanceError) -> Response[bytes]:
    cast("dict[str, Any]", request.scope)[ERROR_KEY] = error.code
    return Response(
        content=problem_body(error, str(request.scope.get(REQUEST_ID_KEY, ""))),
        status_code=error.status,
        media_type=MEDIA_TYPE,
        headers=problem_headers(error),
    )


def _answer(request: Request[Any, Any, Any], error: ParlanceError) -> Response[bytes]:
    if error.status >= 500 and error.__cause__ is not None:
        _log(request, error)
    return _respond(request, error)


def _answer_unexpected(request: Request[Any, Any, Any], error: Exception) -> Response[bytes]:
    if isinstance(error, BaseExceptionGroup) and (inner := _only_error(error)) is not None:
        return _answer(request, inner)
    _log(request, error)
    return _respond(
        request,
        ParlanceError(
            "Something went wrong that should not have.", hint="The server's log tells more under this request id."
        ),
    )


def _answer_litestar(request: Request[Any, Any, Any], error: HTTPException) -> Response[bytes]:
    translated = _translate(request, error)
    if translated is None:
        return _answer_unexpected(request, error)
    return _respond(request, translated)


def _translate(request: Request[Any, Any, Any], error: HTTPException) -> ParlanceError | None:
    if isinstance(error, ValidationException):
        return _validation(error)
    if error.detail == "client disconnected prematurely":
        return ClientGone("The caller closed the connection while it was sending the body.")
    if error.status_code == 404:
        return NotFound(
            f"There is no {request.scope['path']} here.", hint="GET /docs shows every route.", code="route_not_found"
        )
    if error.status_code == 405:
        allowed = _allowed_methods(request)
        return MethodNotAllowed(
            f"{request.scope['path']} does not take {request.method}.",
            hint=f"It takes {', '.join(allowed)}.",
            allowed=allowed,
        )
    if error.status_code == 413:
        limit = request.route_handler.resolve_request_max_body_size()
        return TooLarge(
            f"The body is larger than {limit} bytes.", hint="Send less at a time.", code="body_too_large", limit=limit
        )
    if error.status_code == 500:
        return None
    translated = ParlanceError(error.detail, code="bad_input" if error.status_code == 400 else "http_error")
    translated.status = error.status_code  # type: ignore[misc]  # a status of Litestar's own that no class of ours has
    translated.title = "Bad request" if error.status_code == 400 else "HTTP error"  # type: ignore[misc]  # likewise
    return translated


def _validation(error: ValidationException) -> ParlanceError:
    found: list[dict[str, str]] = []
    for item in error.extra if isinstance(error.extra, list) else []:
        message = str(item.get("message", "")).replace("`", "'")
        path = str(item.get("key", ""))
        if path == "data":  # a body that is there is decoded, and refused, before this
            return BadInput("The body is empty; this route takes a JSON document.", code="invalid_json")
        found.append({"path": path, "message": message})
    if not found:
        return ValidationFailed(error.detail)
    detail = "; ".join(f"{item['path']}: {item['message']}" if item["path"] else item["message"] for item in found)
    return ValidationFailed(detail, errors=found)


def _allowed_methods(request: Request[Any, Any, Any]) -> list[str]:
    router = request.app.asgi_router
    allowed = []
    for method in _TOP_LEVEL_METHODS:
        try:
            router.handle_routing(path=request.scope["path"], method=method)
        except HTTPException:
            continue
        allowed.append(method)
    return [*allowed, "OPTIONS"]


def _only_error(group: BaseExceptionGroup[BaseException]) -> ParlanceError | None:
    """The one error of ours inside a group that a task group raised, if that is what it holds."""
    leaves: Iterable[BaseException] = group.exceptions
    for leaf in leaves:
        inner = _only_error(leaf) if isinstance(leaf, BaseExceptionGroup) else leaf
        if isinstance(inner, ParlanceError):
            return inner
    return None


def _log(request: Request[Any, Any, Any], error: Exception) -> None:
    get_logger("parlance.http").error(
        "request_failed", route=request.scope.get("path_template", ""), method=request.method, exc_info=error
    )
