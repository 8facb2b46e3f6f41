"""Finds plugins, checks them against the contract, calls their hooks, and says which plugin broke what."""

from __future__ import annotations

import importlib
import traceback
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from importlib.metadata import EntryPoint, entry_points
from typing import Any

import pluggy

from parlance.errors import ConfigError, PluginError
from parlance.plugins import hookspecs
from parlance.settings import PluginSettings

__all__ = ["ENTRY_POINT_GROUP", "FoundPlugin", "HookAnswer", "PluginManager"]

ENTRY_POINT_GROUP = "parlance.plugins"


@dataclass(slots=True)
class FoundPlugin:
    """One plugin that was looked at, whether or not it runs."""

    name: str
    origin: str
    """``built in``, or the distribution with its version and the entry point, or the configured import path."""
    plugin: object | None = None
    error: str | None = None
    """Why it does not run: one line that names hook and cause."""
    trace: str = ""
    hooks: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class HookAnswer:
    """What one plugin's implementation of a hook returned."""

    plugin: str
    value: Any


@dataclass(frozen=True, slots=True)
class _Candidate:
    name: str
    origin: str
    load: Any = field(repr=False)


class PluginManager:
    """The plugins of one application, in a fixed order: the core's own first, then by name.

    Args:
        settings: which plugins to leave out or add, and whether a broken one stops the start.
        builtin: the core's own plugins by name.
        discover: whether installed and configured plugins are loaded too.
    """

    def __init__(
        self, settings: PluginSettings, *, builtin: Mapping[str, object] | None = None, discover: bool = True
    ) -> None:
        self._settings = settings
        self._pm = pluggy.PluginManager(hookspecs.PROJECT)
        self._pm.add_hookspecs(hookspecs)
        self._builtin = tuple(builtin or ())
        self.found: dict[str, FoundPlugin] = {}
        candidates = [_Candidate(name, "built in", lambda p=plugin: p) for name, plugin in (builtin or {}).items()]
        if discover:
            candidates += sorted(_discover(settings), key=lambda candidate: candidate.name)
        self._load(candidates)

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the running plugins, in hook order."""
        return tuple(name for name, found in self.found.items() if found.error is None and found.plugin is not None)

    @property
    def broken(self) -> tuple[FoundPlugin, ...]:
        """Plugins that were left out because they failed."""
        return tuple(found for found in self.found.values() if found.error is not None)

    def is_builtin(self, name: str) -> bool:
        """Whether a plugin is one of the core's own."""
        return name in self._builtin

    def call(self, hook: str, **arguments: Any) -> list[HookAnswer]:
        """Call one hook in every running plugin with the same arguments.

        Raises:
            PluginError: an implementation raised (unless broken plugins are skipped).
        """
        answers = []
        for name in self.names:
            answer = self.call_one(name, hook, **arguments)
            if answer is not None:
                answers.append(answer)
        return answers

    def call_one(self, name: str, hook: str, **arguments: Any) -> HookAnswer | None:
        """Call one hook in one plugin; ``None`` when it does not implement it, or failed and is skipped."""
        for implementation in getattr(self._pm.hook, hook).get_hookimpls():
            if implementation.plugin_name != name:
                continue
            try:
                chosen = [arguments[argument] for argument in implementation.argnames]
                return HookAnswer(name, implementation.function(*chosen))
            except Exception as error:  # noqa: BLE001  # a plugin may raise anything; it is reported by name
                self.fail(name, hook, error)
        return None

    def fail(self, name: str, hook: str, error: BaseException) -> None:
        """Record that a plugin broke in a hook; it takes no further part.

        Raises:
            PluginError: unless broken plugins are skipped. A ``ConfigError`` is passed on as it is.
        """
        found = self.found[name]
        found.error = f"{hook}: {type(error).__name__}: {error}"
        found.trace = "".join(traceback.format_exception(error))
        if self._pm.has_plugin(name):
            self._pm.unregister(name=name)
        if self._settings.skip_broken:
            return
        if isinstance(error, ConfigError):
            raise error
        raise _broken(name, hook, error) from error

    def _load(self, candidates: Iterable[_Candidate]) -> None:
        loaded: list[FoundPlugin] = []
        for candidate in candidates:
            if candidate.name in self._settings.disabled:
                continue
            if candidate.name in self.found:
                taken = self.found[candidate.name].origin
                raise PluginError(
                    f"Two plugins are named '{candidate.name}': {taken} and {candidate.origin}.",
                    hint="Uninstall one, or list the name under plugins.disabled.",
                    plugin=candidate.name,
                )
            found = FoundPlugin(candidate.name, candidate.origin)
            self.found[candidate.name] = found
            try:
                found.plugin = candidate.load()
            except Exception as error:  # noqa: BLE001  # importing foreign code may raise anything
                self.fail(candidate.name, "import", error)
                continue
            loaded.append(found)
        self._add_specs(loaded)
        for found in loaded:
            self._register(found)

    def _add_specs(self, loaded: Iterable[FoundPlugin]) -> None:
        """Plugins may define hooks for each other, so specifications come before any implementation is checked."""
        for found in loaded:
            define = getattr(found.plugin, "parlance_hookspecs", None)
            if define is None:
                continue
            try:
                module = define()
                if module is not None:
                    self._pm.add_hookspecs(module)
            except Exception as error:  # noqa: BLE001  # a plugin may raise anything
                self.fail(found.name, "parlance_hookspecs", error)

    def _register(self, found: FoundPlugin) -> None:
        if found.error is not None:
            return
        try:
            self._pm.register(found.plugin, name=found.name)
            self._pm.check_pending()
        except pluggy.PluginValidationError as error:
            self.fail(found.name, "validation", error)
            return
        callers = self._pm.get_hookcallers(found.plugin) or []
        found.hooks = tuple(sorted(caller.name for caller in callers))
        if not found.hooks:
            self.fail(
                found.name,
                "validation",
                TypeError("it implements no hook; mark its methods with parlance.plugins.hookspecs.hookimpl"),
            )


def _discover(settings: PluginSettings) -> Iterator[_Candidate]:
    for entry_point in entry_points(group=ENTRY_POINT_GROUP):
        yield _Candidate(entry_point.name, _origin(entry_point), entry_point.load)
    for path in settings.modules:
        module, _, attribute = path.partition(":")
        if not attribute:
            raise ConfigError(f"plugins.modules: '{path}' is not of the form package.module:object.")
        name = module.rpartition(".")[0] or module
        yield _Candidate(name, f"configured as {path}", lambda m=module, a=attribute: _import(m, a))


def _import(module: str, attribute: str) -> object:
    value: object = importlib.import_module(module)
    for part in attribute.split("."):
        value = getattr(value, part)
    return value


def _origin(entry_point: EntryPoint) -> str:
    dist = entry_point.dist
    return f"{dist.name} {dist.version} ({entry_point.value})" if dist is not None else entry_point.value


def _broken(name: str, hook: str, error: BaseException) -> PluginError:
    return PluginError(
        f"Plugin '{name}' failed in {hook}: {type(error).__name__}: {str(error).rstrip('.')}.",
        hint=f'Mend it, leave it out (plugins.disabled = ["{name}"]), or start with --skip-broken-plugins.',
        plugin=name,
        hook=hook,
    )
