"""Every route that holds or changes data asks for a scope; those that are open to everybody are named here."""

from __future__ import annotations

from litestar.routes import HTTPRoute

from parlance.testing import application
from parlance_recommend.plugin import plugin as recommend
from parlance_sentiment.plugin import plugin as sentiment
from parlance_support.plugin import plugin as support

PLUGINS = {"recommend": recommend, "sentiment": sentiment, "support": support}
OPEN = {
    "/": "what is here: names and addresses",
    "/console": "a menu of pages",
    "/console/{page}": "pages hold no data; their scripts call the API with a key",
    "/docs": "the viewer of the API's description",
    "/docs/assets/{name}": "its script and style",
    "/health/live": "probes carry no keys",
    "/health/ready": "probes carry no keys",
    "/metrics": "scrapes carry no keys",
    "/openapi.json": "the API's description",
    "/webhooks/rest": "Rasa's health check of the channel",
}


def _scope_of(handler) -> str | None:
    for guard in handler.resolve_guards():
        scope = getattr(guard, "parlance_scope", None) or getattr(getattr(guard, "func", None), "parlance_scope", None)
        if scope is not None:
            return scope
    return None


async def test_every_route_asks_for_a_scope_unless_it_is_open_by_intention():
    found: dict[tuple[str, str], str | None] = {}
    async with application(PLUGINS) as app:
        for route in app.asgi.routes:
            if isinstance(route, HTTPRoute):
                for method, (handler, _) in route.route_handler_map.items():
                    if method != "OPTIONS":
                        found[(str(method), route.path_format or "/")] = _scope_of(handler)
        await app.close()
    unguarded = {path for (_, path), scope in found.items() if scope is None}
    assert unguarded == set(OPEN) | {path for path in unguarded if path.startswith("/openapi/") or path == "/openapi"}
    assert len(found) > 40


async def test_reading_asks_for_less_than_writing():
    """A plugin's GET routes ask for its reading scope; what changes data never does."""
    async with application(PLUGINS) as app:
        for route in app.asgi.routes:
            if not isinstance(route, HTTPRoute):
                continue
            plugin = (route.path_format or "/").split("/")[1]
            for method, (handler, _) in route.route_handler_map.items():
                scope = _scope_of(handler)
                if scope and scope.startswith(f"{plugin}:") and method == "GET":
                    assert scope == f"{plugin}:read", route.path
                if scope and scope.endswith(":read"):
                    assert method not in ("PUT", "DELETE", "PATCH"), route.path
        await app.close()
