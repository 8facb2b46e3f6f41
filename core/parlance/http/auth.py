"""Who is calling, and may they? Scopes of API keys, as a guard for handlers.

The gateway (``parlance.http.gateway``) identifies the caller before routing and leaves a ``Caller`` in the connection's
scope; a handler's guard asks it for a scope. Scopes are ``<plugin>:read``, ``<plugin>:write``, ``models:use`` and
``admin``, which includes all others.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from litestar.connection import ASGIConnection
from litestar.handlers import BaseRouteHandler
from litestar.types import Guard

from parlance.errors import Forbidden, ParlanceError, Unauthorized, ValidationFailed

__all__ = ["ADMIN", "ANONYMOUS", "CALLER_KEY", "Caller", "caller_of", "check_scope_names", "nobody", "require_scope"]

ADMIN = "admin"
_SCOPE = re.compile(r"admin|[a-z][a-z0-9_]*:(?:read|write|use)")
CALLER_KEY = "parlance_caller"
"""Where a connection's scope holds its ``Caller``."""


@dataclass(frozen=True, slots=True)
class Caller:
    """Who calls: the name of an API key, or ``anonymous``. ``refusal`` says why a given key was not accepted."""

    name: str
    scopes: frozenset[str]
    key_id: str = ""
    refusal: ParlanceError | None = None

    def may(self, scope: str) -> bool:
        """Whether the caller holds ``scope``, itself or through ``admin``; ``x:write`` includes ``x:read``."""
        if scope in self.scopes or ADMIN in self.scopes:
            return True
        plugin, _, right = scope.partition(":")
        return right == "read" and f"{plugin}:write" in self.scopes


ANONYMOUS = Caller(name="anonymous", scopes=frozenset({ADMIN}))
"""Everybody, where keys are off: may do everything."""


def caller_of(connection: ASGIConnection[Any, Any, Any, Any]) -> Caller:
    """The caller of a request; ``.name`` is what engine calls take as ``charge_to``.

    A connection that did not come through the gateway has a caller who may do nothing.
    """
    caller = connection.scope.get(CALLER_KEY)
    return caller if isinstance(caller, Caller) else nobody()


def require_scope(scope: str) -> Guard:
    """A guard for handlers: ``guards=[require_scope("sentiment:write")]``.

    The guard raises ``Unauthorized`` (401) without a valid key and ``Forbidden`` (403) with one that lacks ``scope``.
    Where API keys are off it lets everybody pass. The scope is shown in the OpenAPI description of the route.
    """
    check_scope_names([scope])

    def guard(connection: ASGIConnection[Any, Any, Any, Any], _: BaseRouteHandler) -> None:
        caller = caller_of(connection)
        if caller.may(scope):
            return
        if caller.refusal is not None:
            raise caller.refusal
        raise Forbidden(
            f"The API key '{caller.name}' does not have the scope '{scope}'.",
            hint=f"Create one that has it: parlance keys create NAME --scope {scope}",
            scope=scope,
        )

    guard.parlance_scope = scope  # type: ignore[attr-defined]  # read when the OpenAPI description is made
    return guard


def nobody() -> Caller:
    """The caller of a request without a key, where keys are needed."""
    return Caller(
        name="anonymous",
        scopes=frozenset(),
        refusal=Unauthorized(
            "This route needs an API key, and the request carries none.",
            hint="Send 'Authorization: Bearer plk_…' or 'X-API-Key: plk_…'; 'parlance keys create' makes one.",
            code="api_key_missing",
        ),
    )


def check_scope_names(scopes: Iterable[str]) -> None:
    """Raise ``ValidationFailed`` for a name that cannot be a scope."""
    for scope in scopes:
        if not _SCOPE.fullmatch(scope):
            raise ValidationFailed(
                f"'{scope}' is not a scope.",
                hint="Scopes look like 'sentiment:read', 'sentiment:write', 'models:use' or 'admin'.",
                code="unknown_scope",
            )
