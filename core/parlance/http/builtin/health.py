"""Is it alive, is it ready, how is it doing: ``/health/live``, ``/health/ready``, ``/metrics``."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any, Literal

import msgspec
from litestar import Response, get
from litestar.openapi.datastructures import ResponseSpec
from litestar.types import ControllerRouterHandler
from prometheus_client import exposition

from parlance import __version__
from parlance.http.builtin.served import ServedModel, served_models
from parlance.plugins.context import PluginContext
from parlance.plugins.hookspecs import hookimpl
from parlance.plugins.items import Check
from parlance.plugins.state import ServerState

__all__ = ["CHECK_TIMEOUT_S", "HealthPlugin", "Live", "PluginHealth", "Readiness"]

CHECK_TIMEOUT_S = 2.0
_BAD_MODEL_STATES = {"failed", "loading", "building"}


class Live(msgspec.Struct, frozen=True):
    """The process answers."""

    status: Literal["ok"]
    version: str


class CheckHealth(msgspec.Struct, frozen=True, kw_only=True):
    """What one check found."""

    name: str
    ok: bool
    detail: str = ""


class PluginHealth(msgspec.Struct, frozen=True, kw_only=True):
    """One plugin: whether it runs, and its checks."""

    name: str
    ok: bool
    detail: str = ""
    checks: list[CheckHealth] = []


class Readiness(msgspec.Struct, frozen=True, kw_only=True):
    """Whether requests can be served, and if not, which part is missing."""

    ready: bool
    phase: Literal["starting", "ready", "draining"]
    version: str
    plugins: list[PluginHealth]
    models: list[ServedModel]


class HealthPlugin:
    """Health and metrics; open to everybody, as probes carry no keys."""

    def __init__(self, state: ServerState) -> None:
        self._state = state

    @hookimpl
    def parlance_routes(self, context: PluginContext[Any]) -> Sequence[ControllerRouterHandler]:  # noqa: ARG002
        """Routes of health and metrics."""
        state = self._state

        @get(
            "/health/live",
            tags=["health"],
            operation_id="health_live",
            summary="Is the process alive?",
            sync_to_thread=False,
        )
        def live() -> Live:
            return Live("ok", __version__)

        @get(
            "/health/ready",
            tags=["health"],
            operation_id="health_ready",
            summary="Can it serve requests?",
            responses={
                503: ResponseSpec(
                    Readiness, generate_examples=False, description="Not ready; the body says which part is not."
                )
            },
        )
        async def ready() -> Response[Readiness]:
            found = await readiness(state)
            headers = {"cache-control": "no-store"}
            return Response(found, status_code=200 if found.ready else 503, headers=headers)

        @get(
            "/metrics",
            tags=["health"],
            operation_id="metrics",
            summary="Metrics for Prometheus",
            media_type="text/plain",
            sync_to_thread=True,
        )
        def metrics() -> Response[str]:
            body = exposition.generate_latest(state.metrics).decode()
            return Response(body, media_type=exposition.CONTENT_TYPE_PLAIN_0_0_4)

        return [live, ready, metrics]


async def readiness(state: ServerState) -> Readiness:
    """Ask every check, at the same time, each with ``CHECK_TIMEOUT_S`` seconds."""
    items = state.check_items()
    found = await asyncio.gather(*(_ask(check) for _, check in items))
    by_plugin: dict[str, list[CheckHealth]] = {}
    for (plugin, _), result in zip(items, found, strict=True):
        by_plugin.setdefault(plugin, []).append(result)
    plugins = []
    if state.plugins is not None:
        for name in state.plugins.names:
            checks = by_plugin.get(name, [])
            plugins.append(PluginHealth(name=name, ok=all(check.ok for check in checks), checks=checks))
        plugins += [
            PluginHealth(name=broken.name, ok=False, detail=broken.error or "") for broken in state.plugins.broken
        ]
    models = served_models(state)
    ready = (
        state.phase == "ready"
        and all(plugin.ok for plugin in plugins)
        and not any(model.eager and model.state in _BAD_MODEL_STATES for model in models)
    )
    return Readiness(ready=ready, phase=state.phase, version=__version__, plugins=plugins, models=models)


async def _ask(check: Check) -> CheckHealth:
    try:
        async with asyncio.timeout(CHECK_TIMEOUT_S):
            result = await check.run()
    except TimeoutError:
        return CheckHealth(name=check.name, ok=False, detail=f"no answer within {CHECK_TIMEOUT_S:g} s")
    except Exception as error:  # noqa: BLE001  # a check may raise anything, which is its answer
        return CheckHealth(name=check.name, ok=False, detail=f"{type(error).__name__}: {error}")
    return CheckHealth(name=check.name, ok=result.ok, detail=result.detail)
