"""What the core's HTTP side hands to ``Litestar(...)``; ``parlance.app`` calls it."""

from __future__ import annotations

from typing import Any

from litestar import Litestar, Response, Router
from litestar.exceptions import NotFoundException
from litestar.openapi.config import OpenAPIConfig
from litestar.openapi.plugins import JsonRenderPlugin
from litestar.openapi.spec import License

from parlance import __version__
from parlance.http.api_keys import ApiKeys, Authenticator, OpenDoor, keys_are_on
from parlance.http.gateway import Gateway
from parlance.http.openapi import StrictStructs
from parlance.http.problems import exception_handlers
from parlance.http.request import ParlanceRequest
from parlance.observe.metrics import Metrics, add_process_metrics
from parlance.plugins.context import PluginContext
from parlance.plugins.state import ServerState

__all__ = ["http_config"]


def http_config(state: ServerState, context: PluginContext[Any]) -> dict[str, Any]:
    """Keyword arguments for ``Litestar``: error handling, limits, OpenAPI, and the gateway around it all.

    Args:
        state: the server's moving facts.
        context: the core's own plugin context: database, clock, metrics.
    """
    settings = state.settings.core
    door = (
        Authenticator(ApiKeys(context.storage, clock=context.clock), clock=context.clock, uses=state.key_uses)
        if keys_are_on(settings.server)
        else OpenDoor()
    )
    metrics: Metrics = context.metrics.child("http")
    add_process_metrics(state.metrics)

    def put_gateway(app: Litestar) -> None:
        app.asgi_handler = Gateway(app.asgi_handler, door=door, state=state, metrics=metrics)

    return {
        "exception_handlers": exception_handlers(),
        "request_class": ParlanceRequest,
        "request_max_body_size": settings.limits.body_bytes,
        "openapi_config": _openapi(),
        "plugins": [StrictStructs()],
        "on_startup": [put_gateway],
        "logging_config": None,
    }


def _openapi() -> OpenAPIConfig:
    return OpenAPIConfig(
        title="Parlance",
        version=__version__,
        description="Customer service, financial sentiment and recommendation on real models.",
        license=License(name="Apache-2.0", identifier="Apache-2.0"),
        use_handler_docstrings=True,
        render_plugins=[JsonRenderPlugin(path="/raw.json")],
        openapi_router=Router(
            "/openapi", route_handlers=[], include_in_schema=False, after_request=_unknown_as_exception
        ),
    )


def _unknown_as_exception(response: Response[Any]) -> Response[Any]:
    """Litestar answers unknown paths below its router with an HTML page; they are to be problems like all others."""
    if response.status_code == 404:
        raise NotFoundException
    return response
