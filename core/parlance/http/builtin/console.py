"""``/``, the console's menu and its pages, the OpenAPI description and its viewer: nothing needs another server."""

from __future__ import annotations

import asyncio
import hashlib
import html
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec
from litestar import Litestar, Request, Response, get
from litestar.params import FromPath
from litestar.types import ControllerRouterHandler

from parlance import __version__
from parlance.errors import NotFound
from parlance.http.openapi import describe
from parlance.http.problems import responses
from parlance.plugins.context import PluginContext
from parlance.plugins.hookspecs import hookimpl
from parlance.plugins.state import ServerState

__all__ = ["ConsolePlugin", "Index"]

_ASSETS = Path(__file__).parents[1] / "assets"
_MEDIA_TYPES = {".js": "text/javascript", ".css": "text/css"}
_ASSET_NAMES = ("swagger-ui-bundle.js", "swagger-ui.css", "init.js")
_CSP = (
    "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; "
    "connect-src 'self'; font-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
)
_PAGE_CSP = _CSP.replace("script-src 'self'", "script-src 'self' 'unsafe-inline'")
"""Pages of plugins are single files with their script inside."""
_HEADERS = {"x-content-type-options": "nosniff", "referrer-policy": "no-referrer"}


class Index(msgspec.Struct, frozen=True):
    """What is here."""

    name: str
    version: str
    plugins: list[str]
    docs: str
    openapi: str
    console: str
    health: str
    metrics: str


class ConsolePlugin:
    """Pages for people; they hold no data, so they need no key."""

    def __init__(self, state: ServerState) -> None:
        self._state = state

    @hookimpl
    def parlance_routes(self, context: PluginContext[Any]) -> Sequence[ControllerRouterHandler]:  # noqa: ARG002
        """The index, the console and the API's documentation."""
        return [_index_route(self._state), *_console_routes(self._state), *_documentation_routes()]


def _index_route(state: ServerState) -> ControllerRouterHandler:
    @get("/", tags=["console"], operation_id="index", summary="What is here", sync_to_thread=False)
    def index() -> Index:
        names = list(state.plugins.names) if state.plugins is not None else []
        return Index("parlance", __version__, names, "/docs", "/openapi.json", "/console", "/health/ready", "/metrics")

    return index


def _console_routes(state: ServerState) -> list[ControllerRouterHandler]:
    @get("/console", include_in_schema=False, sync_to_thread=False)
    def menu() -> Response[str]:
        links = [(f"{plugin}: {page.title}", f"/console/{plugin}{page.path}") for plugin, page in state.page_items()]
        links += [("API documentation", "/docs"), ("Health", "/health/ready"), ("Metrics", "/metrics")]
        items = "".join(f'<li><a href="{html.escape(to)}">{html.escape(title)}</a></li>' for title, to in links)
        return _html(
            '<!doctype html><html lang="en"><head><meta charset="utf-8"><title>Parlance console</title>'
            '<meta name="viewport" content="width=device-width,initial-scale=1">'
            "<style>body{font:16px/1.5 system-ui,sans-serif;margin:2rem auto;max-width:40rem;padding:0 1rem}</style>"
            f"</head><body><h1>Parlance {__version__}</h1><ul>{items}</ul></body></html>",
            _CSP,
        )

    @get("/console/{page:path}", include_in_schema=False, responses=responses(NotFound))
    async def page(page: FromPath[Path]) -> Response[str]:
        wanted = page.as_posix().strip("/")
        for plugin, known in state.page_items():
            if wanted == f"{plugin}{known.path}".strip("/"):
                return _html(await asyncio.to_thread(known.html.read_text, encoding="utf-8"), _PAGE_CSP)
        raise NotFound("There is no such console page.", hint="/console lists them.", code="route_not_found")

    return [menu, page]


def _documentation_routes() -> list[ControllerRouterHandler]:
    descriptions: dict[int, bytes] = {}

    def description(app: Litestar) -> bytes:
        return descriptions.setdefault(id(app), describe(app)) if id(app) not in descriptions else descriptions[id(app)]

    @get("/openapi.json", include_in_schema=False, sync_to_thread=True)
    def openapi(request: Request[Any, Any, Any]) -> Response[bytes]:
        return _cached(request, description(request.app), "application/json", max_age_s=0)

    @get("/docs", include_in_schema=False, sync_to_thread=False)
    def docs() -> Response[str]:
        return _html(
            '<!doctype html><html lang="en"><head><meta charset="utf-8"><title>Parlance API</title>'
            '<meta name="viewport" content="width=device-width,initial-scale=1">'
            '<link rel="icon" href="data:,"><link rel="stylesheet" href="/docs/assets/swagger-ui.css"></head>'
            '<body><div id="ui"></div><script src="/docs/assets/swagger-ui-bundle.js"></script>'
            '<script src="/docs/assets/init.js"></script></body></html>',
            _CSP,
        )

    @get("/docs/assets/{name:str}", include_in_schema=False, sync_to_thread=True)
    def asset(name: FromPath[str], request: Request[Any, Any, Any]) -> Response[bytes]:
        if name not in _ASSET_NAMES:
            raise NotFound(f"There is no asset '{name}'.", code="route_not_found")
        path = _ASSETS / name
        return _cached(request, path.read_bytes(), _MEDIA_TYPES[path.suffix], max_age_s=86_400)

    return [openapi, docs, asset]


def _html(body: str, policy: str) -> Response[str]:
    return Response(body, media_type="text/html", headers={**_HEADERS, "content-security-policy": policy})


def _cached(request: Request[Any, Any, Any], body: bytes, media_type: str, *, max_age_s: int) -> Response[bytes]:
    """A body with its hash as ETag; 304 without it where the caller has it already (RFC 9110, 13.1.2)."""
    tag = f'"{hashlib.sha256(body).hexdigest()[:32]}"'
    headers = {**_HEADERS, "etag": tag, "cache-control": f"public, max-age={max_age_s}"}
    given = [part.strip().removeprefix("W/") for part in request.headers.get("if-none-match", "").split(",")]
    if tag in given or "*" in given:
        return Response(b"", status_code=304, headers=headers, media_type=media_type)
    return Response(body, headers=headers, media_type=media_type)
