"""Collects what plugins contribute through hooks; a wrong answer becomes an error that names plugin, hook and cause."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from litestar import Router

from parlance.plugins.state import Owned

if TYPE_CHECKING:
    from parlance.plugins.context import PluginContext
    from parlance.plugins.manager import PluginManager

__all__ = ["answers", "items", "merged", "named_items", "route_claims", "routes", "still_running"]

Contexts = Mapping[str, "PluginContext[Any]"]


def answers(
    manager: PluginManager, hook: str, *, contexts: Contexts | None = None, kind: type | None = None
) -> list[Owned]:
    """What each running plugin answers to a hook; ``None`` is no answer.

    Args:
        manager: the plugins.
        hook: the hook's name.
        contexts: plugins' contexts by name, for a hook that takes one.
        kind: what an answer has to be an instance of.

    Raises:
        PluginError: a plugin raised or answered something else (unless broken plugins are skipped).
    """
    found = []
    for name in manager.names:
        arguments = {} if contexts is None else {"context": contexts[name]}
        answer = manager.call_one(name, hook, **arguments)
        if answer is None or answer.value is None:
            continue
        if kind is not None and not isinstance(answer.value, kind):
            manager.fail(name, hook, _wrong(answer.value, kind.__name__))
            continue
        found.append(Owned(name, answer.value))
    return found


def items(
    manager: PluginManager, hook: str, *, contexts: Contexts | None = None, kind: type | None = None
) -> list[Owned]:
    """The entries of the sequences that plugins answer with, each with its owner.

    Raises:
        PluginError: as :func:`answers`; also for an answer that is no sequence, or an entry of another type.
    """
    found: list[Owned] = []
    for answer in answers(manager, hook, contexts=contexts):
        try:
            entries = _entries(answer.item, kind)
        except TypeError as error:
            manager.fail(answer.plugin, hook, error)
            continue
        found.extend(Owned(answer.plugin, entry) for entry in entries)
    return found


def merged(manager: PluginManager, hook: str) -> dict[str, Any]:
    """The entries of the mappings that plugins answer with; a name that is taken is the later plugin's fault.

    Raises:
        PluginError: as :func:`answers`; also for an answer that is no mapping, and a name that is taken.
    """
    found: dict[str, Any] = {}
    for answer in answers(manager, hook, kind=Mapping):
        taken = sorted(set(answer.item) & set(found))
        if taken:
            manager.fail(answer.plugin, hook, ValueError(f"the name '{taken[0]}' is taken already"))
            continue
        found.update(answer.item)
    return found


def named_items(manager: PluginManager, hook: str, *, kind: type, reserved: Iterable[str] = ()) -> dict[str, Any]:
    """Like :func:`merged` for sequences of entries that have a ``name``.

    Raises:
        PluginError: as :func:`items`; also for a name that is taken or reserved.
    """
    found: dict[str, Any] = {}
    taken = set(reserved)
    for owned in items(manager, hook, kind=kind):
        if owned.item.name in taken:
            manager.fail(owned.plugin, hook, ValueError(f"the name '{owned.item.name}' is taken already"))
            continue
        taken.add(owned.item.name)
        found[owned.item.name] = owned.item
    return found


def routes(manager: PluginManager, contexts: Contexts) -> list[Owned]:
    """Route handlers with their owners; no two plugins claim one method and path.

    Raises:
        PluginError: as :func:`items`; also for handlers that Litestar refuses, and for a path that is claimed already.
    """
    hook = "parlance_routes"
    owners: dict[tuple[str, str], str] = {}
    found: list[Owned] = []
    for answer in answers(manager, hook, contexts=contexts):
        try:
            handlers = _entries(answer.item, None)
            claims = list(route_claims(handlers))
        except Exception as error:  # noqa: BLE001  # Litestar tells of wrong handlers by exceptions of many types
            manager.fail(answer.plugin, hook, error)
            continue
        taken = sorted(claim for claim in claims if claim in owners)
        if taken:
            method, path = taken[0]
            message = f"{method} {path} is claimed already by the plugin '{owners[taken[0]]}'"
            manager.fail(answer.plugin, hook, ValueError(message))
            continue
        owners.update(dict.fromkeys(claims, answer.plugin))
        found.extend(Owned(answer.plugin, handler) for handler in handlers)
    return found


def route_claims(handlers: Iterable[Any]) -> Iterator[tuple[str, str]]:
    """Method and path of everything that handlers answer, without ``OPTIONS``; parameters carry their type only."""
    for route in Router(path="/", route_handlers=list(handlers)).routes:
        parts = (part if isinstance(part, str) else f"{{{part.type.__name__}}}" for part in route.path_components)
        path = "/" + "/".join(parts)
        for method in getattr(route, "methods", None) or (type(route).__name__.removesuffix("Route").upper(),):
            if method != "OPTIONS":
                yield str(getattr(method, "value", method)), path


def still_running(manager: PluginManager, found: Iterable[Owned]) -> list[Owned]:
    """Without the contributions of plugins that broke in a later hook and are skipped."""
    names = set(manager.names)
    return [owned for owned in found if owned.plugin in names]


def _entries(value: Any, kind: type | None) -> list[Any]:
    if isinstance(value, str | bytes | Mapping) or not isinstance(value, Iterable):
        raise _wrong(value, "sequence")
    entries = list(value)
    for entry in entries:
        if kind is not None and not isinstance(entry, kind):
            raise _wrong(entry, f"sequence of {kind.__name__}")
    return entries


def _wrong(value: Any, wanted: str) -> TypeError:
    return TypeError(f"it returned {type(value).__name__} {value!r:.60} where a {wanted} is expected")
