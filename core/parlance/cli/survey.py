"""Looks at all plugins without starting anything: who is there, what each contributes, and which ones are broken."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from parlance.errors import NotFound
from parlance.plugins.contributions import route_claims
from parlance.plugins.manager import ENTRY_POINT_GROUP
from parlance.plugins.reference import settings_reference
from parlance.settings import load_settings

if TYPE_CHECKING:
    from parlance.app import Application
    from parlance.engine.interface import Engine

__all__ = ["PluginRow", "Survey", "survey"]


@dataclass(frozen=True, slots=True, kw_only=True)
class PluginRow:
    """One plugin as ``parlance plugins list`` shows it. ``state`` is ``running``, ``disabled`` or ``broken``."""

    name: str
    state: str
    origin: str
    distribution: str | None
    version: str | None
    builtin: bool
    hooks: tuple[str, ...]
    error: str | None

    def as_dict(self) -> dict[str, Any]:
        """The row as JSON shows it."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class Survey:
    """What was seen."""

    app: Application
    rows: list[PluginRow]

    def details(self, name: str) -> dict[str, Any]:
        """Everything about one plugin.

        Raises:
            NotFound: there is no plugin of that name.
        """
        row = next((row for row in self.rows if row.name == name), None)
        if row is None:
            raise NotFound(
                f"There is no plugin '{name}'.",
                hint=f"Found: {', '.join(row.name for row in self.rows)}.",
                code="unknown_plugin",
            )
        found = self.app.plugins.found.get(name)
        contributed = _contributed(self.app, name) if row.state == "running" else {}
        return {
            **row.as_dict(),
            "hooks": list(row.hooks),
            "description": _description(found.plugin) if found is not None else "",
            **contributed,
            "trace": found.trace if found is not None else "",
        }


def survey(config_file: str | Path | None = None) -> Survey:
    """Load all plugins and ask them everything that is asked before the server starts; broken ones are left out.

    No database is opened and no model is loaded.

    Raises:
        ConfigError: the settings cannot be used.
        PluginError: two plugins have one name.
    """
    from parlance.app import build

    flags = {"plugins.skip_broken": True, "database.url": "sqlite:///never-opened.sqlite", "database.url_file": ""}
    loaded = load_settings(config_file, flags=flags)
    app = build(loaded, engine=cast("Engine", object()))
    for name in app.plugins.names:
        app.plugins.call_one(name, "parlance_commands")
    installed = {entry_point.name: entry_point for entry_point in entry_points(group=ENTRY_POINT_GROUP)}
    rows = [_found_row(app, name, installed) for name in app.plugins.found]
    rows += [
        _row(name, "disabled", installed.get(name), origin="left out by plugins.disabled")
        for name in loaded.core.plugins.disabled
        if name not in app.plugins.found
    ]
    return Survey(app, rows)


def _found_row(app: Application, name: str, installed: Mapping[str, EntryPoint]) -> PluginRow:
    found = app.plugins.found[name]
    builtin = app.plugins.is_builtin(name)
    return _row(
        name,
        "running" if found.error is None else "broken",
        None if builtin else installed.get(name),
        origin=found.origin,
        builtin=builtin,
        hooks=found.hooks,
        error=found.error,
    )


def _row(
    name: str,
    state: str,
    entry_point: EntryPoint | None,
    *,
    origin: str,
    builtin: bool = False,
    hooks: tuple[str, ...] = (),
    error: str | None = None,
) -> PluginRow:
    dist = entry_point.dist if entry_point is not None else None
    return PluginRow(
        name=name,
        state=state,
        origin=origin,
        distribution=dist.name if dist is not None else None,
        version=dist.version if dist is not None else None,
        builtin=builtin,
        hooks=hooks,
        error=error,
    )


def _description(plugin: object) -> str:
    owner = plugin if inspect.ismodule(plugin) else type(plugin)
    return (inspect.getdoc(owner) or "").partition("\n\n")[0].replace("\n", " ")


def _contributed(app: Application, name: str) -> dict[str, Any]:
    context = app.contexts[name]

    def answer(hook: str, **arguments: Any) -> Any:
        given = app.plugins.call_one(name, hook, **arguments)
        return given.value if given is not None else None

    settings = answer("parlance_settings")
    command = answer("parlance_commands")
    return {
        "settings": [asdict(setting) for setting in settings_reference(settings)] if settings is not None else [],
        "routes": sorted(f"{method} {path}" for method, path in route_claims(_routes(answer, context))),
        "tables": sorted(table for owner, tables in app.tables if owner == name for table in tables.metadata.tables),
        "checks": [check.name for owner, check in app.state.check_items() if owner == name],
        "pages": [f"/console/{name}{page.path}" for owner, page in app.state.page_items() if owner == name],
        "metrics": [f"parlance_{name}_{metric}" for metric in answer("parlance_metrics", context=context) or ()],
        "commands": sorted(getattr(command, "commands", None) or ([name] if command is not None else [])),
        "model_folders": [str(folder) for folder in answer("parlance_model_folders") or ()],
        "model_sources": sorted(answer("parlance_model_sources") or ()),
        "runners": sorted(answer("parlance_runners") or ()),
        "tasks": [task.name for task in answer("parlance_tasks") or ()],
    }


def _routes(answer: Any, context: Any) -> list[Any]:
    return list(answer("parlance_routes", context=context) or ())
